"""Stage manifests, why a stage is stale, and what a run's two summaries are put together from."""

import json
import os
import shutil

import pytest

from hsd_utils import paths, provenance
from hsd_utils.paths import Run
from hsd_utils.provenance import Stage, stale

PARAMETERS = {
    "run": "demo",
    "size": 2,
    "rate": 1e-3,
    "sources": ["a"],
    "fast": False,
    "seed": 0,
}


@pytest.fixture
def small_package(tmp_path, monkeypatch):
    """A package in the place of hsd_utils: files by name, and a writer."""
    root = tmp_path / "repository"

    def write(name, text=""):
        path = root / "hsd_utils" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    write("provenance.py", "from hsd_utils.paths import Run")
    write("paths.py")
    monkeypatch.setattr(paths, "REPOSITORY", root)
    return write


def run_stage(name="01_first", results=None, **changed):
    stage = Stage(name, PARAMETERS | changed)
    out = stage.run.folder / f"{name}.txt"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("done")
    stage.finish([], [out], results or {name: {"posts": 2}})
    return stage.run


def test_a_finished_stage_is_not_stale(project):
    run = Run("demo")
    assert stale(run, "01_first", PARAMETERS) == "not run yet"
    run_stage()
    assert stale(run, "01_first", PARAMETERS) is None


def change(text):
    def act(project, run):
        path = project.notebooks / "01_first.ipynb"
        path.write_text(path.read_text().replace(*text))

    return act


STALE = {
    "output missing": (lambda p, r: (r.folder / "01_first.txt").unlink(), "01_first.txt is miss"),
    "output": (lambda p, r: (r.folder / "01_first.txt").write_text("x"), "01_first.txt changed"),
    "results": (lambda p, r: r.results("01_first").write_text("{}"), "results.json changed"),
    "code": (change(["str(size)", "str(size + 1)"]), "the notebook changed"),
    "default": (change(["size = 2", "size = 3"]), "the notebook changed"),
    "cut": (lambda p, r: r.stage_manifest("01_first").write_text('{"sta'), "manifest is damaged"),
    "keys": (lambda p, r: r.stage_manifest("01_first").write_text("{}"), "manifest is damaged"),
    "list": (lambda p, r: r.stage_manifest("01_first").write_text("[]"), "manifest is damaged"),
    "bytes": (lambda p, r: r.stage_manifest("01_first").write_bytes(b"\xff"), "is damaged"),
}


@pytest.mark.parametrize("act, reason", STALE.values(), ids=STALE)
def test_what_makes_a_stage_stale_is_named(project, act, reason):
    run = run_stage()
    act(project, run)
    assert reason in stale(run, "01_first", PARAMETERS)


@pytest.mark.parametrize("name, value", [("size", 3), ("sources", ["a", "b"]), ("run", "other")])
def test_a_changed_parameter_makes_it_stale(project, name, value):
    reason = stale(run_stage(), "01_first", PARAMETERS | {name: value})
    assert reason == f"parameter {name} changed"


def test_a_new_parameter_makes_it_stale(project):
    assert "parameter new" in stale(run_stage(), "01_first", PARAMETERS | {"new": 1})


def test_outputs_and_markdown_of_a_notebook_do_not(project):
    run = run_stage()
    path = project.notebooks / "01_first.ipynb"
    notebook = json.loads(path.read_text())
    notebook["cells"][0]["source"] = "# A better title"
    notebook["cells"][2] |= {"execution_count": 7}
    notebook["cells"][2]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "hi"}]
    path.write_text(json.dumps(notebook))  # what Run All in JupyterLab saves
    assert stale(run, "01_first", PARAMETERS) is None


def test_a_changed_module_makes_it_stale(project, small_package):
    run = run_stage()
    assert stale(run, "01_first", PARAMETERS) is None
    small_package("paths.py", "x = 1")
    assert stale(run, "01_first", PARAMETERS) == "the code it imports changed"


def test_imports_are_followed_wherever_they_stand(project, small_package):
    magic = "%time 1\n!ls\nlen?\nfor n in ():\n    %time n\n"
    project.stage("01_first", work=f"{magic}from hsd_utils import a")
    small_package("a.py", "def f():\n    from hsd_utils.b import x")
    small_package("b.py", "import hsd_utils.c, hsd_utils.d.inner")
    small_package("c.py", "from hsd_utils import a, nothing")  # a circle ends, too
    small_package("d/__init__.py")
    small_package("d/inner.py", "from hsd_utils import e")
    small_package("e.py")
    small_package("unrelated.py")
    assert list(provenance.modules("01_first")) == ["a", "b", "c", "d", "e", "paths", "provenance"]


def test_a_package_counts_with_its_data_but_not_its_caches(project, small_package):
    project.stage("01_first", work="from hsd_utils import words")
    small_package("words/__init__.py")
    small_package("words/list.txt", "one")
    before = provenance.modules("01_first")
    small_package("words/__pycache__/x.pyc", "compiled")
    small_package("words/.ipynb_checkpoints/list-checkpoint.txt", "what JupyterLab leaves")
    assert provenance.modules("01_first") == before
    small_package("words/list.txt", "two")
    after = provenance.modules("01_first")
    assert {name for name in after if after[name] != before[name]} == {"words"}


