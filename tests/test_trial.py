"""One cell of the study for real: a few posts and steps of the smallest model, then its P(hate)."""

import re

import nbformat
import numpy as np
import pytest
from conftest import SMALL
from studied import RUN, Lab

from hsd_utils import models, objectives, paths, predictions, provenance, scoring, study, trial


@pytest.mark.slow
def test_a_real_cell_is_trained_on_as_many_tokens_as_asked_and_scored(small, tmp_path, monkeypatch):
    fit, student, weights = trial.fit, scoring.student, paths.cache() / "models"
    Lab(monkeypatch, tmp_path)
    paths.cache().mkdir(parents=True)
    (paths.cache() / "models").symlink_to(weights.resolve(), target_is_directory=True)
    sent = []
    monkeypatch.setattr(trial, "fit", lambda *sends: sent.append(sends) or fit(*sends))
    monkeypatch.setattr(scoring, "student", student)
    asked = {"engine": "openvino", "engine_settings": {}, "constrained": False, "max_tokens": 9}
    provenance.write_json(RUN.results("04_evaluation"), {"asked": asked, "comparisons": []})

    made = study.read()
    (cell,) = [c for c in made["cells"] if c["name"] == "label_only, tokens" and c["seed"] == 0]
    short = {"batch_size": 2, "epochs": 1, "warmup_steps": 0}
    cell = cell | {"final": False, "changes": cell["changes"] | short}
    (line,) = study.execute(RUN, made | {"cells": [cell]}, 4)
    assert "failed" not in line and "roc_auc" in line
    ((row,), left) = study.finished(RUN, made | {"cells": [cell]}, 4)
    assert not left and row["n"] == 4 and row["seconds"] > 0

    tokenizer = models_tokenizer()
    targets = sent[0][0]["distil"]

    def tokens(objective):
        made = objectives.examples(targets, objective)
        return sum(len(objectives.encode(e, tokenizer)["input_ids"]) for e in made)

    assert tokens("weighted") > 1.1 * tokens("label_only")
    assert abs(row["tokens"] - tokens("weighted")) <= 0.75 * tokens("label_only")  # whole batches
    said = predictions.load(RUN.study(f"{row['key']}.jsonl"))
    assert len(said) == 48 and not said["unread"].any()
    assert said["p_hate"].between(0, 1).all() and np.ptp(said["p_hate"]) > 0


def test_the_recipe_is_the_one_that_notebook_03_spells_out():
    stage = "03_qlora_distillation"
    asked = provenance.defaults(stage)
    cells = nbformat.read(paths.NOTEBOOKS / f"{stage}.ipynb", 4).cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    (lora,) = re.findall(r"^lora = (\{.*\})$", code, re.M)
    (arguments,) = re.findall(r"^arguments = (\{.*?^\})", code, re.M | re.S)
    assert trial.recipe(asked) == (eval(lora, dict(asked)), eval(arguments, dict(asked)))


def models_tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(models.torch_weights(SMALL))


def test_a_training_that_fails_says_why(tmp_path):
    with pytest.raises(RuntimeError, match="(?s)training in x-0 failed.*KeyError: 'student'"):
        trial.fit({}, {}, tmp_path / "x-0")
