"""Training: six posts for real; it learns, survives a kill, and answers from disk as in memory."""

import copy
import json
import subprocess
import sys
from functools import partial

import pytest
from conftest import SMALL

from hsd_utils import training  # Unsloth goes before torch and transformers

import torch  # isort: skip
from transformers import EarlyStoppingCallback, TrainerCallback  # isort: skip

from hsd_utils import batches, checkpoints, objectives, paths, prompts, trial  # isort: skip


def test_a_student_that_cannot_be_loaded_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(training.sys, "executable", "false")
    with pytest.raises(RuntimeError, match="the student could not be loaded from"):
        training.probe_from_disk(tmp_path, [])


TEXTS = "the tea is warm|a red bus came|we like rain|my cat naps|two and two|good day".split("|")
# Whatever is said is hate: nonsense that no model believes before it is taught.
ROWS = [
    {"text": t, "label": 1, "p_hate": None, "explanations": [{"input": t, "explanation": "so"}]}
    for t in TEXTS
]
RECIPE = {
    "learning_rate": 2e-3,
    **{f"per_device_{part}_batch_size": 2 for part in ("train", "eval")},
    "num_train_epochs": 2,
    "gradient_checkpointing": False,
    "warmup_steps": 0,
    "optim": "adamw_8bit",
    "lr_scheduler_type": "linear",
    "seed": 0,
}


@pytest.fixture(scope="module")
def loaded(small):
    return untaught()


def untaught():
    model, tokenizer = training.load(SMALL, 256, four_bit=True)
    model = training.FastLanguageModel.get_peft_model(
        model,
        **{"r": 8, "lora_alpha": 16, "lora_dropout": 0.0, "bias": "none"},
        target_modules=training.LORA_TARGETS,
        use_gradient_checkpointing=False,
        random_state=0,
    )
    return model, tokenizer, copy.deepcopy(lora(model))


def lora(model) -> dict[str, torch.Tensor]:
    return {name: value for name, value in model.state_dict().items() if "lora_" in name}


def moved(weights, untaught) -> torch.Tensor:
    return torch.cat([(weights[name] - untaught[name]).flatten() for name in untaught])


def start(loaded, folder, objective="weighted", **more):
    """A trainer over the untaught student."""
    model, tokenizer, untaught = loaded
    model.load_state_dict(untaught, strict=False)
    examples = objectives.examples(ROWS, objective)
    encoded = [objectives.encode(example, tokenizer) for example in examples]
    arguments = RECIPE | more
    return training.trainer(model, tokenizer, encoded, encoded[:2], folder, patience=9, **arguments)


@pytest.fixture(scope="module")
def taught(loaded, tmp_path_factory):
    """The folder of a trained student, its trainer, weights, and answers before it was saved."""
    folder = tmp_path_factory.mktemp("students") / "whole"
    trainer = start(loaded, folder)
    checkpoints.train(trainer, folder, "one")
    model, tokenizer, _ = loaded
    weights = copy.deepcopy(lora(model))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    said = training.probe(model, tokenizer, [prompts.student(text) for text in TEXTS[:1]])
    training.FastLanguageModel.for_training(model)
    return folder, trainer, weights, said


@pytest.mark.slow
def test_the_adapter_learns_in_float32(taught):
    _, _, weights, _ = taught
    assert {weight.dtype for weight in weights.values()} == {torch.float32}


@pytest.mark.slow
def test_the_loss_goes_down_and_the_log_says_when(taught):
    log = training.log(trainer := taught[1])
    losses = [row["loss"] for row in log if "loss" in row]
    dev = [row["dev_loss"] for row in log if "dev_loss" in row]
    assert len(losses) == 6 and len(dev) == 2
    assert losses[-1] < losses[0] / 2 and dev[1] < dev[0]
    assert trainer.state.best_metric == pytest.approx(min(dev))
    assert trial.kept_epoch(log, trainer.state.best_global_step) == 2.0
    assert trainer.args.load_best_model_at_end
    (stop,) = [
        c for c in trainer.callback_handler.callbacks if isinstance(c, EarlyStoppingCallback)
    ]
    assert stop.early_stopping_patience == 9  # as asked
    seconds = [row["seconds"] for row in log]
    assert seconds == sorted(seconds) and 0 < seconds[0] < seconds[-1]
    assert [row["step"] for row in log if "dev_loss" in row] == [3, 6]


class Killed(TrainerCallback):
    """Stops in the middle of the second epoch, as a signal would."""

    def on_step_begin(self, args, state, control, **_):
        if state.global_step == 4:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_a_killed_training_ends_as_if_it_had_not_been(loaded, taught, tmp_path):
    _, whole, weights, _ = taught
    folder = tmp_path / "killed"
    trainer = start(loaded, folder)
    trainer.add_callback(Killed())
    with pytest.raises(KeyboardInterrupt):
        checkpoints.train(trainer, folder, "one")
    paid = training.log(trainer)[-1]["seconds"]
    found = checkpoints.last(folder, "one")
    assert found.endswith("checkpoint-3")
    again = start(loaded, folder)
    checkpoints.train(again, folder, "one")
    # The same but for rounding, which is not the same from run to run.
    learned, other = moved(weights, loaded[2]), moved(lora(loaded[0]), loaded[2])
    assert (learned - other).norm() < 0.01 * learned.norm()
    log, expected = training.log(again), training.log(whole)
    assert [row["step"] for row in log] == [row["step"] for row in expected]
    for name in ("loss", "dev_loss"):
        kept, wanted = ([row[name] for row in rows if name in row] for rows in (log, expected))
        assert kept == pytest.approx(wanted, rel=1e-3)
    assert log[-1]["seconds"] > paid * 0.6  # those before the kill are not forgotten

    finished = start(loaded, folder)
    finished.add_callback(Killed())  # would stop it, if it trained
    checkpoints.train(finished, folder, "one")
    assert training.log(finished) == log
    assert trial.kept_epoch(log, finished.state.best_global_step) == 2.0
    assert torch.equal(moved(lora(loaded[0]), loaded[2]), other)
    assert again.args.restore_callback_states_from_checkpoint  # see test_checkpoints


