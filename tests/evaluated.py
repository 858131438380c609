"""A run whose first three stages are written by hand, and fake models that answer at once.

For tests of notebooks 04 and 07, which run here cell by cell.
"""

import random
from contextlib import contextmanager
from functools import cache

from fakes import DONE, FakeEngine, drawn

from hsd_utils import posts, prompts, provenance, readers, sampling, scoring
from hsd_utils.paths import Run
from hsd_utils.store import Store

SIZES = {"distil": 96, "dev": 24, "cal": 32, "eval": 64}
RUN = Run("toy")
PROMPT = {"shots": 2, "label_first": True, "definition": "un"}


@cache
def known(noise, model):
    draw = random.Random(model)
    return {
        sampling.clean_text(post.text): min(0.95, max(0.05, post.label + draw.gauss(0, noise)))
        for post in readers.read("corpus")[0].itertuples()
    }


@contextmanager
def fake(noise, model):
    """A classifier whose P(hate) is the label blurred; 0.2 of a text it does not know."""
    engine = FakeEngine(known(noise, model), model=model)
    with Store.open(engine.identity) as store:
        yield scoring.Classifier(engine, store, converse=prompts.student)


def rationale(post):
    """What notebook 02 would have written of a post."""
    said = {"explanations": [{"input": post.text.split()[0], "explanation": "so it is"}]}
    said |= {"id": post.id, "gold": post.label, "said": post.label, "label": post.label}
    return said | {"p_hate": None, "reason": None}


def prepare():
    """Samples, rationales, a student's folder, and what 01 to 03 leave behind."""
    for split, sample in drawn(SIZES).items():
        posts.write_jsonl(sample, RUN.sample(split))
    distil = posts.read_jsonl(RUN.sample("distil"))
    before = RUN.folder / "drawn_before.txt"
    before.write_text("\n".join([*posts.read_jsonl(RUN.sample("eval"))["id"][:9], "another-1"]))
    posts.write_rows(map(rationale, distil.itertuples()), RUN.rationales("distil"))
    for name in ("s", "s-7"):
        adapter = RUN.student(name) / "adapter_model.safetensors"
        adapter.parent.mkdir(parents=True)
        adapter.touch()
    student = {"folder": "s", "base": "a/b", "supervision": "teacher", "seed": 0}
    student |= {"further": [{"seed": 7, "folder": "s-7"}]}
    written = {
        "01_sampling": {"sampling": {"sizes": SIZES, "read": {"corpus": {}}}},
        "02_cot_teacher": {"teacher": {"model": "c/d", "prompt": PROMPT}},
        "03_qlora_distillation": {"student": student},
    }
    for stage, results in written.items():
        provenance.write_json(RUN.results(stage), results)
        parameters = provenance.defaults(stage) | {"run": "toy"}
        parameters |= {"drawn_before": str(before)} if stage == "01_sampling" else {}
        provenance.write_json(RUN.stage_manifest(stage), DONE | {"parameters": parameters})
