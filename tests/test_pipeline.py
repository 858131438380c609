"""Plans, refusals, skipping and going on, with tiny notebooks; the real ones are in test_smoke."""

import json
import os
import signal

import nbformat
import pytest
from filelock import FileLock
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from tiny_project import start, stop, wait_for

from hsd_utils import paths, pipeline, preflight, trial
from hsd_utils.paths import Run
from hsd_utils.pipeline import Refused, main, plan


@pytest.fixture
def executed(project, monkeypatch):
    """Notebooks run in this process, without a kernel; the names of those that ran."""
    ran = []

    def execute_notebook(source, out, parameters, **_):
        notebook, names = nbformat.read(source, 4), {}
        ran.append(os.path.basename(source)[:2])
        for index, cell in enumerate(c for c in notebook.cells if c.cell_type == "code"):
            try:
                exec(cell.source, names)
            except Exception as error:
                name = type(error).__name__
                raise PapermillExecutionError(index, index, "", name, str(error), []) from error
            names |= parameters if index == 0 else {}

    monkeypatch.chdir(project.notebooks)
    monkeypatch.setattr(pipeline.papermill, "execute_notebook", execute_notebook)
    return ran


def test_a_plan_is_defaults_then_profile_then_overrides(project):
    project.profile("small", "01_first: {size: 1}\n02: {size: 5}\nabout: x\nrequires: {}\n")
    planned = plan("small", "mine", ["first.size=7", "02.fast=true"])
    assert planned["01_first"]["size"] == 7 and planned["01_first"]["fast"] is False
    assert planned["02_second"]["size"] == 5 and planned["02_second"]["fast"] is True
    assert {stage["run"] for stage in planned.values()} == {"mine"}


VALUES = {
    "01.size=3": 3,
    "01.rate=1e-4": 1e-4,  # YAML alone takes this for text
    "01.rate=2.5e-5": 2.5e-5,
    "01.rate=1": 1,
    "01.sources=[davidson, ethos]": ["davidson", "ethos"],
    "01.sources=[a=b]": ["a=b"],
    "01.fast=yes": True,
}


@pytest.mark.parametrize("override, value", VALUES.items())
def test_overrides_are_yaml(project, override, value):
    name = override.partition("=")[0].partition(".")[2]
    assert plan("demo", "demo", [override])["01_first"][name] == value