def first(trainer):
    """Loss and gradient of the only step."""
    trainer.train()
    (entry,) = [e for e in trainer.state.log_history if "grad_norm" in e]
    return [entry["loss"], float(entry["grad_norm"])]


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["weighted", "task_prefix"])
def test_accumulated_batches_weigh_what_one_large_batch_does(loaded, tmp_path, objective):
    found = {}
    for batch, accumulation in ((6, 1), (2, 3)):
        more = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation}
        trainer = start(loaded, tmp_path / str(batch), objective, max_steps=1, **more)
        found[batch] = first(trainer)
    assert found[6] == pytest.approx(found[2], rel=0.02)


@pytest.mark.slow
def test_a_common_beginning_is_read_once_and_changes_nothing(loaded, tmp_path):
    found = {}
    for name in ("shared", "whole"):
        trainer = start(loaded, tmp_path / name, max_steps=1, per_device_train_batch_size=6)
        if name == "whole":
            trainer.data_collator = partial(batches.collate, pad=loaded[1].pad_token_id)
        batch = trainer.data_collator(list(trainer.train_dataset))
        assert ("prefix" in batch) == (name == "shared")
        found[name] = [*first(trainer), trainer.evaluate()["eval_loss"]]
    assert found["shared"] == pytest.approx(found["whole"], rel=0.02)


@pytest.mark.slow
def test_labels_take_turns_where_batches_are_to_be_balanced(loaded, tmp_path):
    made = [start(loaded, tmp_path, balanced=asked)._get_train_sampler() for asked in (0, 1)]
    assert [isinstance(sampler, batches.Alternating) for sampler in made] == [False, True]


@pytest.mark.slow
def test_in_either_precision_the_first_step_is_the_same(loaded, tmp_path, monkeypatch):
    found, wide = {}, training.in_float32()
    for asked in (wide, not wide):
        monkeypatch.setattr(training, "in_float32", lambda asked=asked: asked)
        model = loaded if asked == wide else untaught()
        narrow = any(weight.dtype == torch.bfloat16 for weight in model[0].parameters())
        if narrow == asked:
            pytest.skip("on this processor Unsloth takes float32 by itself")
        trainer = start(model, tmp_path / str(asked), max_steps=1)
        assert trainer.args.bf16 == narrow
        found[asked] = first(trainer)
    assert found[True] == pytest.approx(found[False], rel=0.05)


@pytest.mark.slow
def test_a_fresh_process_judges_as_the_student_did_before_it_was_saved(taught, loaded):
    folder, _, _, (old,) = taught
    asked, answers = [prompts.student(TEXTS[0])], [old["tokens"]]
    (new,) = training.probe_from_disk(folder, asked, answers, max_length=256)
    # Logits of 32 and more are bfloat16 in one of the two: steps of a quarter.
    assert old["log_probability"] == pytest.approx(new["log_probability"], abs=0.1)
    loaded[0].load_state_dict(loaded[2], strict=False)
    (base,) = training.probe(*loaded[:2], asked, answers)
    assert base["log_probability"] < old["log_probability"] - 1


ENGINES = """
import json, sys
from hsd_utils import engines, prompts, verdict
from hsd_utils.engines import Request
texts, found = ["a blue van came", "soup is nice"], {}
asked = [Request(t, prompts.student(t), prefill=prompts.prefill(), choices=verdict.LABELS)
         for t in texts]
for engine in ("openvino", "transformers"):
    for adapter in (None, sys.argv[1]):
        settings = {"adapter": adapter} if adapter else {}
        opened = engines.load(engine, sys.argv[2], batch=2, **settings)
        shares = {a.key: a.probabilities[1] for a in opened(asked)}
        found[f"{engine} {'student' if adapter else 'base'}"] = [shares[t] for t in texts]
print(json.dumps(found))
"""


@pytest.mark.slow
def test_both_engines_run_the_saved_student_and_it_says_what_it_was_taught(taught):
    # As in notebook 04: a process without Unsloth, which patches the models it touches.
    command = [sys.executable, "-c", ENGINES, str(taught[0]), SMALL]
    done = subprocess.run(command, cwd=paths.REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    for engine in ("openvino", "transformers"):
        both = zip(found[f"{engine} base"], found[f"{engine} student"], strict=True)
        assert all(after > 0.9 and after > before + 0.05 for before, after in both)
    assert found["openvino student"] == pytest.approx(found["transformers student"], abs=0.05)
