"""How long and how much memory a store takes with an answer for every post of MetaHate.

Appends answers of the usual size one by one, as an engine's come, then opens the store again in
a fresh process, as a killed run does, and looks every answer up.  Prints seconds and the peak of
resident memory of both as JSON.  Goals: 500 MB, seconds to resume.

    python -m hsd_utils.bench store --answers 1200000 --run reference
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from hsd_utils import tables, timing, verdict
from hsd_utils.engines import Answer, Request
from hsd_utils.machine import apart, environment
from hsd_utils.paths import Run
from hsd_utils.store import Store


def request(number: int) -> Request:
    messages = [{"role": "user", "content": f"post {number}: " + "the tea is warm today " * 6}]
    return Request(str(number), messages, schema=verdict.json_schema())


def append(path: Path, answers: int) -> dict:
    """Answers of some 400 bytes, the time of writing included."""
    quote = [{"input": "the tea is warm", "explanation": "A plain remark about a drink. " * 4}]
    answer = Answer("", verdict.write(0, quote), 900, 66, 0.8, "stop")
    with Store(path) as store:
        for number in range(answers):
            store.put(request(number), answer)
    return {"file_gb": path.stat().st_size / 1e9}


def resume(path: Path, answers: int) -> dict:
    """Open, and count what would have to be asked again: it must be nothing."""
    clock = time.perf_counter()
    with Store(path) as store:
        opened = time.perf_counter() - clock
        missing = sum(store.get(request(number)) is None for number in range(answers))
    return {"open_seconds": opened, "missing": missing}


STEPS = {"append": append, "resume": resume}


def step(name: str, path: str, answers: int) -> dict:
    """One step in a process of its own, so that its peak of memory is its own."""
    options = ["--answers", str(answers), "--step", name, path]
    return apart("bench.store", *options, request=None, failed=f"{name} failed")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", default="bench", help="folder under outputs/")
    parser.add_argument("--answers", type=int, default=1_200_000)
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        name, path = options.step
        clock = time.perf_counter()
        found = STEPS[name](Path(path), options.answers)
        found |= {"seconds": time.perf_counter() - clock, "peak_mb": timing.peak_bytes() / 1e6}
        print(json.dumps({k: round(v, 4) for k, v in found.items()}))
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "answers.jsonl")
            steps = {name: step(name, path, options.answers) for name in STEPS}
        result = {"answers": options.answers, **steps, "machine": environment()}
        file = Run(options.run).folder / "bench_store.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(tables.to_json(result), encoding="utf-8")
        print(json.dumps(steps), file, sep="\n")
