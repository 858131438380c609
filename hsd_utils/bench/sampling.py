"""How long and how much memory sampling takes on a collection of MetaHate's size.

Writes a TSV of generated posts (label and text; repeats, links, user names and long posts among
them) to a temporary folder, reads, cleans, de-duplicates and draws in a process of its own, and
prints seconds by step and the peak of resident memory as JSON.  Goals: 3 GB, 90 s on two cores.

    python -m hsd_utils.bench sampling --rows 1200000
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SIZES = {"distil": 2_000, "dev": 500, "cal": 500, "eval": 2_000}


def generate(path: Path, rows: int, seed: int = 1) -> None:
    """MetaHate's shape: a fifth hate, about 25 words a post, a few posts of 100,000 characters."""
    rng = np.random.default_rng(seed)
    letters = np.array(list("etaoinshrdlucmfwypvbgk"))
    words = np.array(["".join(rng.choice(letters, rng.integers(2, 10))) for _ in range(30_000)])
    extras = np.array(["@someone", "https://example.org/x", "caf\\u00e9", "it\\u2019s"])
    words = np.concatenate((words, np.repeat(extras, 300)))
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write("label\ttext\n")
        for start in range(0, rows, 10_000):
            lengths = rng.integers(5, 45, min(10_000, rows - start))
            tokens = rng.choice(words, lengths.sum())
            texts = [" ".join(part) for part in np.split(tokens, np.cumsum(lengths)[:-1])]
            texts[::20] = texts[1 : 1 + len(texts[::20])]  # 5% repeats, some with both labels
            texts[-1] = (texts[-1] + " ") * (100_000 // (len(texts[-1]) + 1))
            labels = (rng.random(len(texts)) < 0.2064).astype(int)
            file.writelines(f"{n}\t{t}\n" for n, t in zip(labels, texts, strict=True))


def measure(path: Path) -> dict:
    """Seconds by step, peak memory in GB and posts kept, for this process."""
    from hsd_utils import readers, sampling, timing

    seconds, then = {}, time.perf_counter()

    def lap(step: str) -> None:
        nonlocal then
        seconds[step] = round(time.perf_counter() - then, 1)
        then = time.perf_counter()

    table, _ = readers.read(path)
    lap("read")
    table, _ = sampling.clean(table)
    lap("clean")
    table, _ = sampling.deduplicate(table)
    lap("deduplicate")
    samples, _ = sampling.draw(table, SIZES, seed=1)
    lap("draw")
    return {
        "seconds": seconds,
        "total_seconds": round(sum(seconds.values()), 1),
        "cpu_seconds": round(time.process_time(), 1),
        "peak_gb": round(timing.peak_bytes() / 1e9, 2),
        "kept": len(table),
        "drawn": {split: len(sample) for split, sample in samples.items()},
        "cores": os.cpu_count(),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_200_000)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure)))
    else:
        with tempfile.TemporaryDirectory() as folder:
            generate(Path(folder) / "posts.tsv", arguments.rows)
            command = [sys.executable, "-m", "hsd_utils.bench.sampling", "--measure"]
            subprocess.run([*command, str(Path(folder) / "posts.tsv")], check=True)
