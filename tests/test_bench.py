"""The benchmarks run, on a handful; what they measure is for a quiet machine."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from hsd_utils import bench
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


def test_it_stops_without_what_the_others_are_compared_with(monkeypatch):
    failed = SimpleNamespace(returncode=1, stderr="out of memory")
    monkeypatch.setattr(systems.subprocess, "run", lambda *_, **__: failed)
    assert systems.run("teacher", {"a peer": {}}, [], ("the loop",)) == []
    with pytest.raises(RuntimeError, match="the loop failed"):
        systems.run("teacher", {"the loop": {}, "a peer": {}}, [], ("the loop",))


def test_an_unknown_one_is_refused_by_name():
    done = run("speed")
    assert done.returncode == 1 and ",".join(bench.BENCHMARKS) in done.stderr
