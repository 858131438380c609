"""A run's pages: numbers looked up or refused; and what is committed is what the files say."""

import json
import shutil
import sys

import jinja2
import pytest

from hsd_utils import claims, pages, paths
from hsd_utils.paths import Run

RUNS = ("reference", "confirmation")
BLOCKS = ("findings", "results", "claims", "benchmarks", "confirmation")


@pytest.fixture
def command(tmp_path, monkeypatch):
    """The command, on a copy of the committed runs and of the pages it writes into."""
    for page in ("README.md", pages.CLUSTER):
        (tmp_path / page).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(paths.REPOSITORY / page, tmp_path / page)
    left_out = shutil.ignore_patterns("study", "samples")
    for name in RUNS:
        shutil.copytree(Run(name).folder, tmp_path / "outputs" / name, ignore=left_out)
    monkeypatch.setattr(paths, "REPOSITORY", tmp_path)
    monkeypatch.setenv("HSD_OUTPUTS", str(tmp_path / "outputs"))

    def run(*given):
        monkeypatch.setattr(sys, "argv", ["pages", *given])
        pages.main()

    return run


def test_what_is_committed_is_what_the_files_say(command, tmp_path):
    here, written = paths.REPOSITORY, ("README.md", "results.md", "claims.md", "claims.json")
    made = ["README.md", pages.CLUSTER]
    made += [f"outputs/{run}/{page}" for run in RUNS for page in written]
    before = {page: (here / page).read_text(encoding="utf-8") for page in made}
    readme = here / "README.md"
    for marker in BLOCKS:  # emptied, so that each must be written anew
        pages.tables.insert(readme, marker, "old")
    for page in made[2:]:
        (here / page).unlink()
    command("reference")
    assert readme.read_text(encoding="utf-8").count("\nold\n") == len(BLOCKS)  # only when asked
    for run in reversed(RUNS):  # what one says of the other is in the latter's claims
        command(run, "--readme")
    after = {page: (here / page).read_text(encoding="utf-8") for page in made}
    assert [page for page in made if after[page] != before[page]] == []
    assert [page for page in made if "@@" in after[page]] == []  # left to be filled in


def test_a_run_without_a_template_has_no_readme_and_leaves_the_findings(command, tmp_path):
    run = Run("reference")
    for page in (run.folder / "README.md.j2", run.folder / "README.md"):
        page.unlink()
    (Run("confirmation").folder / "README.md.j2").unlink()
    before = (tmp_path / "README.md").read_text(encoding="utf-8")
    command("confirmation", "--readme")
    command("reference", "--readme")
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == before
    assert not (run.folder / "README.md").exists()


def test_a_run_that_is_not_there_is_named(command, capsys):
    with pytest.raises(SystemExit):
        command("other")
    assert "other: execute the run's notebooks first" in capsys.readouterr().err


ROWS = [
    {"model": "student", "posts": 8, "right": {"value": 0.5, "low": 0.25, "high": 0.75}},
    {"model": "teacher", "posts": 8, "right": {"value": 0.625, "low": 0.5, "high": 1.0}},
]


@pytest.fixture
def said(tmp_path, monkeypatch):
    """A template's text -> what becomes of it beside one table, metrics and a claim."""
    monkeypatch.setenv("HSD_OUTPUTS", str(tmp_path))
    run = Run("tiny")
    for table in (run.table("cases", "json"), Run("other").table("cases", "json")):
        table.parent.mkdir(parents=True)
        table.write_text(json.dumps(ROWS if run.folder in table.parents else [{"posts": 9}]))
    run.metrics.write_text(json.dumps({"share": 0.125}))
    rows = [{"claim": claim, "verdict": "supported"} for claim in ("C1", "C2b", "C10")]
    (run.folder / claims.FILE).write_text(json.dumps(rows))

    def render(text):
        text = text if "block summary" in text else "{% block summary %}{% endblock %}" + text
        (run.folder / "README.md.j2").write_text(text)
        return pages.findings(run)

    return render


def test_numbers_are_looked_up_and_shown_as_asked(said):
    text, _ = said(
        "{{ at('cases', 'right', model='student') | ci }}, "
        "{{ at('cases', 'right', model='teacher') | two }}, {{ metrics.share | percent }}, "
        "{{ at('cases', 'posts', model='teacher') }}, {{ at('claims', 'verdict', claim='C1') }}, "
        "{{ claimed('supported') | join(' ') }}, {{ claimed('inconclusive') | length }}, "
        "{{ at('cases', 'posts', of='other') }}"
    )
    assert text.endswith("\n0.50 (0.25–0.75), 0.62, 12%, 8, supported, C1 C10, 0, 9\n")


def test_the_summary_is_a_part_of_the_page(said):
    text, part = said("# Page\n{% block summary %}\n- {{ metrics.share }}\n{% endblock %}\nMore.")
    assert part.strip() == "- 0.125" and part in text and text.endswith("More.\n")


@pytest.mark.parametrize(
    ("text", "error", "told"),
    [
        ("{{ at('cases', 'right', model='nobody') }}", LookupError, "0 rows of cases.json"),
        ("{{ at('cases', 'right', posts=8) }}", LookupError, "2 rows of cases.json"),
        ("{{ metrics.absent | two }}", jinja2.UndefinedError, "absent"),
        ("{{ metrics.share.deeper }}", jinja2.UndefinedError, "deeper"),
        ("{{ at('cases', 'wrong', model='student') }}", KeyError, "wrong"),
    ],
)
def test_what_is_not_there_is_refused(said, text, error, told):
    with pytest.raises(error, match=told):
        said(text)


def test_a_run_without_a_template_says_what_to_do(said):
    said("")
    (Run("tiny").folder / "README.md.j2").unlink()
    with pytest.raises(FileNotFoundError, match="write README.md.j2 in tiny"):
        pages.findings(Run("tiny"))
