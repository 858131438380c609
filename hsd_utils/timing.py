"""Latency, throughput and memory of a model, each measured in a process of its own.

A fresh process gives a peak memory that belongs to one model alone.  Every measurement starts
warm and sends posts that no earlier measurement sent, since a prefix cache would answer those
from memory.

    timing.measure({"engine": "openvino", "model": "SmolLM2-135M-Instruct", ...}, posts)
"""

import json
import re
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np

from hsd_utils.machine import apart

MODES = ("label only", "with explanation")
ELSEWHERE = ("openai", "ray")  # engines whose model runs in other processes than ours
P95_BATCHES = 20  # below this many batches a 95th percentile is the maximum in disguise


def measure(spec: dict[str, Any], texts: list[str]) -> dict[str, Any]:
    """Time one model on posts; returns rows, load_seconds, peak_bytes and disk_bytes (or None).

    spec: engine, model, engine_settings, adapter (a student's folder) if any, prompt (the teacher's
    settings; empty for the student's, which has trained: objective and label_first), constrained,
    max_tokens, and posts: batch size -> number of posts.  A model that writes its explanation first
    has no rows of the label only.  A row has mode, batch, posts, batches, p50 and p95 (seconds a
    post; p95 is None below 20 batches), posts_per_second, prompt_tokens and answer_tokens (means a
    post).  Raises ValueError for too few posts, RuntimeError with the process's own words if it
    fails.
    """
    if short := [batch for batch, posts in spec["posts"].items() if posts < int(batch)]:
        raise ValueError(f"batches of {', '.join(short)} take as many posts at least: raise posts")
    needed = len(MODES) * (1 + sum(spec["posts"].values()))
    if len(texts) < needed:
        raise ValueError(
            f"{len(texts)} posts, {needed} needed to time {spec['model']}: lower posts"
        )
    request = {"spec": spec, "texts": texts}
    return apart("timing", request=request, failed=f"timing {spec['model']} failed")


def batches(ask: Callable[[list[str]], list], texts: list[str], batch: int) -> dict[str, Any]:
    """Time ``ask`` on ``texts`` in batches; see ``measure`` for the fields."""
    seconds, answers, whole = [], [], time.perf_counter()
    for start in range(0, len(texts), batch):
        chunk = texts[start : start + batch]
        clock = time.perf_counter()
        answers += ask(chunk)
        seconds.append((time.perf_counter() - clock) / len(chunk))
    whole = time.perf_counter() - whole
    enough = len(seconds) >= P95_BATCHES
    return {
        "batch": batch,
        "posts": len(texts),
        "batches": len(seconds),
        "p50": float(np.median(seconds)),
        "p95": float(np.percentile(seconds, 95)) if enough else None,
        "posts_per_second": len(texts) / whole,
        "prompt_tokens": float(np.mean([answer.prompt_tokens for answer in answers])),
        "answer_tokens": float(np.mean([answer.answer_tokens for answer in answers])),
    }


def costs(
    seconds_per_post: dict[str, float], price_per_hour: float, fixed_seconds: float
) -> dict[str, Any]:
    """Price of each model per 1,000 posts, and where distillation has paid for itself.

    seconds_per_post has "student" and, where it was timed, "teacher" among its keys; fixed_seconds
    is the time of labelling and training before the student's first post.  break_even_posts is the
    volume V with V * teacher = fixed + V * student; None when the student is not cheaper.
    """
    per_post = {m: s * price_per_hour / 3600 for m, s in seconds_per_post.items()}
    saved = per_post.get("teacher", 0) - per_post["student"]
    fixed = fixed_seconds * price_per_hour / 3600
    return {
        "price_per_hour": price_per_hour,
        "per_1000_posts": {model: 1000 * price for model, price in per_post.items()},
        "fixed": fixed,
        "break_even_posts": fixed / saved if saved > 0 else None,
    }


def savings(seconds_per_post: dict[str, float], peak: dict[str, int | None]) -> dict[str, dict]:
    """Shares of time, memory and cost saved (None where not known), beside the paper's.

    Cost on one machine goes with time; the paper's compares the hourly prices of two machines
    that differ in memory.
    """
    timed = "teacher" in seconds_per_post
    time_saved = 1 - seconds_per_post["student"] / seconds_per_post["teacher"] if timed else None
    known = peak["student"] and peak.get("teacher")
    memory_saved = 1 - peak["student"] / peak["teacher"] if known else None
    return {
        "time": {"here": time_saved, "paper": 0.54},
        "memory": {"here": memory_saved, "paper": 0.86},
        "cost per post": {"here": time_saved, "paper": 0.86},
    }


def peak_bytes() -> int:
    """Largest memory so far: the GPU's where the model lies there, else this process's."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated()
    if sys.platform == "linux":
        return high_water("self")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def high_water(process: int | str) -> int:
    """Largest memory so far of a process of this Linux, in bytes.

    Not ru_maxrss, which a process inherits from the one that started it.
    """
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


def _main(spec: dict[str, Any], texts: list[str]) -> dict[str, Any]:
    from hsd_utils import engines, prompts, scoring

    settings = spec["engine_settings"] | ({"adapter": a} if (a := spec.get("adapter")) else {})
    clock = time.perf_counter()
    engine = engines.load(spec["engine"], spec["model"], **settings)
    load_seconds = time.perf_counter() - clock
    if prompt := spec["prompt"]:
        asking = {"converse": partial(prompts.teacher, **prompt)}
        asking["label_first"] = prompt.get("label_first", True)
    else:
        asking = scoring.as_taught(spec["trained"], spec.get("adapter"))
    asking |= {key: spec[key] for key in ("constrained", "max_tokens")}
    classifier = scoring.Classifier(engine, None, **asking)
    explainer = replace(classifier, converse=classifier.explain_with or classifier.converse)
    requests = {MODES[0]: classifier.label_request} if classifier.label_first else {}
    requests[MODES[1]] = explainer.answer_request
    rows, fresh, keys = [], iter(texts), count()

    def ask(request, chunk: list[str]) -> list:
        answers = list(engine([request(str(next(keys)), text) for text in chunk]))
        if lost := sum(answer.finish == "failed" for answer in answers):
            raise RuntimeError(f"{lost} of {len(chunk)} posts had no answer: no time to tell")
        return answers

    for mode, request in requests.items():
        ask(request, [next(fresh)])  # warm: kernels compiled, the shared prefix cached
        for batch, posts in spec["posts"].items():
            engine.batch = max(int(batch), 1)
            chunk = list(islice(fresh, posts))
            rows.append({"mode": mode, **batches(partial(ask, request), chunk, int(batch))})
    return {
        "rows": rows,
        "load_seconds": load_seconds,
        # What a model needs elsewhere is not seen from here.
        "peak_bytes": None if spec["engine"] in ELSEWHERE else peak_bytes(),
        "disk_bytes": sum(Path(f).stat().st_size for f in engine.files) or None,
    }


if __name__ == "__main__":
    print(json.dumps(_main(**json.load(sys.stdin))))
