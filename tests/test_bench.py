"""The benchmarks run, on a handful; what they measure is for a quiet machine."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from hsd_utils import bench, paths, posts, readers
from hsd_utils.bench import systems


def run(*words):
    command = [sys.executable, "-m", "hsd_utils.bench", *words]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_store_s_says_time_memory_and_that_nothing_is_asked_again(tmp_path, monkeypatch):
    monkeypatch.setenv("HSD_OUTPUTS", str(tmp_path))
    assert run("store", "--answers", "50", "--run", "small").returncode == 0
    found = json.loads((tmp_path / "small" / "bench_store.json").read_text())
    assert 0 < found["append"]["seconds"] and 10 < found["append"]["peak_mb"] < 500
    assert found["resume"]["missing"] == 0 < found["resume"]["seconds"]


def test_posts_are_balanced_and_of_those_read_before_alone(tmp_path, monkeypatch):
    def read(name):
        rows = [{"id": f"{name}-{n}", "text": f"{name} says {n * 'x'}"} for n in range(40)]
        labelled = [row | {"source": name, "label": n % 2} for n, row in enumerate(rows)]
        return posts.make(labelled), {}

    (tmp_path / "read_before.txt").write_text(
        "\n".join(f"{name}-{n}" for name in systems.PUBLIC for n in range(4))
    )
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(readers, "read", read)
    monkeypatch.setenv("HSD_DATA_DIR", str(tmp_path))
    drawn = systems.sample(8)
    assert len(drawn) == 8 and sum(row["label"] for row in drawn) == 4
    assert {row["id"].split("-")[0] for row in drawn} == set(systems.PUBLIC)
    assert all(int(row["id"].split("-")[1]) < 4 for row in drawn)
    assert len(systems.sample(16)) == 16
    with pytest.raises(ValueError, match="18 posts asked for, 16 are in read_before.txt"):
        systems.sample(18)
    monkeypatch.delenv("HSD_DATA_DIR")
    assert {row["id"].split("-")[0] for row in systems.sample(40)} == {"corpus"}
    with pytest.raises(ValueError, match="42 posts asked for, 40 are in the corpus"):
        systems.sample(42)


def test_it_stops_without_what_the_others_are_compared_with(monkeypatch):
    failed = SimpleNamespace(returncode=1, stderr="out of memory")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    assert systems.run("teacher", {"a peer": {}}, [], ("the loop",)) == []
    with pytest.raises(RuntimeError, match="the loop failed"):
        systems.run("teacher", {"the loop": {}, "a peer": {}}, [], ("the loop",))


def test_an_unknown_one_is_refused_by_name():
    done = run("speed")
    assert done.returncode == 1 and ",".join(bench.BENCHMARKS) in done.stderr
