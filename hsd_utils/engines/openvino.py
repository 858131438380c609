"""OpenVINO GenAI over GGUF weights: the fast engine on CPUs.

Continuous batching keeps ``batch`` sequences busy, the prefix cache pays for the shared
few-shot prompt once, weights are whole rows of int8 (``hsd_utils.int8``), and a JSON schema keeps
every answer parsable for a tenth of the time (https://openvinotoolkit.github.io/openvino.genai).

    python -c "from hsd_utils import engines; engines.load('openvino', 'SmolLM2-135M-Instruct')"
"""

import json
import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

import openvino
import openvino_genai
from openvino_genai.py_openvino_genai import GenerationStatus

from hsd_utils import export, int8, models
from hsd_utils.engines import Answer, Request, identify


class OpenVINO:
    constrained, grammars, streams = True, True, True

    def __init__(self, gguf: Path, weights: Path, identity: dict, batch: int, cache_gb: int):
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.cache_size = cache_gb
        scheduler.enable_prefix_caching = True
        scheduler.max_num_seqs = batch
        properties = identity.get("properties", {})
        if weights != gguf:
            properties = {"DYNAMIC_QUANTIZATION_GROUP_SIZE": int8.activations(weights)} | properties
            if "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
                # The default of eight bits saves memory that is not scarce here, and costs speed.
                properties = {"KV_CACHE_PRECISION": "bf16"} | properties
        self.tokenizer = openvino_genai.Tokenizer(str(gguf))
        self.pipeline = openvino_genai.ContinuousBatchingPipeline(
            str(weights), self.tokenizer, scheduler, "CPU", **properties
        )
        self.batch = batch
        self.identity = identity
        self.files = sorted(weights.iterdir()) if weights.is_dir() else [weights]
        self.beginnings: dict[tuple[str, ...], set[int]] = {}
        self.submitted = 0  # the pipeline wants a fresh number for every request

    def __call__(self, requests: Iterable[Request]) -> Iterator[Answer]:
        waiting = iter(requests)
        first = next(waiting, None)
        if first is None:
            return
        clock = time.perf_counter()
        # A prompt is looked up in the prefix cache when it is submitted, so the shared prefix
        # has to be there before the crowd arrives: one token of the first request puts it in.
        handle = self._submit(self._prompt(first), self._config(max_tokens=1))
        while self.pipeline.has_non_finished_requests():
            self.pipeline.step()
        handle.read_all()
        running = [self._start(r) for r in chain([first], islice(waiting, self.batch - 1))]
        aside: list[Request] = []
        try:
            while running:
                self.pipeline.step()
                for job in list(running):
                    if (status := job.handle.get_status()) == GenerationStatus.RUNNING:
                        continue
                    fits = status != GenerationStatus.IGNORED  # into the cache
                    job.outputs.append(job.handle.read_all()[0] if fits else None)
                    if not fits and not job.alone:
                        running.remove(job)
                        aside.append(job.request)
                        continue
                    # One choice after the other: the second finds its prompt in the cache.
                    if len(job.outputs) < len(job.request.choices) and job.outputs[-1]:
                        job.handle = self._choose(job)
                        continue
                    running.remove(job)
                    now = time.perf_counter()
                    yield self._answer(job, now - clock)
                    clock = now
                # At the end of the turn: all that ran may have finished in one step.
                running += [self._start(r) for r in islice(waiting, self.batch - len(running))]
                if aside and not running:
                    # One prompt too long for the cache has those beside it dropped as well, so
                    # each that was dropped gets the cache for itself once.
                    running = [self._start(aside.pop(), alone=True)]
        finally:  # interrupted: leave the pipeline empty for the next call
            for job in running:
                job.handle.cancel()

    def _prompt(self, request: Request) -> str:
        turns = self.tokenizer.apply_chat_template(request.messages, add_generation_prompt=True)
        return turns + request.prefill

    def _config(self, max_tokens: int, schema: dict | str | None = None, forced: str | None = None):
        config = openvino_genai.GenerationConfig()
        config.apply_chat_template = False  # the prompt is templated already
        config.do_sample = False
        config.max_new_tokens = max_tokens
        if forced is not None:
            # Log probabilities are those before the grammar's mask: the model's own.
            config.logprobs = 1
            config.structured_output_config = openvino_genai.StructuredOutputConfig(regex=forced)
        elif schema is not None:
            text = isinstance(schema, str)
            held = {"grammar": schema} if text else {"json_schema": json.dumps(schema)}
            config.structured_output_config = openvino_genai.StructuredOutputConfig(**held)
            # The schema lets white space go on between two keys, until max_tokens.  No stop
            # strings against it: matching them was seen to dead-lock (openvino-genai 2026.4.1).
        return config

    def _submit(self, prompt: str, config):
        self.submitted += 1
        return self.pipeline.add_request(self.submitted, prompt, config)

    def _start(self, request: Request, alone: bool = False) -> "_Job":
        prompt = self._prompt(request)
        job = _Job(request, prompt, alone)
        if request.choices:
            job.handle = self._choose(job)
        else:
            job.handle = self._submit(prompt, self._config(request.max_tokens, request.schema))
        return job

    def _choose(self, job: "_Job"):
        choices = job.request.choices
        config = self._config(1, forced=choices[len(job.outputs)])
        # The grammar lets "T" begin "True" too, and it may be the likelier token.  Such
        # beginnings become tokens to stop at, which min_new_tokens forbids: those of all the
        # choices each time, so that their probabilities stay comparable.
        config.stop_token_ids, config.min_new_tokens = self._beginnings(choices), 1
        return self._submit(job.prompt, config)

    def _beginnings(self, choices: tuple[str, ...]) -> set[int]:
        """Tokens that begin a choice and are shorter than its own first token."""
        if choices not in self.beginnings:
            first = {self._tokens(choice)[0] for choice in choices}
            parts = [self._tokens(c[:n]) for c in choices for n in range(1, len(c))]
            self.beginnings[choices] = {part[0] for part in parts if len(part) == 1} - first
        return self.beginnings[choices]

    def _tokens(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).input_ids.data[0].tolist()

    def _answer(self, job: "_Job", seconds: float) -> Answer:
        key, prompt_tokens = job.request.key, len(self._tokens(job.prompt))
        if not all(job.outputs):
            return Answer(key, "", prompt_tokens, 0, seconds, "too long")
        if job.request.choices:
            weights = [math.exp(output.generated_log_probs[0]) for output in job.outputs]
            total = sum(weights)
            # All can underflow only if the model is certain of something else.
            shares = [w / total if total else 1 / len(weights) for w in weights]
            return Answer(key, "", prompt_tokens, len(weights), seconds, "choices", shares)
        (output,) = job.outputs
        stopped = output.finish_reason == openvino_genai.GenerationFinishReason.STOP
        text = job.request.prefill + self.tokenizer.decode(output.generated_ids)
        count, finish = len(output.generated_ids), "stop" if stopped else "length"
        return Answer(key, text, prompt_tokens, count, seconds, finish)


