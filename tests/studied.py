"""A run up to notebook 04 whose models answer by rule, for the tests of the study."""

import random
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pandas as pd
from fakes import DONE, FakeEngine, corpus, drawn, first_word
from scipy.special import expit

from hsd_utils import posts, prompts, provenance, scoring, supervision, trial
from hsd_utils.paths import Run
from hsd_utils.scoring import Classifier
from hsd_utils.store import Store

SIZES = {"distil": 40, "dev": 24, "cal": 24, "eval": 32}
RUN = Run("studied")
SETTINGS = {"objective": "label_only", "label_source": "gold", "rationales": "teacher"}
SETTINGS |= {"disagreement": "keep", "noise": 0.0, "temperature": 1.0, "confident": 1.0}
SETTINGS |= {"prompts": [{}], "tokens_as": "", "seed": 0, "size": 1.0}
GRID = """
posts: 16
seeds: [0, 1]
baseline:
  {model: student, objective: label_only, label_source: teacher, label_first: true, size: 1.0,
   rationales: teacher, disagreement: keep, noise: 0.0, temperature: 1.0, confident: 1.0,
   prompts: [{}], tokens_as: ""}
factors:
  - factor: label source
    cells:
      - {name: label_only, final: true}
      - {name: soft, label_source: teacher_soft, final: true}
      - {name: the teacher, model: teacher, final: true}
  - factor: objective
    cells: [{name: weighted, objective: weighted, alpha: 0.3, final: true}]
  - factor: further seeds
  - factor: shots
    cells: [{name: 2 shots, model: teacher, prompts: [{shots: 2}]}]
finals:
  - {claim: C2, plan: C2, a: soft, b: the teacher}
  - {claim: C4a, plan: C4, a: weighted, b: label_only}
"""


def said(noise, name, table):
    """P(hate) by text: the label blurred by so much noise."""
    draw = random.Random(name)
    p = [float(expit(4 * (label - 0.5 + draw.gauss(0, noise)))) for label in table["label"]]
    return dict(zip(table["text"], p, strict=True))


class Lab:
    """Fakes in place of teacher, training and student; ``fitted`` lists the trainings, ``quoted``
    is what they quote of a post."""

    def __init__(self, patch, folder):
        patch.setenv("HSD_OUTPUTS", str(folder / "outputs"))
        patch.setenv("HSD_CACHE", str(folder / "cache"))
        self.samples, self.table, self.fitted, self.opened = drawn(SIZES), corpus(), [], []
        self.quoted = first_word
        for split, sample in self.samples.items():
            posts.write_jsonl(sample, RUN.sample(split))
        prompt = {"shots": 2, "balance": 0.5, "order": "alternate", "definition": "un"}
        teacher = {"model": "fake/teacher", "engine": "fake", "prompt": prompt, "ledger": {}}
        comparisons = [{"a": "student", "b": "base", "metric": "macro_f1", "p_value": 0.01}]
        before = RUN.folder / "drawn_before.txt"
        before.write_text("\n".join(self.samples["eval"]["id"][:5]))
        results = {
            "02_cot_teacher": {"teacher": teacher},
            "04_evaluation": {"asked": {"engine": "fake"}, "comparisons": comparisons},
        }
        for stage, found in results.items():
            provenance.write_json(RUN.results(stage), found)
        for stage in ("01_sampling", "03_qlora_distillation"):
            parameters = provenance.defaults(stage) | {"run": RUN.name}
            parameters |= {"drawn_before": str(before)} if stage == "01_sampling" else {}
            provenance.write_json(RUN.results(stage), {})
            provenance.write_json(RUN.stage_manifest(stage), DONE | {"parameters": parameters})
        patch.setattr(scoring, "teacher", self.teacher)
        patch.setattr(scoring, "student", self.student)
        patch.setattr(trial, "fit", self.fit)

    @contextmanager
    def opener(self, noise, name, converse=prompts.student):
        self.opened.append(name)
        p_hate, model = said(noise, name, self.table), f"fake/{name}"
        engine = FakeEngine(p_hate, model=model, quoted=self.quoted)
        with Store.open(engine.identity) as store:
            yield Classifier(engine, store, converse=converse)

    def teacher(self, asked):
        return self.opener(0.8, "teacher", partial(prompts.teacher, **asked["prompt"]))

    def student(self, trained, asked, adapter: Path):
        assert (adapter / "adapter").exists()
        return self.opener(0.6, adapter.name)

    def fit(self, targets, settings, folder):
        self.fitted.append(folder.name)
        folder.mkdir(parents=True)
        (folder / "adapter").touch()
        return {"examples": len(targets["distil"]), "tokens": 10, "epochs": 2.0, "seconds": 1.0}

    def taught(self, **more) -> pd.DataFrame:
        """Targets of the distil posts under ``SETTINGS`` but for some."""
        return pd.DataFrame(supervision.taught(RUN, self.samples["distil"], SETTINGS | more))
