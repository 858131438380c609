"""A smoke run, released, restored with an empty cache, and run again without its teacher.

With the real models, which takes some minutes: part of make test-full.  With fake ones, and every
time: test_release_notebooks.
"""

import pytest
from conftest import FULL
from test_smoke import done as done  # the fixtures: another run, since both change theirs
from test_smoke import places as places
from test_smoke import python, strict

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


def test_all_but_05_runs_again_without_the_teacher(done, places, monkeypatch):
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
    wanted = [word for stage in ("03", "04", "06", "07", "08") for word in ("--only", stage)]
    made = python(*done.words, "--run", again.name, *wanted)
    assert made.returncode == 0, made.stdout + made.stderr[-3000:]
    assert strict(again.metrics)["teacher"]["engine"] == "released"
    assert told(again) == told(done.run)
    assert told(again)[2]["model"] == "teacher" and told(again)[3]["posts"] > 0
