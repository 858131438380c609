"""Files with a text and a label column: CSV, TSV, JSON Lines and Parquet.

Everything is read as text, so that no library guesses types.  Delimited files are read by
pyarrow (1.2 million posts in seconds); rows with too many or too few cells are left out and
counted, bytes that are not UTF-8 become U+FFFD and their rows are counted.

    python -c "from hsd_utils import readers; print(readers.read('my.csv', text_column='tweet'))"
"""

import csv
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from hsd_utils import paths
from hsd_utils.posts import OPTIONAL, refuse

CLASSES = ("hate", "offensive", "normal")
SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
# A post longer than a block cannot be parsed; the longest ones seen have 100,000 characters.
_BLOCK_BYTES = 1 << 24
csv.field_size_limit(_BLOCK_BYTES)


def own(path: Path, text_column: str, label_column: str) -> tuple[pd.DataFrame, dict]:
    """Posts of one's own: text and label, and by their names ids, groups and what else is known.

    Labels are 0 and 1, or the words hate, offensive and normal: these come back as ``class``,
    which ``label_mapping`` then turns into 0 and 1.
    """
    frame, counts = load(path, (text_column, label_column), ["id", "group", *OPTIONAL])
    frame = frame.reset_index(drop=True)
    if path.suffix.lower() in (".csv", ".tsv"):
        frame = frame.drop(columns="rationale", errors="ignore")
        known = frame.columns.difference([text_column, label_column])
        frame[known] = frame[known].replace("", np.nan)
    frame = frame.rename(columns={text_column: "text", label_column: "label"})
    frame["text"] = frame["text"].fillna("")
    words = frame["label"].astype("str").str.strip().str.lower()
    if (known := words.isin(CLASSES)).any():
        what = f"{path}: the label is none of {', '.join(CLASSES)}, as others are,"
        refuse(~known, what, "write one of these, or leave the row out", frame["label"])
        frame["class"] = words
    return frame, counts


