"""One training of the study or a further seed, by notebook 03's functions, in its own process.

A process that ends gives back its memory, and Unsloth, which patches the models it touches,
stays out of the one that scores.

    python -m hsd_utils.trial outputs/demo/study/gold-0 < request.json
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from ctypes.util import find_library
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock

from hsd_utils.machine import apart

NOTEBOOK = "03_qlora_distillation"
MEMORY = 8e9  # bytes: a student of 135 M parameters took up to 7.5 GB with long posts


def fit_seeds(
    targets: Mapping[str, list[dict]],
    settings: Mapping[str, Any],
    folders: Mapping[int, Path],
    at_once: int = 2,
) -> list[dict]:
    """``fit`` for each seed into its folder: seed, folder (its name) and what ``fit`` returns.

    On a GPU one after the other.  On a CPU up to ``at_once`` side by side, as far as cores and
    free memory (``MEMORY`` bytes each) allow: of 2,000 posts, two with a core each took 51 minutes
    and one with both cores 38.  Raises ``fit``'s RuntimeError of a seed that failed, when those at
    work are done; called again, it takes what is finished.
    """
    import torch

    cores, room = torch.get_num_threads(), int(psutil.virtual_memory().available // MEMORY)
    at_once = 1 if torch.cuda.is_available() else max(1, min(at_once, cores, room, len(folders)))
    threads = cores // at_once if at_once > 1 else None

    def one(seed: int) -> dict:
        made = fit(targets, {**settings, "seed": seed}, folders[seed], threads)
        return {"seed": seed, "folder": folders[seed].name, **made}

    with ThreadPoolExecutor(at_once) as pool:  # its threads only wait for processes
        return list(pool.map(one, folders))


def fit(
    targets: Mapping[str, list[dict]],
    settings: Mapping[str, Any],
    folder: Path,
    threads: int | None = None,
) -> dict:
    """Train a student on ``targets`` (of ``distil`` and ``dev``) and save it to ``folder``.

    threads: of the process, for torch; by default as many as it takes by itself.

    Returns examples, tokens (seen in all epochs), epochs, kept_epoch (those seen by the checkpoint
    that is kept, the one of the lowest dev loss; None where there is none), seconds and dev_loss.
    A killed training goes on from its last checkpoint.  Raises RuntimeError with the process's own
    words when it fails.
    """
    request = {"targets": targets, "settings": settings}
    share = {"OMP_NUM_THREADS": str(threads)} if threads else {}
    env, failed = os.environ | allocator() | share, f"the training in {folder.name} failed"
    return apart("trial", str(folder), request=request, failed=failed, env=env)


def allocator() -> dict[str, str]:
    """LD_PRELOAD for the environment of a process that trains; nothing where it is set already.

    torch allocates by posix_memalign, which fragments glibc's heap (its bug 14581): within some
    hundred steps nearly half of the time goes into looking for memory.  Not so with tcmalloc,
    where it is installed.  A process that writes weights for OpenVINO cannot take it.
    """
    found = find_library("tcmalloc_minimal")
    return {"LD_PRELOAD": found} if found and "LD_PRELOAD" not in os.environ else {}


def _train(targets: dict[str, list[dict]], asked: dict[str, Any], folder: Path) -> dict:
    lora, arguments = recipe(asked)  # what is missing is said before half a minute of imports

    from hsd_utils import training  # isort: skip (first: Unsloth patches what others import)
    from hsd_utils import checkpoints, models, objectives

    model, tokenizer = training.load(asked["student"], asked["max_length"], asked["four_bit"])
    model = training.FastLanguageModel.get_peft_model(
        model,
        **lora,
        bias="none",
        target_modules=training.LORA_TARGETS,
        use_gradient_checkpointing=asked["gradient_checkpointing"] or False,
        random_state=asked["seed"],
    )

    def encoded(rows, objective):
        told = (asked["alpha"], asked["label_first"], asked.get("definition", ""))
        made = objectives.examples(rows, objective, *told)
        return objectives.encode_all(made, tokenizer, asked["loss_on"], asked["max_length"])

    train, dev = (encoded(targets[split], asked["objective"]) for split in ("distil", "dev"))
    tokens = _tokens(train)
    if asked["tokens_as"]:  # as many tokens as that objective sees of the same posts
        more = _tokens(encoded(targets["distil"], asked["tokens_as"])) / tokens
        arguments["num_train_epochs"] *= more
        if arguments["max_steps"] > 0:
            arguments["max_steps"] = round(arguments["max_steps"] * more)
    how = {"patience": asked["patience"], "balanced": asked.get("balanced", False)} | arguments
    trainer = training.trainer(model, tokenizer, train, dev, folder, **how)
    whole = {key: asked[key] for key in ("student", "four_bit")} | lora | how
    whole["weights"] = models.weights(asked["student"])
    checkpoints.train(trainer, folder, checkpoints.fingerprint(train, dev, **whole))
    if asked.get("averaged"):
        steps = {trainer.state.best_global_step, trainer.state.global_step}
        average(model, [folder / "checkpoints" / f"checkpoint-{step}" for step in sorted(steps)])
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    log, state = training.log(trainer), trainer.state
    return {
        "examples": len(train),
        "tokens": round(tokens * state.epoch),
        "epochs": state.epoch,
        "kept_epoch": kept_epoch(log, state.best_global_step),
        "seconds": log[-1]["seconds"],
        "dev_loss": state.best_metric,
    }


def average(model, kept: Sequence[Path]) -> None:
    """Give a model the mean of the adapters of its checkpoints (of 03's: the best and the last)."""
    from peft import load_peft_weights, set_peft_model_state_dict

    each = [load_peft_weights(str(checkpoint), device="cpu") for checkpoint in kept]
    mean = {name: sum(weights[name] for weights in each) / len(each) for name in each[0]}
    set_peft_model_state_dict(model, mean)


def kept_epoch(log: list[dict], step: int | None) -> float | None:
    """Epochs seen by the checkpoint of a step of ``training.log``; None where none was kept."""
    return next((row["epoch"] for row in log if row["step"] == step), None)


def recipe(asked: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """LoRA's settings and the trainer's arguments, as notebook 03 spells them out."""
    lora = {"r": asked["lora_r"], "lora_alpha": asked["lora_alpha"]}
    return lora | {"lora_dropout": asked["lora_dropout"]}, {
        "learning_rate": asked["learning_rate"],
        "num_train_epochs": asked["epochs"],
        "max_steps": asked["max_steps"],
        "per_device_train_batch_size": asked["batch_size"],
        "per_device_eval_batch_size": asked["batch_size"],
        "gradient_accumulation_steps": asked["accumulation"],
        "gradient_checkpointing": bool(asked["gradient_checkpointing"]),
        "warmup_steps": asked["warmup_steps"],
        "weight_decay": asked["weight_decay"],
        "optim": asked["optimizer"],
        "lr_scheduler_type": "linear",
        "seed": asked["seed"],
    }


def _tokens(encoded: list[dict]) -> int:
    return sum(len(example["input_ids"]) for example in encoded)


if __name__ == "__main__":
    asked_for = json.load(sys.stdin)
    place = Path(sys.argv[1])
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{place}.lock"):  # that of a study which was killed may still be at work
        made = _train(asked_for["targets"], asked_for["settings"], place)
    print(json.dumps(made))
