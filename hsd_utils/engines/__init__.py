"""Engines: conversations in, answers out, in whatever order they finish.

An engine is what runs a language model.  ``load`` opens one by name; the result is a callable
that takes requests and yields answers, so that a caller can store each answer the moment it
is paid for.  Two kinds of request: generate an answer (optionally held to a JSON schema, or
begun for the model by ``prefill``), or weigh a few given continuations (``choices``), which is
how P(hate) is read at the label token.

    engine = engines.load("openvino", "Qwen2.5-Coder-1.5B-Instruct")
    for answer in engine([Request("a", prompts.teacher("I love my neighbours."))]): ...
"""

import importlib
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from hsd_utils import models

# Modules beside this one with a ``load`` function; imported on use, since each is heavy.
ENGINES = ("openai", "openvino", "ray", "released", "transformers")
NOTE = "note: "  # how a line begins that the pipeline passes on to its terminal
# ``finish`` of a request that got no answer: not stored, so that a rerun tries again.
UNANSWERED = ("too long", "failed")


@dataclass(frozen=True)
class Request:
    """One thing to ask a model.

    messages: chat turns, each {"role", "content"}.  prefill: the beginning of the model's own
    turn, returned as part of the answer's text.  choices: continuations to weigh after the
    prefill instead of generating; they must differ in their first token.  schema: JSON schema
    that the whole answer must follow (only for an engine whose ``constrained`` is True, and
    then without prefill), or, as text, a grammar in EBNF (where ``grammars`` is True).
    """

    key: str
    messages: list[dict[str, str]]
    prefill: str = ""
    choices: tuple[str, ...] = ()
    schema: dict[str, Any] | str | None = None
    max_tokens: int = 256

    def shape(self) -> str:
        """Everything that shapes the answer, as canonical JSON: what a store hashes."""
        parts = asdict(self)
        del parts["key"]
        # Key order in a schema is the order of the answer's keys, so it is not sorted away.
        return json.dumps(parts, ensure_ascii=False)


@dataclass(frozen=True)
class Answer:
    """What came back.

    finish: "stop", "length" (cut at max_tokens), "choices", or one of ``UNANSWERED``: "too long"
    (a prompt that does not fit the engine) or "failed" (after all retries), both without text
    or probabilities.  seconds: the engine's wall time since the answer before, so that they add
    up to the time paid.  probabilities: one a choice, summing to 1 over the choices; empty for a
    generated answer.
    """

    key: str
    text: str
    prompt_tokens: int
    answer_tokens: int
    seconds: float
    finish: str
    probabilities: list[float] = field(default_factory=list)


class Engine(Protocol):
    """What ``load`` returns.

    identity: everything of the engine that shapes answers (weights, precision, ...).
    constrained: whether it can hold an answer to a schema.  grammars: and to a grammar.
    batch: sequences run at once.
    files: the weights on disk, where they are known.  streams: whether it takes few more requests
    than it is at work on (transformers 16 batches), so that a crash tells which ones they were.
    """

    identity: dict[str, Any]
    constrained: bool
    grammars: bool
    batch: int
    files: list[Path]
    streams: bool

    def __call__(self, requests: Iterable[Request]) -> Iterator[Answer]: ...


def note(line: str) -> None:
    """What whoever pays for answers must see, in the notebook and on the pipeline's terminal."""
    print(NOTE + line, file=sys.stderr, flush=True)


def identify(engine: str, package: str, model: str, **more: str) -> dict[str, Any]:
    """An engine's identity: its version, and hashes or hub revision of the model's weights."""
    described = {"engine": engine, "version": version(package), "model": model}
    return described | {"weights": models.weights(model)} | more


def load(engine: str, model: str, **settings) -> Engine:
    """Open ``model`` (a name of ``models.MODELS`` or a hub id) in an engine.

    Settings are the engine's own, see its ``load``.  Raises ValueError for an unknown engine.
    """
    if engine not in ENGINES:
        raise ValueError(f"unknown engine {engine!r}: one of {', '.join(ENGINES)}")
    return importlib.import_module(f"{__name__}.{engine}").load(model, **settings)
