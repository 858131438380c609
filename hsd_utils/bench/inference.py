"""What asking a model costs in an engine: the measurement that the teacher's and the student's
benchmarks share.

    python -m hsd_utils.bench teacher --posts 64
"""

import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from typing import Any

import numpy as np
import psutil

from hsd_utils import engines, metrics, models, prompts, timing, verdict
from hsd_utils.scoring import Classifier


def measure(
    *,
    name: str,
    engine: str,
    model: str,
    rows: list[dict[str, Any]],
    prompt: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
    constrained: bool = False,
    max_tokens: int = 220,
    one_by_one: bool = False,
    server_slots: int = 0,
    **_,
) -> dict[str, Any]:
    """One system on posts, warmed up, in this process.

    prompt: the teacher's settings, which are answered in full; None: the student's turn, of
    which the label alone is scored.  one_by_one: as if there were no other post.  server_slots:
    ask llama.cpp's server with so many sequences at once, through the endpoint engine.
    """
    settings = settings or {}
    server = llama_server(model, server_slots) if server_slots else nullcontext()
    with server as base_url:
        if base_url:
            settings |= {"base_url": base_url, "concurrency": server_slots}
            settings |= {"timeout": 1200.0, "deadline": 1200.0}
        clock = time.perf_counter()
        opened = engines.load(engine, model, **settings)
        load_seconds = time.perf_counter() - clock
        ask = prompts.student if prompt is None else partial(prompts.teacher, **prompt)
        asked = Classifier(opened, None, ask, constrained=constrained, max_tokens=max_tokens)
        one = asked.label_request if prompt is None else asked.answer_request
        warm = [one(f"warm {n}", f"Bus {n} was late.") for n in range(max(1, server_slots))]
        list(opened([asked.label_request("w", "The bus was late.")] if one_by_one else warm))
        requests = [one(row["id"], row["text"]) for row in rows]
        clock = time.perf_counter()
        if one_by_one:
            answers = [answer for request in requests for answer in opened([request])]
        else:
            answers = list(opened(requests))
        seconds = time.perf_counter() - clock
        own = [child.pid for child in psutil.Process().children()]
        peak = timing.high_water(own[0]) if base_url else timing.peak_bytes()
    tokens = np.sum([(a.prompt_tokens, a.answer_tokens) for a in answers], axis=0)
    labels = {
        a.key: int(a.probabilities[1] > 0.5) if a.probabilities else verdict.parse(a.text).label
        for a in answers
    }
    return {
        "engine": opened.identity["engine"],
        "posts": len(rows),
        "load_seconds": load_seconds,
        "seconds_per_post": seconds / len(rows),
        "posts_per_second": len(rows) / seconds,
        "prompt_tokens_per_second": tokens[0] / seconds,
        "tokens_per_second": tokens[1] / seconds,
        "prompt_tokens": tokens[0] / len(rows),
        "answer_tokens": tokens[1] / len(rows),
        "peak_memory_bytes": peak,
        "parse_rate": np.mean([label is not None for label in labels.values()]),
        "macro_f1": metrics.classification(
            [row["label"] for row in rows], None, [labels[row["id"]] for row in rows], seed=0
        )["macro_f1"],
        "agrees_with_gold": np.mean([labels[row["id"]] == row["label"] for row in rows]),
        "labels": labels,
    }


# llama.cpp's own server out of a wheel, where no build of it is on the PATH.  The wheel is made
# for any processor; a native build can be faster.
SERVE = """
import sys, threading, xllamacpp
parameters = xllamacpp.CommonParams()
parameters.model.path, port, slots, threads = sys.argv[1:]
parameters.port, parameters.n_parallel, parameters.kv_unified = int(port), int(slots), True
parameters.n_ctx, parameters.cpuparams.n_threads = 2048 * int(slots), int(threads)
server = xllamacpp.Server(parameters)
threading.Event().wait()
"""


@contextmanager
def llama_server(model: str, slots: int) -> Iterator[str]:
    """llama.cpp's server on the model's GGUF file, on loopback; yields the address of its API.

    One cache for all sequences.  A llama-server on the PATH is taken, else the one that
    requirements-bench.txt brings.  Raises RuntimeError with its last words where none starts.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    file, threads = str(models.fetch(model)), str(psutil.cpu_count())
    command = [sys.executable, "-c", SERVE, file, port, str(slots), threads]
    if own := shutil.which("llama-server"):
        command = [own, "--model", file, "--port", port, "--parallel", str(slots), "--kv-unified"]
        command += ["--ctx-size", str(2048 * slots), "--threads", threads]
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        server = subprocess.Popen(command, stdout=said, stderr=said)
        try:
            while not _healthy(f"http://127.0.0.1:{port}/health"):
                if server.poll() is not None:
                    said.seek(0)
                    raise RuntimeError(f"no server of llama.cpp: {said.read()[-500:]}")
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            server.wait()


def _healthy(address: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(address, timeout=5) as answer:
        return answer.status == 200
    return False  # not listening yet, or still loading
