"""One training of the study for real, a few posts and steps of the smallest model."""

import pytest
from conftest import SMALL

from hsd_utils import objectives, provenance, scoring, trial

TEXTS = "the tea is warm|a red bus came|we like rain|my cat naps".split("|")
ROWS = [
    {"text": t, "label": i % 2, "p_hate": 0.8, "explanations": [{"input": t, "explanation": "so"}]}
    for i, t in enumerate(TEXTS)
]


@pytest.fixture
def settings(small):
    found = provenance.defaults("03_qlora_distillation") | {"batch_size": 2, "warmup_steps": 0}
    return found | {"objective": "label_only", "label_first": True, "tokens_as": "", "epochs": 1}


@pytest.mark.slow
def test_it_sees_as_many_tokens_as_the_other_objective_and_can_be_asked(
    settings, tmp_path, monkeypatch
):
    from hsd_utils.engines import transformers

    folder = tmp_path / "matched-0"
    used = settings | {"tokens_as": "weighted", "patience": 9}
    found = trial.fit({"distil": ROWS, "dev": ROWS[:2]}, used, folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)

    def tokens(objective):
        encoded = objectives.encode_all(
            objectives.examples(ROWS, objective), tokenizer, "answer", 768
        )
        return sum(len(example["input_ids"]) for example in encoded)

    assert found["examples"] == 4 and found["seconds"] > 0 and found["dev_loss"] > 0
    assert tokens("weighted") > 1.2 * tokens("label_only")
    one_batch = tokens("label_only") / 2
    assert abs(found["tokens"] - tokens("weighted")) <= one_batch
    monkeypatch.setenv("HSD_CACHE", str(tmp_path))
    about = {"base": SMALL, "objective": "label_only", "label_first": True}
    asked = {"engine": "transformers", "engine_settings": {}, "constrained": False, "max_tokens": 9}
    assert scoring.student(about, asked, adapter=folder)


def test_a_training_that_fails_says_why(settings, tmp_path):
    with pytest.raises(RuntimeError, match="(?s)training in x-0 failed.*KeyError: 'distil'"):
        trial.fit({}, settings, tmp_path / "x-0")