@dataclass(eq=False)
class _Job:
    """A request on its way: one output for each choice, or one in all; None: it did not fit."""

    request: Request
    prompt: str
    alone: bool  # nothing runs beside it
    handle: Any = None
    outputs: list[Any] = field(default_factory=list)


def load(
    model: str,
    *,
    adapter: Path | str | None = None,
    batch: int = 64,
    cache_gb: int = 2,
    as_read: bool = False,
    properties: dict[str, Any] | None = None,
):
    """Open a model's GGUF weights on the CPU.

    adapter: folder of a trained student, merged into its base on first use (``export``).
    batch: sequences decoded at once; cache_gb: memory of the key-value cache in GB.
    as_read: leave weights, activations and cache to OpenVINO GenAI's reading of the file.
    properties: OpenVINO's own, over those set here.
    Raises ValueError for a model without GGUF weights.
    """
    if not models.find(model).files or (path := models.fetch(model)).suffix != ".gguf":
        raise ValueError(f"{model} has no GGUF weights: use the transformers engine")
    identity = identify("openvino", "openvino-genai", model)
    if adapter is not None:
        path = export.merged(path, Path(adapter))
        identity["adapter"] = export.digest(Path(adapter))
    weights = path if as_read else int8.of_gguf(path)
    precision = "as read" if as_read else f"int8 rows, activations by {int8.activations(weights)}"
    identity["precision"] = precision
    identity |= {"properties": properties} if properties else {}
    return OpenVINO(path, weights, identity, batch, cache_gb)
