"""What a run showed: looked up, or refused."""

import json

import jinja2
import pytest

from hsd_utils import claims, findings
from hsd_utils.paths import Run

ROWS = [
    {"model": "student", "posts": 8, "right": {"value": 0.5, "low": 0.25, "high": 0.75}},
    {"model": "teacher", "posts": 8, "right": {"value": 0.625, "low": 0.5, "high": 1.0}},
]


@pytest.fixture
def said(tmp_path, monkeypatch):
    """A template's text -> what becomes of it beside one table, metrics and a claim."""
    monkeypatch.setenv("HSD_OUTPUTS", str(tmp_path))
    run = Run("tiny")
    run.table("cases", "json").parent.mkdir(parents=True)
    run.table("cases", "json").write_text(json.dumps(ROWS))
    run.metrics.write_text(json.dumps({"share": 0.125}))
    (run.folder / claims.FILE).write_text(json.dumps([{"claim": "C1", "verdict": "supported"}]))

    def render(text):
        text = text if "block summary" in text else "{% block summary %}{% endblock %}" + text
        (run.folder / "README.md.j2").write_text(text)
        return findings.render(run)

    return render


def test_numbers_are_looked_up_and_shown_as_asked(said):
    text, _ = said(
        "{{ at('cases', 'right', model='student') | ci }}, "
        "{{ at('cases', 'right', model='teacher') | two }}, {{ metrics.share | percent }}, "
        "{{ at('cases', 'posts', model='teacher') }}, {{ at('claims', 'verdict', claim='C1') }}"
    )
    assert text.endswith("\n0.50 (0.25–0.75), 0.62, 12%, 8, supported\n")


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
        findings.render(Run("tiny"))
