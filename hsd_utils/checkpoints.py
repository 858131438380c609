"""What a training that was killed goes on from, and what one that is done is known by.

identity = checkpoints.fingerprint(train, dev, **recipe)
checkpoints.train(trainer, folder, identity)
"""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from transformers import TrainerState
from transformers.trainer_utils import get_last_checkpoint


def fingerprint(train: list[dict], dev: list[dict], **recipe: Any) -> str:
    """Hash of everything a training depends on: its examples and its recipe."""
    whole = json.dumps([train, dev, recipe], sort_keys=True, default=str)
    return hashlib.sha256(whole.encode()).hexdigest()


def last(folder: Path, fingerprint: str) -> str | None:
    """Where an interrupted training of the same fingerprint goes on, or None.

    Checkpoints of another training in the same folder are removed, and one whose writing was
    interrupted.  Raises FileNotFoundError where the best one so far is gone.
    """
    checkpoints, stamp = folder / "checkpoints", folder / "fingerprint"
    if not stamp.exists() or stamp.read_text() != fingerprint:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        stamp.write_text(fingerprint)
    for place in checkpoints.glob("checkpoint-*"):
        try:
            _state(str(place))  # Trainer writes it last
        except (OSError, ValueError):
            shutil.rmtree(place)
    newest = get_last_checkpoint(str(checkpoints)) if checkpoints.is_dir() else None
    if newest and (state := _state(newest)).best_model_checkpoint:
        best = checkpoints / Path(state.best_model_checkpoint).name  # the folder may have moved
        if not best.is_dir():
            raise FileNotFoundError(f"{best.name} is gone from {folder.name}: remove that folder")
        state.best_model_checkpoint = str(best)
        state.save_to_json(f"{newest}/trainer_state.json")
    return newest


def _state(checkpoint: str) -> TrainerState:
    return TrainerState.load_from_json(f"{checkpoint}/trainer_state.json")


def train(trainer, folder: Path, fingerprint: str) -> None:
    """Train, go on from the last checkpoint of the same fingerprint, or take what is finished."""
    checkpoint, finished = last(folder, fingerprint), folder / "finished"
    if checkpoint:
        trainer.state = _state(checkpoint)
        control = trainer.state.stateful_callbacks.get("TrainerControl", {"args": {}})
        if finished.exists() or control["args"].get("should_training_stop"):
            trainer._load_best_model()
            return
    finished.unlink(missing_ok=True)  # of a training whose checkpoints are gone
    trainer.train(resume_from_checkpoint=checkpoint)
    finished.touch()
