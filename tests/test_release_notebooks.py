"""Notebooks 04 to 07 on a restored run: what they ask of the teacher is in the release.

Fake models; the real ones, and 03 and 08, are in test_restored (make test-full).
"""

import json
import shutil

import pytest
import test_release
from cells import execute
from evaluated import fake
from fakes import Letters
from test_release import made
from test_release import opened as opened  # a fixture

from hsd_utils import encoder, figures, paths, provenance, release, scoring, timing
from hsd_utils.paths import Run

pytestmark = pytest.mark.slow
SIZES = {"distil": 24, "dev": 8, "cal": 16, "eval": 24}
DRAWN = {"resamples": 20}
ASKING = {
    "04_evaluation": {"retrieved_posts": 8},
    "06_explanations": {"faithful_posts": 8, "attributions": True, "least_posts": 2},
    "07_generalisation": {"teacher_posts": 12, "functional_posts": 40, "unused_posts": 40}
    | {"disturbed_posts": 4},
}


def unwritten(figure, run, name, data):
    for file in run.figures(name):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def rest(run):
    """What 03 leaves behind, then 04, 06 and 07; returns what they found out about the teacher."""
    adapter = run.student("s") / "adapter_model.safetensors"
    adapter.parent.mkdir(parents=True)
    adapter.touch()
    student = {"folder": "s", "base": "a/b", "supervision": "gold"} | {"seed": 0, "further": []}
    provenance.write_json(run.results("03_qlora_distillation"), {"student": student})
    for stage, parameters in ASKING.items():
        execute(stage, run=run.name, **DRAWN, **parameters)
    metrics = json.loads(run.metrics.read_text())
    found = [metrics["models"]["teacher"], metrics["supervised_alike"]["retrieved"]]
    found += [metrics["explanations"]["measures"]["teacher"], metrics["hatecheck"]["with_teacher"]]
    reasons = json.loads(run.table("reasons", "json").read_text())
    policies = [row for row in metrics["generalisation"]["policies"] if row["model"] == "teacher"]
    assert found[1]["posts"] == 8 and policies and reasons[0]["explainer"] == "teacher"
    return [*found, reasons[0], policies, metrics["generalisation"]["completion"]]


def test_they_ask_the_teacher_for_nothing_that_is_not_in_the_release(opened, tmp_path, monkeypatch):
    # Drawn, and not written: files of figures are looked at in test_figures and test_smoke.
    monkeypatch.setattr(figures, "save", unwritten)
    monkeypatch.setattr(test_release, "SIZES", SIZES)
    monkeypatch.setattr(encoder, "load", Letters)
    monkeypatch.setattr(
        scoring,
        "student",
        lambda trained, asked, adapter=None: fake(0.5 if adapter else 3, f"fake/{adapter}"[:9]),
    )
    run, again = made()[0], Run("again")
    expected = rest(run)
    release.pack(run, tmp_path / "package")
    monkeypatch.setenv("HSD_CACHE", str(tmp_path / "elsewhere"))
    shutil.rmtree(run.folder)
    asked = len(opened.asked)
    release.restore(tmp_path / "package", again)
    assert rest(again) == expected and len(opened.asked) == asked


def test_where_the_store_of_answers_is_in_use_nothing_is_restored(opened, tmp_path):
    release.pack(made()[0], tmp_path / "package")
    release.restore(tmp_path / "package", Run("one"))
    told = json.loads(Run("one").results("02_cot_teacher").read_text())["teacher"]
    with scoring.teacher(told), pytest.raises(RuntimeError, match="in use"):
        release.restore(tmp_path / "package", Run("again"))
    assert not Run("again").folder.exists()
    release.restore(tmp_path / "package", Run("again"))


def test_a_restore_cut_short_leaves_no_run_and_answers_apart_from_the_teachers(
    opened, tmp_path, monkeypatch
):
    run, _, _ = made()
    release.pack(run, tmp_path / "package")
    stored = {path: path.read_bytes() for path in (paths.cache() / "answers").glob("*.jsonl")}
    with monkeypatch.context() as stopped:
        stopped.setattr(
            provenance, "assemble", lambda run: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            release.restore(tmp_path / "package", Run("again"))
    assert not Run("again").folder.exists()
    release.restore(tmp_path / "package", Run("again"))
    assert all(path.read_bytes() == content for path, content in stored.items())
    told = json.loads(Run("again").results("02_cot_teacher").read_text())["teacher"]
    assert told["engine_settings"]["identity"].keys() >= {"released", "model"}


def timed(spec, texts):
    fields = ("batch", "posts", "batches", "p50", "posts_per_second", "prompt_tokens")
    row = dict.fromkeys((*fields, "answer_tokens"), 1) | {"p95": None}
    rows = [row | {"mode": mode} for mode in timing.MODES]
    return {"rows": rows, "peak_bytes": 1, "disk_bytes": 1, "load_seconds": 1.0}


def test_05_times_the_small_models_alone(opened, tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "save", unwritten)
    monkeypatch.setattr(timing, "measure", timed)
    monkeypatch.setitem(test_release.ASKED, "ledger", {"seconds": 60.0})
    release.pack(made()[0], tmp_path / "package")
    release.restore(tmp_path / "package", again := Run("again"))
    (again.student("s")).mkdir(parents=True)
    (again.student("s") / "adapter_model.safetensors").touch()
    student = {"folder": "s", "base": "a/b", "objective": "weighted", "label_first": True}
    provenance.write_json(
        again.results("03_qlora_distillation"), {"student": student | {"seconds": 60.0}}
    )
    asked = {"constrained": True, "max_tokens": 220}
    provenance.write_json(again.results("04_evaluation"), {"asked": asked})
    execute("05_efficiency", run="again")
    found = json.loads(again.metrics.read_text())["efficiency"]
    assert {row["model"] for row in found["rows"]} == {"base", "student"} == set(found["memory"])
    assert all(saved["here"] is None for saved in found["savings"].values())
    assert found["costs"]["break_even_posts"] is None
    assert not again.figures("cost")[0].exists() and again.figures("memory")[0].exists()