def load(
    path: Path, needed: Iterable[str], wanted: Iterable[str] = ()
) -> tuple[pd.DataFrame, dict]:
    """The ``needed`` columns of a file, and those of ``wanted`` that it has.

    Returns the frame (of text, for a delimited file; its index counts the file's rows from 0, those
    dropped too) and counts: rows ``read``, rows ``dropped`` by reason, rows with ``undecodable``
    bytes, ``file`` and ``sha256``.  Raises FileNotFoundError, or ValueError for an empty file,
    missing columns, an unknown ending or a file that cannot be parsed.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: check the path and the folder it starts in")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty: give a file with a header and at least one post")
    ending = path.suffix.lower()
    if ending not in SUFFIXES:
        raise ValueError(f"{path}: the name must end in one of {', '.join(SUFFIXES)}")
    loader = {".parquet": _parquet, ".csv": _delimited, ".tsv": _delimited}.get(ending, _lines)
    frame, dropped, undecodable = loader(path, tuple(needed), tuple(wanted))
    rows = len(frame) + sum(dropped.values())
    if frame.empty:
        raise ValueError(f"{path} has no usable rows ({rows} read): give at least one post")
    about = {"file": path.name, "sha256": paths.sha256(path)}
    return frame, {"read": rows, "dropped": dropped, "undecodable": undecodable} | about


def _decoded(column: pa.ChunkedArray) -> tuple[pd.Series, np.ndarray]:
    """Bytes as text, and which rows were not UTF-8."""
    try:
        return column.cast(pa.string()).to_pandas().astype("str"), np.zeros(len(column), bool)
    except pa.ArrowInvalid:
        values = column.to_pylist()
        texts = [None if v is None else v.decode("utf-8", "replace") for v in values]
        changed = [t is not None and t.encode() != v for t, v in zip(texts, values, strict=True)]
        return pd.Series(texts, dtype="str"), np.array(changed)


def _delimited(path: Path, needed: tuple, wanted: tuple):
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        first = file.readline()
    marks = ("\t",) if path.suffix.lower() == ".tsv" else (",", ";", "\t")
    mark = max(marks, key=first.count)
    header = next(csv.reader([first], delimiter=mark), [])
    columns = _columns(path, header, needed, wanted)
    _refuse_swallowed(path, mark)
    ragged = []

    def skip(row):
        ragged.append(row.number - 2)  # the header is row 1
        return "skip"

    try:
        table = pyarrow.csv.read_csv(
            path,
            pyarrow.csv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False),  # knows numbers
            pyarrow.csv.ParseOptions(
                delimiter=mark, newlines_in_values=True, invalid_row_handler=skip
            ),
            pyarrow.csv.ConvertOptions(
                include_columns=columns, column_types={name: pa.binary() for name in columns}
            ),
        )
    except pa.ArrowInvalid:
        raise ValueError(
            f"{path} cannot be read as a table separated by {mark!r}: look for a quotation mark "
            "that is opened and never closed, or a binary file with the wrong name"
        ) from None
    undecodable = np.zeros(table.num_rows, bool)
    frame = {}
    for name in columns:
        frame[name], bad = _decoded(table[name])
        undecodable |= bad
    dropped = {"wrong number of cells": len(ragged)} if ragged else {}
    places = np.setdiff1d(np.arange(table.num_rows + len(ragged)), ragged)
    return pd.DataFrame(frame).set_axis(places), dropped, int(undecodable.sum())


def _refuse_swallowed(path: Path, mark: str) -> None:
    """A cell that begins with a quotation mark and does not end in one takes in lines after it.

    Rows of several lines are held to the rules of quoting, all others are read as they can be.
    """
    lines: list[str] = []
    with open(path, encoding="utf-8", errors="replace", newline="") as file:
        rows = csv.reader((lines.append(line) or line for line in file), delimiter=mark)
        try:
            for _ in rows:
                if len(lines) > 1:
                    list(csv.reader(lines, delimiter=mark, strict=True))
                lines.clear()
        except csv.Error:
            raise ValueError(
                f"{path}, line {rows.line_num - len(lines) + 1}: a quotation mark at the beginning "
                f"of a cell is not closed and would take in {len(lines) - 1} more lines. Put the "
                "cell in quotation marks and double those in it, or write JSON Lines"
            ) from None


def _lines(path: Path, needed: tuple, wanted: tuple):
    rows, places, unreadable, undecodable = [], [], 0, 0
    with open(path, "rb") as file:
        for line in file:
            text = line.decode("utf-8", "replace").strip().removeprefix("\ufeff")
            if not text:
                continue
            try:
                row = json.loads(text)
            except ValueError:
                row = None
            if isinstance(row, dict):
                places.append(len(rows) + unreadable)
                rows.append(row)
                undecodable += "\ufffd" in text and b"\xef\xbf\xbd" not in line
            else:
                unreadable += 1
    found = dict.fromkeys(key for row in rows for key in row)
    if not found:
        raise ValueError(f"{path} holds no JSON object: write one object a line")
    columns = _columns(path, list(found), needed, wanted)
    frame = pd.DataFrame(rows, index=places, columns=columns, dtype=object)
    return frame, {"not a JSON object": unreadable} if unreadable else {}, undecodable


def _parquet(path: Path, needed: tuple, wanted: tuple):
    try:
        columns = _columns(path, pa.parquet.read_schema(path).names, needed, wanted)
        table = pa.parquet.read_table(path, columns=columns)
    except pa.ArrowInvalid:
        raise ValueError(f"{path} is not a Parquet file, or a damaged one") from None
    frame = table.to_pandas(ignore_metadata=True)  # rows from 0, not pandas' own index
    undecodable = np.zeros(len(frame), bool)
    for name in columns:
        if pa.types.is_binary(table[name].type) or pa.types.is_large_binary(table[name].type):
            frame[name], bad = _decoded(table[name])
            undecodable |= bad
    return frame, {}, int(undecodable.sum())


def _columns(path: Path, found: list, needed: tuple, wanted: tuple) -> list[str]:
    missing = [name for name in needed if name not in found]
    if missing:
        raise ValueError(
            f"{path}: no column {', '.join(missing)}; found: {', '.join(map(str, found))}. Rename "
            "it, or name your own with text_column and label_column"
        )
    return list(dict.fromkeys([*needed, *(name for name in wanted if name in found)]))
