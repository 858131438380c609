"""One cell of the study for real: a few posts and steps of the smallest model, then its P(hate)."""

import json
import os
import re
import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import peft
import pytest
import torch
from cells import code
from conftest import SMALL
from filelock import FileLock
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
    assert 0 < row["kept_epoch"] <= row["epochs"]

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
    whole = "\n".join(code(stage))
    (lora,) = re.findall(r"^lora = (\{.*\})$", whole, re.M)
    (arguments,) = re.findall(r"^arguments = (\{.*?^\})", whole, re.M | re.S)
    assert trial.recipe(asked) == (eval(lora, dict(asked)), eval(arguments, dict(asked)))


def models_tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(models.torch_weights(SMALL))


def test_a_training_that_fails_says_why(tmp_path):
    with pytest.raises(RuntimeError, match="(?s)training in x-0 failed.*KeyError: 'lora_r'"):
        trial.fit({}, {}, tmp_path / "x-0")


class Fits:
    """In place of ``fit``: what was asked for, what ended, and how many were at work at once."""

    def __init__(self, patch, cores=2, gpu=False, available=20e9, failing=()):
        self.asked, self.ended, self.working, self.most = [], [], 0, 0
        self.lock, self.failing = threading.Lock(), failing
        self.together = threading.Barrier(2)
        patch.setattr("torch.get_num_threads", lambda: cores)
        patch.setattr("torch.cuda.is_available", lambda: gpu)
        memory = SimpleNamespace(available=available)
        patch.setattr(trial.psutil, "virtual_memory", lambda: memory)
        patch.setattr(trial, "fit", self.fit)

    def fit(self, targets, settings, folder, threads):
        with self.lock:
            self.asked.append((settings["seed"], folder.name, threads))
            self.working += 1
            self.most = max(self.most, self.working)
        if threads:  # ends only when another is at work too
            self.together.wait(20)
        with self.lock:
            self.working -= 1
        if settings["seed"] in self.failing:
            raise RuntimeError(f"the training in {folder.name} failed: its words")
        self.ended.append(settings["seed"])
        return {"tokens": 10 * settings["seed"]}


def folders(tmp_path, *seeds):
    return {seed: tmp_path / f"x-{seed}" for seed in seeds}


def test_further_seeds_are_trained_side_by_side_with_a_share_of_the_cores(tmp_path, monkeypatch):
    fits = Fits(monkeypatch, cores=5)
    made = trial.fit_seeds({}, {"alpha": 0.5}, folders(tmp_path, 3, 1), 2)
    assert fits.most == 2 and sorted(fits.asked) == [(1, "x-1", 2), (3, "x-3", 2)]
    assert made == [
        {"seed": 3, "folder": "x-3", "tokens": 30},
        {"seed": 1, "folder": "x-1", "tokens": 10},
    ]
    assert trial.fit_seeds({}, {}, {}, 2) == []


@pytest.mark.parametrize(
    "at_once, why", [(2, {"gpu": True}), (2, {"cores": 1}), (2, {"available": 15e9}), (1, {})]
)
def test_on_a_gpu_and_where_there_is_no_room_they_go_one_by_one(
    tmp_path, monkeypatch, at_once, why
):
    fits = Fits(monkeypatch, **why)
    assert len(trial.fit_seeds({}, {}, folders(tmp_path, 1, 2), at_once)) == 2
    assert fits.most == 1 and fits.asked == [(1, "x-1", None), (2, "x-2", None)]


def test_one_that_fails_says_so_and_the_other_ends(tmp_path, monkeypatch):
    fits = Fits(monkeypatch, failing=[1])
    with pytest.raises(RuntimeError, match="training in x-1 failed: its words"):
        trial.fit_seeds({}, {}, folders(tmp_path, 1, 2), 2)
    assert fits.ended == [2]


@pytest.mark.parametrize("threads, told", [(3, "3"), (None, "7")])
def test_a_process_is_told_its_share_of_threads(tmp_path, monkeypatch, threads, told):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    sent = []
    done = SimpleNamespace(returncode=0, stdout="{}")
    monkeypatch.setattr(subprocess, "run", lambda *_, **how: sent.append(how["env"]) or done)
    assert trial.fit({}, {}, tmp_path / "x-0", threads) == {}
    assert sent[0]["OMP_NUM_THREADS"] == told and os.environ["OMP_NUM_THREADS"] == "7"


def test_a_training_waits_for_one_that_a_killed_study_left_at_work_in_its_folder(tmp_path):
    command = [sys.executable, "-m", "hsd_utils.trial", str(tmp_path / "study" / "x-0")]
    request = json.dumps({"targets": {}, "settings": {}})
    (tmp_path / "study").mkdir()
    with FileLock(tmp_path / "study" / "x-0.lock"):
        second = subprocess.Popen(command, stdin=-1, stderr=-1, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            second.communicate(request, timeout=5)
    assert "KeyError" in second.communicate()[1]  # it begins: the request names no recipe


def test_averaged_the_student_has_the_mean_of_the_kept_adapters(tmp_path):
    torch.manual_seed(0)
    config = peft.LoraConfig(target_modules=["0"])
    model = peft.get_peft_model(torch.nn.Sequential(torch.nn.Linear(3, 3)), config)
    kept = [tmp_path / "checkpoint-2", tmp_path / "checkpoint-4"]
    for n, folder in enumerate(kept):
        for weight in model.parameters():
            weight.data.fill_(1 + 2 * n) if weight.requires_grad else None
        model.save_pretrained(folder)
    trial.average(model, kept)
    learned = [weight for weight in model.parameters() if weight.requires_grad]
    assert len(learned) == 2 and all((weight == 2).all() for weight in learned)


def test_the_epoch_that_is_kept_is_that_of_the_best_step():
    log = [{"step": 3, "epoch": 1.0}, {"step": 6, "epoch": 2.0}, {"step": 9, "epoch": 3.0}]
    assert trial.kept_epoch(log, 6) == 2.0
    assert trial.kept_epoch(log, None) is None
