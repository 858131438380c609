"""A run whose student is a toy, for the tests of the detector."""

import json
from dataclasses import dataclass, field

import pytest

from hsd_utils import engines
from hsd_utils.engines import Answer
from hsd_utils.paths import Run

TRAINED = {"base": "toy", "objective": "joint", "label_first": True, "folder": "joint-0"}
ASKED = {"engine": "toy", "engine_settings": {}, "constrained": False, "max_tokens": 50}


@dataclass
class Toy:
    """Hate is what has the word 'awful'; its quote is that word.  Counts what it is asked."""

    identity: dict = field(default_factory=lambda: {"engine": "toy", "model": "toy"})
    constrained: bool = False
    streams: bool = False
    grammars: bool = False
    batch: int = 1
    files: list = field(default_factory=list)
    asked: list = field(default_factory=list)
    stop_after: int = 10**9
    reason: str = "it says so"

    def __call__(self, requests):
        for request in reversed(list(requests)):  # answers come in any order
            if len(self.asked) >= self.stop_after:
                raise KeyboardInterrupt
            text = request.messages[-1]["content"].split("\n\n", 1)[1]
            self.asked.append(text)
            hate = "awful" in text
            if request.choices:
                shares = [0.1, 0.9] if hate else [0.9, 0.1]
                yield Answer(request.key, "", 5, 2, 0.1, "choices", shares)
            else:
                quote = next((w for w in text.split() if "awful" in w), text.split()[0])
                said = json.dumps(quote)[1:] + f', "explanation": "{self.reason}"' + "}]}"
                yield Answer(request.key, request.prefill + said, 5, 9, 0.1, "stop")


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A run that was evaluated, and the engine that its student runs in."""
    monkeypatch.setenv("HSD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HSD_OUTPUTS", str(tmp_path / "outputs"))
    run = Run("demo")
    run.results("04_evaluation").parent.mkdir(parents=True)
    run.results("03_qlora_distillation").write_text(json.dumps({"student": TRAINED}))
    evaluated = {"asked": ASKED, "models": {"student": {"threshold": 0.5}}}
    run.results("04_evaluation").write_text(json.dumps(evaluated))
    sampled = {"parameters": {"anonymise": True}}
    run.stage_manifest("01_sampling").write_text(json.dumps(sampled))
    run.student("joint-0").mkdir(parents=True)
    (run.student("joint-0") / "adapter_model.safetensors").touch()
    engine, opened = Toy(), []

    def load(name, model, **settings):
        opened.append((name, model, settings))
        return engine

    monkeypatch.setattr(engines, "load", load)
    engine.opened = opened
    return engine
