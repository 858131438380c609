"""One command makes a run's pages; and what is committed is what it makes of the files."""

import shutil
import sys

import pytest

from hsd_utils import pages, paths
from hsd_utils.paths import Run

BLOCKS = ("findings", "results", "claims", "benchmarks")


@pytest.fixture
def command(tmp_path, monkeypatch):
    """The command, on a copy of the committed runs and of the pages it writes into."""
    committed = Run("reference").folder
    for page in ("README.md", pages.CLUSTER):
        (tmp_path / page).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(paths.REPOSITORY / page, tmp_path / page)
    left_out = shutil.ignore_patterns("study", "samples")
    shutil.copytree(committed, tmp_path / "outputs/reference", ignore=left_out)
    monkeypatch.setattr(paths, "REPOSITORY", tmp_path)
    monkeypatch.setenv("HSD_OUTPUTS", str(tmp_path / "outputs"))

    def run(*given):
        monkeypatch.setattr(sys, "argv", ["pages", *given])
        pages.main()

    return run


def test_what_is_committed_is_what_the_files_say(command, tmp_path):
    folder, here = Run("reference").folder, paths.REPOSITORY
    made = ["README.md", pages.CLUSTER]
    made += [f"outputs/reference/{p}" for p in ("README.md", "results.md", "claims.md")]
    made.append("outputs/reference/claims.json")
    before = {page: (here / page).read_text(encoding="utf-8") for page in made}
    readme = here / "README.md"
    for marker in BLOCKS:  # emptied, so that each must be written anew
        pages.tables.insert(readme, marker, "old")
    for page in ("README.md", "results.md", "claims.md", "claims.json"):
        (folder / page).unlink()
    command("reference")
    assert readme.read_text(encoding="utf-8").count("\nold\n") == 4  # only when asked
    command("reference", "--readme")
    after = {page: (here / page).read_text(encoding="utf-8") for page in made}
    assert [page for page in made if after[page] != before[page]] == []


def test_a_run_without_a_template_has_no_readme_and_leaves_the_findings(command, tmp_path):
    run = Run("reference")
    for page in (run.folder / "README.md.j2", run.folder / "README.md"):
        page.unlink()
    before = (tmp_path / "README.md").read_text(encoding="utf-8")
    command("reference", "--readme")
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == before
    assert not (run.folder / "README.md").exists()


def test_a_run_that_is_not_there_is_named(command):
    with pytest.raises(FileNotFoundError, match="other"):
        command("other")
