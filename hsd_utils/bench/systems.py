"""Systems side by side: each measured in a process of its own, one after the other.

A fresh process gives a peak memory that belongs to one system alone.  What a system takes is
told as a ratio to the first one, in one run on one machine, since machines differ and are noisy.

    found = systems.beside("student", {"a loop": {...}, "ours": {...}}, posts, "times", "speed")
    systems.save(Run("reference"), "student", found, "times", {"speed": 100.0}, fraction=0.4)
"""

import argparse
import json
import os
import sys
import time
import timeit
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from hsd_utils import paths, readers, sampling, summary, tables
from hsd_utils.machine import apart, environment, in_float32
from hsd_utils.paths import Run

PUBLIC = ("davidson", "stormfront", "hatexplain", "ethos")
READ_BEFORE = "read_before.txt"  # beside the notebooks


def sample(count: int) -> list[dict[str, Any]]:
    """Balanced posts of the public sets where HSD_DATA_DIR has them, else of the corpus.

    Of the public sets only the 800 posts of an earlier evaluation, which the reference run keeps
    out of ``eval``: benchmarks score by gold labels, and those of ``eval`` are read through its
    ledger alone.  Raises ValueError when more are asked for than there are.
    """
    public = paths.data_dir() is not None
    names = PUBLIC if public else ("corpus",)
    table = pd.concat([readers.read(name)[0] for name in names], ignore_index=True)
    if public:
        table = table[table["id"].isin(paths.ids(READ_BEFORE))]
    table, _ = sampling.deduplicate(sampling.clean(table)[0])
    if count > len(table):
        where = READ_BEFORE if public else "the corpus"
        raise ValueError(f"{count} posts asked for, {len(table)} are in {where}: ask for fewer")
    drawn = sampling.draw(table, {"bench": count}, seed=1)[0]["bench"]
    return drawn[["id", "text", "label"]].sample(frac=1, random_state=1).to_dict("records")


def run(
    benchmark: str, specs: Mapping[str, dict], rows: list[dict], needed: tuple[str, ...] = ()
) -> list[dict[str, Any]]:
    """Each system's own measurements, by its spec; one that fails says so and is left out.

    Raises RuntimeError at once where it is one of ``needed``, without which nothing is compared.
    """
    found = []
    for name, spec in specs.items():
        request = {"name": name, **spec, "rows": rows[: spec.get("posts", len(rows))]}
        clock = time.perf_counter()
        try:
            made = apart(f"bench.{benchmark}", "--worker", request=request, failed="left out")
        except RuntimeError as error:
            print(f"{name}: {error}", file=sys.stderr, flush=True)
            if name in needed:
                raise RuntimeError(f"{name} failed, and the others are compared with it") from error
            continue
        took = time.perf_counter() - clock
        print(f"{name}: measured in {took:.0f} s", file=sys.stderr, flush=True)
        found.append({"name": name} | made)
    return found


def beside(
    benchmark: str, specs: Mapping[str, dict], rows: list[dict], ratio: str, speed: str
) -> list[dict[str, Any]]:
    """Measurements of all systems, each with its ``ratio`` to the first of them in ``speed``.

    Of labels only how many are the first one's is kept.  The last system is ours: it is needed.
    """
    found = run(benchmark, specs, rows, (next(iter(specs)), list(specs)[-1]))
    labels = found[0].get("labels")
    for row in found:
        row[ratio] = row[speed] / found[0][speed]
        if own := row.pop("labels", None):
            row["agrees_with_loop"] = sum(own[k] == v for k, v in labels.items()) / len(labels)
    return found


def command(about: str, posts: int, model: str) -> argparse.ArgumentParser:
    """The arguments that the benchmarks of models share; ``--worker`` is for ``run``."""
    parser = argparse.ArgumentParser(description=about.split("\n")[0])
    parser.add_argument("--run", default="bench", help="folder under outputs/")
    parser.add_argument("--posts", type=int, default=posts, help="an even number of them")
    parser.add_argument("--model", default=model)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser


def start(parser: argparse.ArgumentParser, main: Callable, measure: Callable) -> None:
    """Run a benchmark; in a worker one system of it, standard input to standard output."""
    options = parser.parse_args()
    if not options.worker:
        return main(options)
    found = tables.to_json(measure(**json.load(sys.stdin)))
    print(json.dumps(json.loads(found)))


def best_time(work: Callable[[], Any]) -> float:
    """Seconds of the fastest of five runs, after one to warm up."""
    _, *seconds = timeit.repeat(work, repeat=6, number=1)
    return min(seconds)


def machine_limits() -> dict[str, float]:
    """Operations a second of a matrix product, in what is faster of bfloat16 and float32 and in 8
    bits, and bytes a second copied, here."""
    import torch

    kinds = (torch.float32 if in_float32() else torch.bfloat16, torch.int8)
    matrix, small = (torch.ones(2048, 2048, dtype=kind) for kind in kinds)
    source, copy = torch.ones(2**28, dtype=torch.uint8), torch.empty(2**28, dtype=torch.uint8)
    return {
        "flops": 2 * 2048**3 / best_time(lambda: matrix @ matrix),
        "int8_flops": 2 * 2048**3 / best_time(lambda: torch._int_mm(small, small.t())),
        "bytes_per_second": 2 * 2**28 / best_time(lambda: copy.copy_(source)),
    }


def parameters(model: str) -> tuple[int, int]:
    """Weights of the layers, and of the embedding, which one token uses only at the output."""
    from gguf import GGUFReader

    from hsd_utils import models

    sizes = {t.name: int(t.n_elements) for t in GGUFReader(models.fetch(model)).tensors}
    embedding = sizes["token_embd.weight"]
    return sum(sizes.values()) - embedding - sizes.get("output.weight", 0), embedding


def unshared_tokens(model: str, conversations: list[list[dict]], prefill: str = "") -> float:
    """Prompt tokens that a post does not share with all others, on average.

    conversations: one a post, as in ``Request``; prefill: the answer's beginning, if given.
    """
    from transformers import AutoTokenizer

    from hsd_utils import models

    tokenizer = AutoTokenizer.from_pretrained(models.torch_weights(model))
    texts = tokenizer.apply_chat_template(conversations, add_generation_prompt=True, tokenize=False)
    ids = tokenizer([text + prefill for text in texts], add_special_tokens=False)["input_ids"]
    return sum(map(len, ids)) / len(ids) - len(os.path.commonprefix(ids))


def save(
    run: Run, benchmark: str, found: list[dict], ratio: str, limit: dict, fraction: float, **more
) -> None:
    """``outputs/<run>/bench_<benchmark>.json`` with the machine; the run's benchmarks are shown.

    found and ratio: as of ``beside``; limit: the roofline, of which ours reaches that fraction.
    """
    result = {"engines": found, ratio: found[-1][ratio], "roofline": limit}
    result |= {"roofline_fraction": fraction} | more | {"machine": environment()}
    path = run.folder / f"bench_{benchmark}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(tables.to_json(result), encoding="utf-8")
    print(summary.benchmarks(run), path, sep="\n")
