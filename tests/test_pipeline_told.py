"""What the pipeline tells: a notebook what differs, a terminal what must be seen."""

from hsd_utils import engines, pipeline


def test_notes_reach_the_terminal_and_warnings_stay_in_the_notebook(capsys):
    engines.note("9 requests go to an address")
    bars, note = pipeline.Bars(), capsys.readouterr().err
    for text in ("\r 3/4", "a warning\n", f"{note}and more\n"):
        bars.write(text)
    assert capsys.readouterr().err == "\r 3/4\rnote: 9 requests go to an address\n"


def test_a_notebook_is_given_its_run_and_what_differs_from_its_own(project, monkeypatch):
    given = []
    monkeypatch.chdir(project.notebooks)
    monkeypatch.setattr(
        pipeline.papermill,
        "execute_notebook",
        lambda *_, parameters, **__: given.append(parameters),
    )
    assert pipeline.main(["small", "--run", "mine", "-p", "02.seed=3", "-p", "02.size=2"]) == 0
    assert given == [{"size": 1, "run": "mine"}, {"seed": 3, "run": "mine"}]


def test_a_folder_that_cannot_be_made_is_said(project, monkeypatch, capsys, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HSD_OUTPUTS", str(tmp_path / "file"))
    assert pipeline.main(["small"]) == 1 and "pipeline: " in capsys.readouterr().err
