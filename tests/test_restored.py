"""A smoke run made twice; and released, restored, and run again without its teacher.

With the real models, which takes some minutes: part of make test-full.  With fake ones, and every
time: test_release_notebooks.
"""

import json

import pandas as pd
import pytest
from conftest import FULL
from test_smoke import MODELS, python, strict
from test_smoke import done as done  # the fixtures: another run, since both change theirs
from test_smoke import places as places

from hsd_utils import paths
from hsd_utils.paths import Run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FULL, reason="minutes: part of make test-full"),
]


def told(run):
    """What a run measured of its teacher."""
    m = strict(run.metrics)
    found = [m["models"]["teacher"], m["explanations"]["measures"]["teacher"]]
    return [*found, m["hatecheck"]["with_teacher"][-1], m["generalisation"]["completion"]]


def test_03_to_08_run_again_without_the_teacher(done, places, monkeypatch):
    """The engine ``released`` has no model: a question that was not asked before ends the run."""
    again, package, cache = Run("again"), places / "release.zip", places / "elsewhere"
    models = (paths.cache() / "models").resolve()
    made = python("hsd_utils.release", done.run.name, "-o", package)
    assert made.returncode == 0, made.stderr[-2000:]
    cache.mkdir()
    (cache / "models").symlink_to(models, target_is_directory=True)  # the student's base
    monkeypatch.setenv("HSD_CACHE", str(cache))
    made = python("hsd_utils.release", "--restore", package, again.name)
    assert made.returncode == 0, made.stderr[-2000:]
    made = python(*done.words, "--run", again.name, "--from", "03")
    assert made.returncode == 0, made.stdout + made.stderr[-3000:]
    assert strict(again.metrics)["teacher"]["engine"] == "released"
    assert told(again) == told(done.run)
    assert told(again)[2]["model"] == "teacher" and told(again)[3]["posts"] > 0


def test_the_same_seeds_give_the_same_run(done, places, tmp_path, monkeypatch, faults):
    """From nothing: samples and prompts byte for byte, P(hate) and metrics within tolerance."""
    (tmp_path / "models").symlink_to(places / "cache" / "models", target_is_directory=True)
    monkeypatch.setenv("HSD_CACHE", str(tmp_path))
    again, words = Run("repeated"), [*done.words, "--run", "repeated"]
    for stage in ("01", "02"):
        made = python(*words, "--only", stage)
        assert made.returncode == 0, made.stdout + made.stderr[-3000:]
    for split in paths.SPLITS:
        assert again.sample(split).read_bytes() == done.run.sample(split).read_bytes()
    (file,) = (tmp_path / "answers").glob("*.jsonl")  # a key is a hash of all that shapes an answer
    first, second = (
        {row["key"] for row in map(json.loads, path.open()) if "key" in row}
        for path in (places / "cache" / "answers" / file.name, file)
    )
    assert len(second) >= 24 and second <= first
    for stage in ("03", "04"):
        made = python(*words, "--only", stage)
        assert made.returncode == 0, made.stdout + made.stderr[-3000:]
    moved = {}
    for model in MODELS:
        one, two = (
            pd.read_json(run.predictions(model, "eval"), lines=True) for run in (done.run, again)
        )
        moved[model] = float((one["p_hate"] - two["p_hate"]).abs().max())
    one, two = (json.loads(run.metrics.read_text())["models"] for run in (done.run, again))
    apart = {
        name: max(abs(one[m][name]["value"] - two[m][name]["value"]) for m in MODELS)
        for name in ("accuracy", "roc_auc")
    }
    faults["repeated_run"] = {"posts": 12, "p_hate_moved_at_most": moved, "metrics": apart}
    assert max(moved.values()) <= 0.02, moved
    assert max(apart.values()) <= 1 / 12 + 1e-9, apart  # what one post weighs
