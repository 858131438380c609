"""The one table: posts in a pandas DataFrame, one row a post, the same columns everywhere.

Every reader, sample and corpus speaks this table, so that no notebook has to know where a post
came from.  ``COLUMNS`` lists it:

required  id (unique), source, text, label (1 hate, 0 not), group (what must not be split over
          samples: a template, thread or user; the id itself where there is none)
optional  target (group spoken of), agreement (share of annotators behind the majority label,
          0 to 1), rationale (list of [start, end) character offsets into text, [] where none is
          given), explanation (a gold sentence), functionality (what a test case tests), language

Posts can be hateful.  ``show`` masks them unless asked not to, and always escapes them.

    python -c "from hsd_utils import posts; print(posts.mask('Hello to everyone here'))"
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import regex

REQUIRED = ("id", "source", "text", "label", "group")
OPTIONAL = ("target", "agreement", "rationale", "explanation", "functionality", "language")
COLUMNS = REQUIRED + OPTIONAL

_WORD = regex.compile(r"\p{L}[\p{L}\p{M}\p{N}\p{Cf}]{2,}")  # a joiner hides no word
_SHOWN_CHARACTERS = 280


def make(rows: pd.DataFrame | Iterable[dict]) -> pd.DataFrame:
    """A checked table of exactly ``COLUMNS`` with a fresh index, from a frame or dicts.

    A missing id becomes ``<source>-<row>`` (rows counted from 0; ``<source>-row<row>`` where others
    have one), a missing group the id, a missing optional value NA ([] for a rationale).
    Other columns are left out.  Raises ValueError as ``check`` does.
    """
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows), dtype=object)
    _need(frame, ("source", "text", "label"))
    mark = "-row" if "id" in frame else "-"  # beside given ids, none of theirs
    frame = frame.reset_index(drop=True).reindex(columns=list(COLUMNS))
    listed = frame["text"].map(lambda text: isinstance(text, list | dict | np.ndarray))
    refuse(listed, "the text is a list", "join its words")
    words = [name for name in COLUMNS if name not in ("label", "agreement", "rationale")]
    table = frame.assign(**{name: _strings(frame[name]) for name in words})
    numbered = table["source"] + mark + table.index.to_series().astype("str")
    table["id"] = table["id"].fillna(numbered)
    table["group"] = table["group"].fillna(table["id"])
    table["label"] = _labels(frame["label"])
    table["agreement"] = pd.to_numeric(frame["agreement"]).astype("float64")
    spans = [
        [] if given is None or isinstance(given, float) else [[int(a), int(b)] for a, b in given]
        for given in frame["rationale"]
    ]
    table["rationale"] = pd.Series(spans, index=table.index, dtype=object)
    return check(table)


def check(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table unchanged, or raise ValueError saying what is wrong and where.

    Rows are numbered from 1, a header not counted.
    """
    _need(table, REQUIRED)
    if table.empty:
        raise ValueError("no posts: the table has columns but no rows; give at least one post")
    for column in REQUIRED:
        refuse(table[column].isna(), f"{column!r} is missing", "fill it or leave the row out")
    _labels(table["label"])
    refuse(table["id"].duplicated(), "the id is used twice", "make ids unique", table["id"])
    if "agreement" in table:
        outside = (table["agreement"] < 0) | (table["agreement"] > 1)
        refuse(outside, "'agreement' is not between 0 and 1", "give a share of annotators")
    if "rationale" in table:
        pairs = zip(table["rationale"], table["text"], strict=True)
        wrong = [not all(0 <= a < b <= len(text) for a, b in spans or ()) for spans, text in pairs]
        advice = "give pairs 0 <= start < end <= length of the text"
        refuse(np.array(wrong), "a rationale lies outside the text", advice)
    return table


def write_jsonl(table: pd.DataFrame, path: str | Path) -> None:
    """Write checked posts as JSON Lines: UTF-8, columns in order, NA and [] left out.

    The same table gives the same bytes; the file appears whole or not at all.
    """
    check(table)
    rows = table[[column for column in COLUMNS if column in table]].to_dict("records")
    write_rows(({c: v for c, v in row.items() if v != [] and v == v} for row in rows), Path(path))


def read_jsonl(path: str | Path) -> pd.DataFrame:
    """The table that ``write_jsonl`` wrote; see ``read_rows``."""
    return make(read_rows(Path(path)))