def test_a_file_named_on_the_command_line_is_found_from_any_folder(project, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.csv").write_text("text,label\n")
    planned = plan("demo", "demo", ["01.sources=[my.csv, davidson, other.csv]"])
    assert planned["01_first"]["sources"] == [str(tmp_path / "my.csv"), "davidson", "other.csv"]
    (tmp_path / "corpus").mkdir()  # a name comes before a folder called so
    planned = plan("demo", "demo", ["01.sources=[./corpus, corpus, owner/model]"])
    assert planned["01_first"]["sources"] == [str(tmp_path / "corpus"), "corpus", "owner/model"]


REFUSED = {
    "01.sice=3": "01_first has no parameter 'sice': did you mean 'size'",
    "01.colour=3": "has no parameter 'colour': one of run, size, rate",
    "01.run=mine": "name it by --run",
    "secnd.size=3": "unknown notebook 'secnd': did you mean '02_second'",
    "09.size=3": "unknown notebook '09': one of 01_first, 02_second",
    "01.size=many": "01_first.size is 'many'; it must be like its default 2",
    "01.size=2.5": "it must be like",
    "01.size=true": "it must be like",
    "01.size=": "it must be like",
    "01.rate=fast": "it must be like",
    "01.rate=false": "it must be like",
    "01.fast=1": "it must be like",
    "01.sources=a": "it must be like",
    "size=3": "-p size=3: write it as 03.epochs=2",
    "01.size": "write it as",
    "01.sources=[a": "01.sources=\\[a",
}


@pytest.mark.parametrize("override, said", REFUSED.items())
def test_what_cannot_be_is_refused_and_named(project, override, said):
    with pytest.raises(Refused, match=said):
        plan("demo", "demo", [override])


def test_a_profile_is_held_to_the_same(project, capsys):
    with pytest.raises(Refused, match="unknown profile 'dem': did you mean 'demo'"):
        plan("dem", "demo")
    project.profile("small", "01_first: {sise: 1}\n")
    assert main(["small"]) == 1
    assert "no parameter 'sise': did you mean 'size'" in capsys.readouterr().err
    assert main(["demo", "--run", "../up"]) == 1 and not project.outputs.exists()
    assert main(["demo", "--only", "7"]) == 1 and main(["demo", "--from", "x"]) == 1


def test_list_shows_states_and_what_differs_and_runs_nothing(project, executed, capsys):
    assert main(["small", "--list", "-p", "02.fast=true"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "01_first  [not run yet]" and "    size = 1  (default 2)" in said
    assert "    fast = True  (default False)" in said
    assert not executed and not project.outputs.exists()


def test_finished_stages_are_skipped_and_changed_ones_are_not(executed, capsys):
    assert main(["demo"]) == 0 and executed == ["01", "02"]
    assert main(["demo"]) == 0 and executed == ["01", "02"]
    assert "01_first: done already" in capsys.readouterr().out
    assert main(["demo", "-p", "02.size=4"]) == 0 and executed == ["01", "02", "02"]
    # the first stage's output is the second's input, and is another now
    assert main(["demo", "-p", "02.size=4", "-p", "01.size=9"]) == 0
    assert executed == ["01", "02", "02", "01", "02"]
    assert json.loads(Run("demo").metrics.read_text())["01_first"] == {"size": 9}


def test_whole_numbers_as_keys_are_what_the_manifest_has(project, executed):
    text = (project.notebooks / "02_second.ipynb").read_text()
    (project.notebooks / "02_second.ipynb").write_text(text.replace("fast = False", "fast = {}"))
    command = ["demo", "-p", "02.fast={1: 20}"]
    assert main(command) == main(command) == 0 and executed == ["01", "02"]


def test_from_and_only_choose_stages(executed, capsys):
    assert main(["small", "--run", "two", "--only", "02", "--only", "01"]) == 0
    assert executed == ["01", "02"]
    executed.clear()
    assert main(["demo", "--only", "01"]) == 0 and executed == ["01"]
    assert main(["demo", "--from", "02", "--run", "demo"]) == 0 and executed == ["01", "02"]
    assert main(["small", "--run", "other", "--only", "first"]) == 0
    assert Run("other").stage_manifest("01_first").exists()
    assert not Run("other").stage_manifest("02_second").exists()
    # nothing that is not there is said to be there
    assert "results" not in (said := capsys.readouterr().out) and "figures" not in said


def test_a_failed_stage_stops_the_run_and_is_taken_up_again(project, executed):
    project.stage("02_second", work="raise OSError('no space')")
    assert main(["demo"]) == 1
    project.stage("02_second")
    assert main(["demo"]) == 0 and executed == ["01", "02", "02"]


def test_needs_are_checked_before_anything_is_done(project, executed, capsys, monkeypatch):
    monkeypatch.setattr(preflight, "lacking", lambda needs: [f"one {needs}", "two"])
    assert main(["small"]) == 1
    said = capsys.readouterr().err
    assert "  - one {'memory_gb': 0.001}\n  - two" in said
    assert not executed and not project.outputs.exists()


def test_a_run_under_way_is_refused_to_a_second_process(executed, capsys):
    run = Run("demo")
    run.folder.mkdir(parents=True)
    with FileLock(run.folder / ".lock"):
        assert main(["demo"]) == 1
        assert "run demo is being executed by another process" in capsys.readouterr().err
        assert main(["demo", "--run", "other"]) == 0  # another run is no concern of it
    assert main(["demo"]) == 0


@pytest.mark.parametrize("error, code", [(KeyboardInterrupt(), 130), (DeadKernelError("x"), 1)])
def test_interrupted_or_without_a_kernel(executed, monkeypatch, capsys, error, code):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(pipeline.papermill, "execute_notebook", fail)
    assert main(["demo"]) == code
    said = capsys.readouterr().err
    assert "the same command" in said and ("01_first" in said or code == 130)


def test_relative_folders_hold_in_the_notebooks_too(executed, project, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HSD_OUTPUTS", "mine")
    seen = []
    monkeypatch.setattr(
        pipeline.papermill, "execute_notebook", lambda *_, **__: seen.append(paths.outputs())
    )
    assert main(["demo", "--only", "01"]) == 0
    assert seen == [tmp_path / "mine"]


def test_the_notebook_that_trains_gets_its_allocator_and_no_other(executed, monkeypatch):
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    monkeypatch.setattr(trial, "NOTEBOOK", "02_second")
    monkeypatch.setattr(trial, "find_library", lambda _: "there.so")
    seen = []

    def execute_notebook(*_, **__):
        seen.append(os.environ.get("LD_PRELOAD"))

    monkeypatch.setattr(pipeline.papermill, "execute_notebook", execute_notebook)
    assert main(["demo"]) == 0
    assert seen == [None, "there.so"] and "LD_PRELOAD" not in os.environ


@pytest.mark.slow
def test_a_failing_notebook_is_named_with_its_cell_and_kept(project):
    work = """made = 1
import sys, tqdm
print("a warning", file=sys.stderr)
list(tqdm.tqdm(range(3), desc="asking"))
raise ValueError('the teacher is ill')"""
    project.stage("01_first", work=work)
    process = start(project, "demo")
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 1
    kept = Run("demo").executed("01_first")
    assert "01_first failed at In [4] (ValueError: the teacher is ill)\n  the partial" in said
    assert str(kept) in said and "Traceback" not in said.split("pipeline:")[-1]
    assert "asking: 100%" in said and "a warning" not in said  # of a cell, its bars alone
    (failed,) = [c for c in nbformat.read(kept, 4).cells if c.get("execution_count") == 4]
    assert failed.source.startswith("made = 1") and failed.outputs[-1].ename == "ValueError"


@pytest.mark.slow
def test_killed_or_stopped_in_the_middle_the_same_command_goes_on(project):
    sleep = 'from time import sleep\nPath(out).with_suffix(".here").touch()\nsleep(300)'
    wanted = project.notebooks.joinpath("02_second.ipynb").read_text()
    project.stage("02_second", work=sleep)
    here = Run("demo").folder / "02_second.here"

    for number, code in ((signal.SIGINT, 130), (signal.SIGKILL, -9)):
        process = start(project, "demo")
        wait_for(here, process)
        said = stop(process, number)
        assert process.returncode == code, said
        here.unlink()
    assert "01_first: done already" in said[0]

    project.notebooks.joinpath("02_second.ipynb").write_text(wanted)
    process = start(project, "demo")
    said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert "01_first: done already" in said[0] and "02_second: done in" in said[0]
    assert "WARNING" not in said[1]  # the kernel's own, which would break the progress line
