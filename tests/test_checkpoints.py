"""Checkpoints: whose they are, where they lie by now, how much patience is left; the log."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from hsd_utils import training  # Unsloth goes before torch and transformers

import torch  # isort: skip
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback  # isort: skip
from transformers import TrainingArguments  # isort: skip

from hsd_utils import checkpoints, objectives, provenance, trial  # isort: skip

DEV_LOSS = [1.0, 2.0, 1.5, 0.5, 0.9, 0.9, 0.9, 0.9]  # patience of two: over after three epochs


def test_fingerprints_tell_trainings_apart():
    some, of, recipe = [{"input_ids": [1]}], checkpoints.fingerprint, {"r": 8, "alpha": 1}
    one = of(some, [], **recipe)
    assert one == of(some, [], alpha=1, r=8)
    others = {of([{"input_ids": [2]}], [], **recipe), of([], some, **recipe), of(some, [], r=16)}
    assert len({one, *others}) == 4


def checkpoint(folder, step, whole=True):
    place = folder / "checkpoints" / f"checkpoint-{step}"
    place.mkdir(parents=True)
    (place / "adapter_model.safetensors").write_bytes(b"x")
    if whole:
        (place / "trainer_state.json").write_text("{}")
    return str(place)


def test_another_training_s_checkpoints_are_dropped_and_one_s_own_found(tmp_path):
    folder = tmp_path / "students" / "joint-0"
    assert checkpoints.last(folder, "one") is None
    checkpoint(folder, 4), (last := checkpoint(folder, 12))
    assert checkpoints.last(folder, "one") == last
    assert checkpoints.last(folder, "another") is None
    assert checkpoints.last(folder, "one") is None
    assert not (folder / "checkpoints").exists()


def test_a_checkpoint_that_was_being_written_is_passed_over(tmp_path):
    checkpoints.last(tmp_path / "s", "one")
    whole = checkpoint(tmp_path / "s", 4)
    checkpoint(tmp_path / "s", 8, whole=False)
    assert checkpoints.last(tmp_path / "s", "one") == whole
    half = Path(checkpoint(tmp_path / "s", 12)) / "trainer_state.json"
    half.write_text(half.read_text()[:-9])
    assert checkpoints.last(tmp_path / "s", "one") == whole and not half.exists()


class Weight(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x, labels=None):
        return {"loss": ((self.w - 5) ** 2).mean()}


class Toy(Trainer):
    """Two steps an epoch towards 5, and dev losses as written above."""

    def __init__(self, folder):
        settings = TrainingArguments(
            output_dir=str(folder / "checkpoints"),
            num_train_epochs=8,
            per_device_train_batch_size=2,
            learning_rate=0.5,
            eval_strategy="epoch",
            save_strategy="epoch",
            save_total_limit=2,
            load_best_model_at_end=True,
            metric_for_best_model="eval_loss",
            restore_callback_states_from_checkpoint=True,
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        )
        posts = [{"x": torch.zeros(1), "labels": torch.zeros(1)}] * 4
        patience = [EarlyStoppingCallback(2)]
        super().__init__(Weight(), settings, None, posts, posts, callbacks=patience)

    def evaluate(self, *_, **__):
        measured = {"eval_loss": DEV_LOSS[round(self.state.epoch) - 1]}
        self.log(dict(measured))
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, measured
        )
        return measured


class Killed(TrainerCallback):
    def on_step_begin(self, args, state, control, **_):
        if state.global_step == 5:  # in the third epoch
            raise KeyboardInterrupt


def trained(folder):
    toy = Toy(folder)
    checkpoints.train(toy, folder, "one")
    return toy.state.epoch, toy.state.best_metric, toy.model.w.item()


def test_a_killed_training_has_the_patience_it_had(tmp_path):
    whole = trained(tmp_path / "whole")
    assert whole[:2] == (3, 1.0) and whole[2] > 0.5
    toy = Toy(tmp_path / "killed")
    toy.add_callback(Killed())
    with pytest.raises(KeyboardInterrupt):
        checkpoints.train(toy, tmp_path / "killed", "one")
    assert trained(tmp_path / "killed") == whole
    (tmp_path / "killed" / "finished").unlink()  # killed before it was written
    assert trained(tmp_path / "killed") == whole


def test_what_is_finished_is_taken_from_where_it_lies_by_now(tmp_path):
    whole = trained(tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    assert trained(tmp_path / "there")[2] == whole[2]
    shutil.rmtree(tmp_path / "there" / "checkpoints" / "checkpoint-2")  # the best of them
    with pytest.raises(FileNotFoundError, match="checkpoint-2 is gone from there: remove that"):
        trained(tmp_path / "there")


def test_a_training_begun_again_without_its_checkpoints_is_not_finished(tmp_path):
    whole = trained(tmp_path / "one")
    shutil.rmtree(tmp_path / "one" / "checkpoints")
    toy = Toy(tmp_path / "one")
    toy.add_callback(Killed())
    with pytest.raises(KeyboardInterrupt):
        checkpoints.train(toy, tmp_path / "one", "one")
    assert trained(tmp_path / "one") == whole


def test_a_cell_s_settings_reach_its_examples(monkeypatch, tmp_path):
    asked = provenance.defaults(trial.NOTEBOOK) | {"alpha": 0.3, "label_first": False}
    asked |= {"definition": "un", "loss_on": "everything", "max_length": 99, "tokens_as": ""}
    told = []

    def encode_all(made, tokenizer, *how):
        told.append((made, *how))
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "load", lambda *_: (None, None))
    monkeypatch.setattr(training.FastLanguageModel, "get_peft_model", lambda *_, **__: None)
    monkeypatch.setattr(objectives, "examples", lambda rows, *how: how)
    monkeypatch.setattr(objectives, "encode_all", encode_all)
    with pytest.raises(KeyboardInterrupt):
        trial._train({"distil": [], "dev": []}, asked, tmp_path)
    assert told == [(("weighted", 0.3, False, "un"), "everything", 99)]


def test_the_log_has_losses_of_both_kinds_and_nothing_else():
    where = {"step": 1, "epoch": 0.5, "seconds": 2.0}
    history = [
        {"loss": 3.0, "grad_norm": 1.0, "learning_rate": 0.1, **where},
        {"eval_loss": 2.0, "eval_runtime": 9.0, **where},
        {"train_runtime": 5.0, "train_loss": 4.0, **where},
    ]
    trainer = SimpleNamespace(state=SimpleNamespace(log_history=history))
    assert training.log(trainer) == [where | {"loss": 3.0}, where | {"dev_loss": 2.0}]