def of_sources(table: pd.DataFrame, sources: Iterable[str] | None) -> pd.DataFrame:
    """The posts of some sources, all of them unless any are named.

    Raises ValueError where a source has no post in the table.
    """
    if not sources:
        return table
    if absent := sorted(set(sources) - set(table["source"])):
        known = ", ".join(sorted(table["source"].unique()))
        raise ValueError(f"no post is of {', '.join(absent)}; the sources are {known}")
    return table[table["source"].isin(sources)]


def write_rows(rows: Iterable[dict], path: Path) -> None:
    """Write JSON Lines; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + f".{os.getpid()}.part")
    try:
        with open(part, "w", encoding="utf-8", newline="\n") as lines:
            lines.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def read_rows(path: Path) -> list[dict]:
    """The rows that ``write_rows`` wrote.

    Raises FileNotFoundError, or ValueError for a line that is not a JSON object (a cut-off copy)
    and for a file without any.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: run the notebook that writes it first")
    rows = []
    with open(path, encoding="utf-8", newline="\n") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if not isinstance(row, dict):
                raise ValueError(
                    f"{path}, line {number} is not a JSON object: the file was cut off or edited; "
                    "run the notebook that writes it again"
                )
            rows.append(row)
    if not rows:
        raise ValueError(f"{path} is empty: run the notebook that writes it again")
    return rows


def mask(text: str) -> str:
    """Every word of three or more letters keeps its first letter; the rest become '•'.

    The length stays, so character offsets still point at the same places.  Digits inside a
    word are hidden with it, since they often stand for letters.
    """
    return _WORD.sub(lambda word: word[0][0] + "•" * (len(word[0]) - 1), text)


def show(table: pd.DataFrame, n: int = 5, reveal: bool = False):
    """The first ``n`` posts as an escaped table for a notebook (``.data`` is the HTML).

    Texts and explanations are masked unless ``reveal``, and cut after 280 characters.
    """
    optional = [c for c in ("target", "functionality", "explanation") if c in table]
    optional = [column for column in optional if table[column].notna().any()]
    view = table.head(n)[["source", "label", "text", *optional]].copy()

    def shown(text: str) -> str:
        short = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
        return short if reveal else mask(short)

    for column in view.columns.intersection(["text", "explanation"]):
        view[column] = view[column].map(shown, na_action="ignore")
    return escaped(view, na_rep="")


def escaped(view: pd.DataFrame, **options):
    """A frame as an escaped HTML table for a notebook, its texts whole."""
    from IPython.display import HTML

    # MathJax would otherwise typeset whatever a post writes between two dollar signs.
    with pd.option_context("display.max_colwidth", None, "display.html.use_mathjax", False):
        return HTML(view.to_html(index=False, escape=True, **options))


def _need(frame: pd.DataFrame, columns: Iterable[str]) -> None:
    missing = [column for column in columns if column not in frame]
    if missing:
        found = ", ".join(map(str, frame.columns)) or "none"
        raise ValueError(
            f"columns needed: {', '.join(columns)}; missing: {', '.join(missing)}; found: {found}"
        )


def refuse(bad, what: str, advice: str, values=None) -> None:
    rows = np.flatnonzero(np.asarray(bad, dtype=bool))
    if len(rows):
        first = [
            f"{r + 1}" if values is None else f"{r + 1} ({values.iloc[r]!r})" for r in rows[:5]
        ]
        more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
        raise ValueError(f"{what} in row {', '.join(first)}{more}: {advice}")


def _labels(labels: pd.Series) -> pd.Series:
    """0/1 as int64, whether written as numbers, booleans or text."""
    names = {"0": 0, "0.0": 0, "false": 0, "1": 1, "1.0": 1, "true": 1}
    texts = labels.astype("str")
    known = {text: names.get(str(text).strip().lower()) for text in texts.unique()}
    numbers = texts.map(known)
    advice = "write 1 for hate and 0 for not hate"
    refuse(numbers.isna(), "the label is not 0 or 1", advice, labels)
    return numbers.astype("int64")


def _strings(values: pd.Series) -> pd.Series:
    if values.dtype == object:
        # A lone surrogate (broken JSON escapes) cannot be stored as UTF-8.
        values = values.map(lambda v: str(v).encode("utf-8", "replace").decode(), "ignore")
    return values.astype("str")
