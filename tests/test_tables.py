"""Tables: special characters, the same numbers in each form, and text put into a README."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from hsd_utils import tables
from hsd_utils.paths import Run

MEASURE = {"value": 0.714, "low": 0.662, "high": 0.758}


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("HSD_OUTPUTS", str(tmp_path))
    return Run("test")


def test_intervals():
    assert tables.interval(MEASURE) == "0.71 (0.66–0.76)"
    assert tables.interval(MEASURE, digits=1) == "0.7 (0.7–0.8)"
    assert tables.interval({"value": 0.5, "low": None, "high": None}) == "0.50"
    assert tables.interval({"value": None, "reason": "one class"}) == "n/a"


@pytest.mark.parametrize("special", list("&%$#_{}~^\\"))
def test_no_special_character_reaches_latex_unescaped(special):
    frame = pd.DataFrame({f"h{special}h": [f"c{special}c"], "n": [1]})
    plain = tables.latex(pd.DataFrame({"hh": ["cc"], "n": [1]}), "tt", "tab:x")
    text = tables.latex(frame, f"t{special}t", "tab:x")
    shown = tables.LATEX[ord(special)]
    for letter in "hct":
        assert f"{letter}{shown}{letter}" in text
    # Once the escapes are taken out, nothing but the plain table is left.
    assert text.replace(shown, "") == plain.replace(shown, "")


def test_a_latex_table_has_rules_alignment_caption_and_label():
    frame = pd.DataFrame({"model": ["student", "base"], "F1": [MEASURE, None], "n": [80, 80]})
    text = tables.latex(frame, "Main results.", "tab:main")
    for part in (r"\toprule", r"\midrule", r"\bottomrule", r"\caption{Main results.}"):
        assert part in text
    assert r"\label{tab:main}" in text and r"\begin{tabular}{lrr}" in text
    assert r"student & 0.71 (0.66--0.76) & 80 \\" in text
    assert r"base & n/a & 80 \\" in text


def test_tex_and_json_come_from_the_same_frame(run):
    frame = pd.DataFrame({"model": ["a_b", "é"], "f1": [MEASURE, None], "p": [1 / 3, np.nan]})
    tables.save(frame, run, "main", "Caption.")
    rows = json.loads(run.table("main", "json").read_text())
    assert rows[0] == {"model": "a_b", "f1": MEASURE, "p": 1 / 3}  # every digit kept
    assert rows[1]["model"] == "é" and rows[1]["p"] is None
    assert r"a\_b & 0.71 (0.66--0.76) & 0.333" in run.table("main", "tex").read_text()


def test_json_takes_what_numpy_and_pandas_hold():
    data = {"a": np.float64(0.5), "b": np.arange(2), "c": [np.nan, np.inf, pd.NA, None], 4: True}
    data |= {"d": pd.DataFrame({"x": [np.int64(1)]}), "e": (np.True_, "text")}
    found = json.loads(tables.to_json(data))
    assert found["a"] == 0.5 and found["b"] == [0, 1] and found["c"] == [None] * 4
    assert found["4"] is True and found["d"] == [{"x": 1}] and found["e"] == [True, "text"]
    with pytest.raises(TypeError):
        tables.to_json({"a": object()})


def test_markdown_keeps_its_columns_and_escapes_html():
    text = tables.markdown(pd.DataFrame({"model": ["a|b\nc", "<b>&"], "F1": [0.5, None]}))
    lines = text.splitlines()
    assert lines[:2] == ["| model | F1 |", "| --- | --- |"]
    assert lines[2] == r"| a\|b c | 0.500 |"
    assert lines[3] == "| &lt;b&gt;&amp; | n/a |"
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in lines} == {3}


def test_no_p_value_is_shown_as_nothing():
    values = [0.0, 0.0004, 0.04, None]
    rows = tables.markdown(pd.DataFrame({"p (Holm)": values, "share": values})).splitlines()[2:]
    assert rows[0] == rows[1] == "| &lt;0.001 | 0.000 |"
    assert rows[2:] == ["| 0.040 | 0.040 |", "| n/a | n/a |"]


def test_inserting_twice_changes_nothing_and_spares_the_rest(tmp_path):
    path = tmp_path / "README.md"
    path.write_text("above\n<!-- results:begin -->\nold\n<!-- results:end -->\nbelow é\n", "utf-8")
    tables.insert(path, "results", "| new |\n")
    once = path.read_text("utf-8")
    expected = "above\n<!-- results:begin -->\n| new |\n<!-- results:end -->\nbelow é\n"
    assert once == expected
    tables.insert(path, "results", "| new |\n")
    assert path.read_text("utf-8") == once


@pytest.mark.parametrize(
    "text",
    [
        "no markers",
        "<!-- results:begin -->",
        "<!-- results:end --> <!-- results:begin -->",
        "<!-- other:begin --> <!-- other:end -->",
        "<!-- results:begin --> <!-- results:begin --> <!-- results:end -->",
    ],
)
def test_missing_doubled_or_swapped_markers_are_refused(tmp_path, text):
    path = tmp_path / "README.md"
    path.write_text(text)
    with pytest.raises(ValueError, match="results:begin"):
        tables.insert(path, "results", "new")
    assert path.read_text() == text


def test_text_that_holds_a_marker_is_refused(tmp_path):
    path = tmp_path / "README.md"
    path.write_text("<!-- results:begin --><!-- results:end -->")
    with pytest.raises(ValueError, match="marker itself"):
        tables.insert(path, "results", "x <!-- results:end -->")
