"""Ray Data LLM: many machines, vLLM on their GPUs or endpoints that are already running.

Ray carries requests to its workers and answers back; a caller stores each as it arrives, so a
killed run asks only for what is missing.  What fails in company is asked again alone: a post
that breaks its worker is counted as failed and takes no other with it.  Needs
requirements-ray.txt; cluster.md has the commands.

    engines.load("ray", "meta-llama/Meta-Llama-3-70B-Instruct", workers=2, tensor_parallel=4)
    engines.load("ray", "SmolLM2", base_url="http://node7:8000/v1", workers=32)
"""

import json
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from openai.types.chat import ChatCompletion

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read on import: nothing is reported
try:
    import ray
    from ray.data.llm import HttpRequestProcessorConfig, build_processor, vLLMEngineProcessorConfig
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"{error}: run pip install --no-deps -r requirements-ray.txt"
    ) from error

from hsd_utils.engines import Answer, Request, identify
from hsd_utils.engines.openai import address, body, read

log = logging.getLogger(__name__)

CHUNK = 20_000  # requests in the driver's memory at once
ALONE = 2  # tries of a request by itself, after one in company


class Ray:
    constrained, grammars, streams = True, False, False

    def __init__(self, config, steps: dict, identity: dict, batch: int):
        self.config, self.steps, self.identity, self.batch = config, steps, identity, batch
        self.files: list = []

    def __call__(self, requests: Iterable[Request]) -> Iterator[Answer]:
        waiting = iter(requests)
        while missing := {request.key: request for request in islice(waiting, CHUNK)}:
            asked = len(missing)
            yield from self._ask(missing, self.batch)
            if len(missing) == asked > self.batch:
                raise ConnectionError(f"none of {asked} requests got through: read Ray's log")
            for _ in range(ALONE):
                yield from self._ask(missing, 1)
            for key in missing:
                log.warning("%s: no answer", key)
                yield Answer(key, "", 0, 0, 0.0, "failed")

    def _ask(self, missing: dict[str, Request], block: int) -> Iterator[Answer]:
        """One pass in blocks of that many; what is answered leaves ``missing``."""
        if not missing:
            return
        model = self.identity["model"]
        rows = [{"key": r.key, "body": json.dumps(body(r, model))} for r in missing.values()]
        data = ray.data.from_items(rows, override_num_blocks=-(-len(rows) // block))
        config = self.config.model_copy(update={"batch_size": block})
        clock = time.perf_counter()
        for row in build_processor(config, **self.steps)(data).iter_rows():
            completion, key = ChatCompletion.model_construct(), row.get("key")
            if key not in missing:
                continue  # vLLM's rows of errors pass the steps by, and may come without it
            try:
                completion = ChatCompletion.model_validate_json(row.get("completion") or "")
            except ValueError:
                log.info("%s: no completion", key)
            answer = read(missing[key], completion)
            if answer is not None:
                del missing[answer.key]
                now = time.perf_counter()
                yield replace(answer, seconds=now - clock)
                clock = now


def _for_endpoint(row: dict) -> dict:
    return {"key": row["key"], "payload": json.loads(row["body"])}


def _of_endpoint(row: dict) -> dict:
    # Arrow has made arrays of lists on the way.
    answer = json.dumps(row["http_response"], default=lambda array: array.tolist())
    return {"key": row["key"], "completion": answer}


def _for_vllm(row: dict) -> dict:
    """An endpoint's request as vLLM's own sampling parameters."""
    asked = json.loads(row["body"])
    sampling = {"temperature": 0, "max_tokens": asked["max_tokens"]}
    if form := asked.get("response_format"):
        sampling["structured_outputs"] = {"json": json.dumps(form["json_schema"]["schema"])}
    if asked.get("logprobs"):
        sampling["logprobs"] = asked["top_logprobs"]
    return {"key": row["key"], "messages": asked["messages"], "sampling_params": sampling}


def _of_vllm(row: dict) -> dict:
    """What vLLM generated as the completion an endpoint would have sent."""
    if row.get("__inference_error__"):
        return {"key": row["key"], "completion": ""}
    places, given = [], row.get("logprobs")
    for token, found in zip(row["generated_tokens"], [] if given is None else given, strict=False):
        top = {int(t): seen for t, seen in found.items() if seen is not None}
        named = [
            {"token": seen["decoded_token"], "logprob": seen["logprob"], "top_logprobs": []}
            for _, seen in sorted(top.items(), key=lambda pair: pair[0] != int(token))
        ]
        places.append(named[0] | {"top_logprobs": named[1:]})
    counts = int(row["num_input_tokens"]), int(row["num_generated_tokens"])
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": row["generated_text"]},
        "finish_reason": "length" if counts[1] >= row["sampling_params"]["max_tokens"] else "stop",
        "logprobs": {"content": places} if places else None,
    }
    usage = {"prompt_tokens": counts[0], "completion_tokens": counts[1]}
    usage["total_tokens"] = sum(counts)
    made = {"id": row["key"], "object": "chat.completion", "created": 0, "model": ""}
    made |= {"choices": [choice], "usage": usage}
    return {"key": row["key"], "completion": json.dumps(made)}


def load(
    model: str,
    *,
    base_url: str = "",
    cluster: str | None = None,
    workers: int = 1,
    batch: int = 64,
    retries: int = 6,
    tensor_parallel: int = 1,
    engine_kwargs: dict[str, Any] | None = None,
):
    """Open a model on a Ray cluster.

    base_url: an endpoint that the workers ask, one request in flight each; without it every
    worker runs vLLM on ``tensor_parallel`` GPUs, engine_kwargs being vLLM's own.  cluster: its
    address, by default RAY_ADDRESS, else this machine.  batch: posts of one task.  retries: of
    one request to an endpoint.  The endpoint's key is read from OPENAI_API_KEY only.
    Raises ValueError for a base_url that is no http(s) address.
    """
    identity = {"engine": "ray", "version": "chat.completions 2", "model": model}
    if base_url:
        identity["weights"] = [address(base_url)]
        key = os.environ.get("OPENAI_API_KEY")
        config = HttpRequestProcessorConfig(
            url=f"{address(base_url)}/chat/completions",
            headers={"Authorization": f"Bearer {key}"} if key else None,
            concurrency=(workers, workers),
            batch_size=batch,
            max_retries=retries,
            base_retry_wait_time_in_s=0.5,
            http_request_stage={"num_cpus": 0.1},  # a worker does nothing but wait
        )
        steps = {"preprocess": _for_endpoint, "postprocess": _of_endpoint}
    else:
        engine = {"tensor_parallel_size": tensor_parallel, "enable_prefix_caching": True}
        engine |= engine_kwargs or {}
        identity = identify("ray", "ray", model, vllm=json.dumps(engine, sort_keys=True))
        config = vLLMEngineProcessorConfig(
            model_source=model,
            engine_kwargs=engine,
            concurrency=workers,
            batch_size=batch,
            should_continue_on_error=True,
        )
        steps = {"preprocess": _for_vllm, "postprocess": _of_vllm}
    # Workers then need Ray, and vLLM where they run it, but not this project.
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    ray.init(address=cluster, ignore_reinit_error=True, log_to_driver=False)
    context = ray.data.DataContext.get_current()
    context.max_errored_blocks = -1  # the posts of a block that failed are asked again
    context.enable_progress_bars = False
    return Ray(config, steps, identity, batch)
