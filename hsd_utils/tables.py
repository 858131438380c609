"""Tables for papers, for programs and for the README, all from one frame of measured values.

A LaTeX table needs ``\\usepackage{booktabs}``; numbers in a README are put between two marker
comments by ``insert``, so that none is ever typed.

    python -c "import pandas as pd; from hsd_utils import tables; print(tables.latex(
        pd.DataFrame({'model': ['student'], 'F1': [0.8512]}), 'A student.', 'tab:one'))"
"""

import html
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd

from hsd_utils import posts
from hsd_utils.paths import Run

ABSENT = "n/a"
LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "–": "--", "−": "$-$", "\n": " "}
)


def interval(measure: dict, digits: int = 2) -> str:
    """``{"value", "low", "high"}`` as ``0.71 (0.66–0.76)``; n/a for a null value."""
    value, low, high = (measure.get(key) for key in ("value", "low", "high"))
    if value is None:
        return ABSENT
    shown = f"{value:.{digits}f}"
    return shown if low is None else f"{shown} ({low:.{digits}f}–{high:.{digits}f})"


def to_json(data) -> str:
    """Plain JSON of dicts, lists, numbers, arrays and frames (as a list of rows).

    Numbers keep every digit; NaN, NA and infinities become null, which strict readers accept.
    """
    return json.dumps(_plain(data), ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def _plain(data):
    if isinstance(data, pd.DataFrame):
        return _plain(data.to_dict("records"))
    if isinstance(data, dict):
        return {str(key): _plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple | np.ndarray | pd.Series):
        return [_plain(value) for value in data]
    if isinstance(data, np.generic):
        data = data.item()
    if data is pd.NA or data is pd.NaT or (isinstance(data, float) and not math.isfinite(data)):
        return None
    return data


def _cells(frame: pd.DataFrame, digits: int) -> pd.DataFrame:
    """The frame as text: floats rounded, measures as intervals, missing values n/a.

    A column named "p (...)" holds p-values: none of them is shown as 0.
    """

    def cell(value, least):
        if isinstance(value, dict):
            return interval(value)
        if pd.api.types.is_scalar(value) and pd.isna(value):
            return ABSENT
        if isinstance(value, float):
            return f"<{least:.{digits}f}" if value < least else f"{value:.{digits}f}"
        return str(value)

    def column(values):
        return values.map(cell, least=10**-digits if str(values.name)[:3] == "p (" else -math.inf)

    return frame.astype(object).apply(column).rename(columns=str)


def latex(frame: pd.DataFrame, caption: str, label: str, digits: int = 3) -> str:
    """A booktabs table of the frame's columns (its index is left out), numbers to the right.

    Names, cells and caption are plain text: what LaTeX treats specially is escaped.  A cell
    may be a measure ``{"value", "low", "high"}``: it is shown by ``interval``.
    """
    cells = _cells(frame, digits)
    number = r"(?:[-−<]?\d.*|n/a)"
    align = ["r" if cells[name].str.fullmatch(number).all() else "l" for name in cells]
    plain = cells.rename(columns=lambda name: name.translate(LATEX))
    return (
        plain.map(lambda text: text.translate(LATEX))
        .style.hide(axis="index")
        .to_latex(
            hrules=True,
            position="t",
            position_float="centering",
            column_format="".join(align),
            caption=caption.translate(LATEX),
            label=label,
        )
    )


def markdown(frame: pd.DataFrame, digits: int = 3) -> str:
    """A GitHub table of the frame's columns; HTML and bars in the cells are escaped."""
    cells = _cells(frame, digits)
    rows = [list(cells.columns), ["---"] * len(cells.columns), *cells.to_numpy().tolist()]
    escaped = [
        [html.escape(" ".join(cell.split()), quote=False).replace("|", "\\|") for cell in row]
        for row in rows
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in escaped)


def show(frame: pd.DataFrame, digits: int = 3):
    """The same as an escaped HTML table for a notebook."""
    return posts.escaped(_cells(frame, digits))


def save(frame: pd.DataFrame, run: Run, name: str, caption: str, digits: int = 3) -> None:
    """Write the frame as ``tables/<name>.tex`` (label ``tab:<name>``) and ``.json`` (rows)."""
    texts = {"tex": latex(frame, caption, f"tab:{name}", digits), "json": to_json(frame)}
    for suffix, text in texts.items():
        path = run.table(name, suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def insert(path: Path, marker: str, text: str) -> None:
    """Replace what stands between ``<!-- marker:begin -->`` and ``<!-- marker:end -->``.

    Raises ValueError, and writes nothing, unless the file has each of the two once, in order.
    """
    begin, end = (f"<!-- {marker}:{side} -->" for side in ("begin", "end"))
    old = path.read_text(encoding="utf-8")
    if (old.count(begin), old.count(end)) != (1, 1) or old.index(begin) > old.index(end):
        raise ValueError(f"{path.name}: write one line {begin} and, below it, one {end}")
    if begin in text or end in text:
        raise ValueError(f"the text to insert holds a marker itself: {begin} or {end}")
    before, after = old.split(begin)[0], old.split(end)[1]
    path.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}", encoding="utf-8")