def test_a_rerun_removes_the_manifest_before_anything_else(project):
    run = run_stage()
    Stage("01_first", PARAMETERS)  # and is killed here
    assert not run.stage_manifest("01_first").exists()
    assert stale(run, "01_first", PARAMETERS) == "not run yet"


def test_a_stage_without_one_of_its_outputs_does_not_finish(project):
    stage = Stage("01_first", PARAMETERS)
    with pytest.raises(FileNotFoundError, match="gone.txt"):
        stage.finish([], [stage.run.folder / "gone.txt"], {})
    assert not stage.run.stage_manifest("01_first").exists()


def test_an_unknown_stage_is_refused(project):
    with pytest.raises(ValueError, match="unknown notebook '09_none': one of 01_first"):
        Stage("09_none", PARAMETERS)


def test_a_moved_run_is_still_done(project, tmp_path, monkeypatch):
    run = run_stage()
    digests = json.loads(run.stage_manifest("01_first").read_text())["outputs"]
    assert list(digests) == ["01_first.txt", "stages/01_first.results.json"]
    shutil.move(project.outputs, tmp_path / "archive")
    monkeypatch.setenv("HSD_OUTPUTS", str(tmp_path / "archive"))
    assert stale(Run("demo"), "01_first", PARAMETERS) is None


def test_public_data_are_inputs_wherever_they_lie(project, tmp_path, monkeypatch):
    monkeypatch.setenv("HSD_CACHE", str(tmp_path / "cache"))
    cached = tmp_path / "cache" / "data" / "s" / "s.csv"
    cached.parent.mkdir(parents=True)
    cached.write_text("posts")
    run = run_stage()
    Stage("01_first", PARAMETERS).finish([cached], [run.folder / "01_first.txt"], {})
    inputs = json.loads(run.stage_manifest("01_first").read_text())["inputs"]
    assert inputs == {"data:s/s.csv": paths.sha256(cached)}
    shutil.move(cached.parent.parent, tmp_path / "mine")
    assert stale(run, "01_first", PARAMETERS) is None  # what is gone has not changed
    monkeypatch.setenv("HSD_DATA_DIR", str(tmp_path / "mine"))
    assert stale(run, "01_first", PARAMETERS) is None
    (tmp_path / "mine" / "s" / "s.csv").write_text("other posts")
    assert stale(run, "01_first", PARAMETERS) == "data:s/s.csv changed"


def test_hashes_do_not_depend_on_where_the_run_is(project, tmp_path, monkeypatch):
    first = json.loads(run_stage().stage_manifest("01_first").read_text())
    monkeypatch.setenv("HSD_OUTPUTS", str(tmp_path / "elsewhere"))
    again = json.loads(run_stage().stage_manifest("01_first").read_text())
    for name in ("parameters", "notebook", "modules", "inputs", "outputs", "packages"):
        assert first[name] == again[name], name
    assert str(tmp_path) not in json.dumps(first)


def test_summaries_are_put_together_from_all_stages(project):
    run_stage("01_first", {"sampling": {"posts": 2}})
    run = run_stage("02_second", {"teacher": {"shots": 6}})
    metrics = json.loads(run.metrics.read_text())
    assert metrics == {"sampling": {"posts": 2}, "teacher": {"shots": 6}}
    manifest = json.loads(run.manifest.read_text())
    assert manifest["seeds"] == {"01_first": 0, "02_second": 0}
    assert set(manifest["seconds"]) == {"01_first", "02_second"}
    assert manifest["stages"]["01_first"]["parameters"] == PARAMETERS
    assert manifest["hardware"]["cores"] >= 1 and manifest["packages"]["pandas"]


def test_a_stage_under_way_or_damaged_is_left_out_of_the_summaries(project):
    run_stage("01_first", {"a": 1})
    run = run_stage("02_second", {"b": 1})
    run.stage_manifest("02_second").write_text('{"cut')
    run_stage("01_first", {"a": 2})
    assert json.loads(run.metrics.read_text()) == {"a": 2}
    Stage("01_first", PARAMETERS)
    assert provenance.assemble(run) == {}


def test_a_stage_whose_inputs_changed_since_is_left_out_of_the_summaries(project):
    run = run_stage("01_first", {"a": 1})
    stage = Stage("02_second", PARAMETERS)
    (out := run.folder / "02_second.txt").write_text("done")
    stage.finish([first := run.folder / "01_first.txt"], [out], {"b": 1})
    assert json.loads(run.metrics.read_text()) == {"a": 1, "b": 1}
    first.write_text("another sample")
    assert provenance.assemble(run) == {"a": 1}
    first.unlink()  # a published run comes without its posts
    assert provenance.assemble(run) == {"a": 1, "b": 1}


def test_results_are_strict_json(project):
    run = run_stage(results={"p95": float("nan"), "share": float("inf"), "shown": "é"})
    strict = json.loads(run.metrics.read_text(), parse_constant=pytest.fail)
    assert strict == {"p95": None, "share": None, "shown": "é"}


def test_json_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "metrics.json"
    provenance.write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        provenance.write_json(path, {"a": object()})

    def cut(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", cut)
    with pytest.raises(KeyboardInterrupt):
        provenance.write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}
