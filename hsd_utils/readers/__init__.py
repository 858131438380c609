"""Readers: any source of posts, or several mixed, as the one table of ``posts``.

A source is a name from ``READERS`` or the path of a CSV, TSV, JSON Lines or Parquet file.  What
a source calls 'offensive' is neither hate nor normal; ``label_mapping`` decides, in the same
way for all sources (sources with two labels know only hate and normal):

strict  only hate is 1 (the default)     toxic  hate and offensive are 1
clear   hate is 1, offensive is left out

    python -c "from hsd_utils import readers; print(readers.read(['ethos', 'hatecheck'])[1])"
"""

import difflib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from hsd_utils import corpus, paths, posts
from hsd_utils.readers import files, metahate, public, tables

LABEL_MAPPINGS = {
    "strict": {"hate": 1, "offensive": 0, "normal": 0},
    "toxic": {"hate": 1, "offensive": 1, "normal": 0},
    "clear": {"hate": 1, "normal": 0},
}


def embedded() -> tuple[pd.DataFrame, dict]:
    """The synthetic posts that come with this project; its writing styles are its sources."""
    table = corpus.build()
    return table, {"read": len(table), "dropped": {}, "undecodable": 0}


READERS: dict[str, Callable[[], tuple[pd.DataFrame, dict]]] = {
    "corpus": embedded,
    "davidson": public.davidson,
    "stormfront": public.stormfront,
    "hatexplain": public.hatexplain,
    "ethos": public.ethos,
    "hatecheck": public.hatecheck,
    "metahate": metahate.full,
    "metahate_sample": metahate.sample,
    "paper_distil": partial(metahate.paper, "paper_distil"),
    "paper_eval": partial(metahate.paper, "paper_eval"),
}


def read(
    sources: str | Path | Iterable[str | Path],
    label_mapping: str = "strict",
    text_column: str = "text",
    label_column: str = "label",
) -> tuple[pd.DataFrame, dict]:
    """One table from one or more sources, and what was read and dropped, by source.

    ``text_column`` and ``label_column`` are those of files of one's own.  Ids and groups get the
    source's name in front, so that sources never share one.  Counts are plain numbers: ``read``,
    ``dropped`` by reason, ``undecodable`` (rows with repaired bytes), ``kept`` by label.

    Raises ValueError (an unknown name, wrong columns, labels that are not 0 or 1, an empty file),
    FileNotFoundError or PermissionError; each message says what to do.
    """
    if label_mapping not in LABEL_MAPPINGS:
        raise ValueError(f"label_mapping {label_mapping!r}: one of {', '.join(LABEL_MAPPINGS)}")
    specs = [str(s) for s in ([sources] if isinstance(sources, str | Path) else sources)]
    if not specs:
        raise ValueError("no source named: give at least one, for example 'corpus'")
    found, counts, columns = [], {}, (text_column, label_column)
    for spec in specs:
        name = Path(spec).stem
        if name in counts:
            raise ValueError(f"two sources are called {name!r}: name it once, or rename the file")
        frame, counts[name] = READERS[spec]() if spec in READERS else _own(spec, *columns)
        try:
            table = _table(frame, spec, LABEL_MAPPINGS[label_mapping], counts[name])
        except ValueError as error:
            raise ValueError(f"{spec}: {error}") from None
        found.append(table)
    return (found[0] if len(found) == 1 else posts.make(pd.concat(found))), counts


def again(drawn: Mapping[str, Any], sources: Iterable[str] = ()) -> pd.DataFrame:
    """The posts that notebook 01 read with these parameters, or those of other sources alike."""
    alike = ("label_mapping", "text_column", "label_column")
    return read(sources or drawn["sources"], *(drawn[name] for name in alike))[0]


def inputs(sources: Iterable[str]) -> list[Path]:
    """Files at hand that sources are read from: what a stage lists among its inputs.

    Neither Stormfront as a folder nor the hub's copy of MetaHate.
    """
    sources = list(sources)
    whole = [metahate.LOCAL] if {"metahate", "paper_distil", "paper_eval"} & set(sources) else []
    shared = [*whole, *(files.FILES[name][0] for name in sources if name in files.FILES)]
    own = [Path(spec) for spec in sources if spec not in READERS]
    return [file for file in [*own, *map(paths.public, shared)] if file.is_file()]


def _own(spec: str, *columns: str) -> tuple[pd.DataFrame, dict]:
    path = Path(spec)
    if path.suffix.lower() not in tables.SUFFIXES:
        near = difflib.get_close_matches(spec, READERS, n=1)
        meant = f"; did you mean {near[0]!r}?" if near else "."
        raise ValueError(
            f"no source is called {spec!r}{meant} Known: {', '.join(READERS)}, or the path of a "
            f"file ending in {', '.join(tables.SUFFIXES)}"
        )
    return tables.own(path, *columns)


def _table(frame: pd.DataFrame, spec: str, mapping: dict, counts: dict) -> pd.DataFrame:
    name = Path(spec).stem
    if "class" in frame:
        kept = frame["class"].isin(list(mapping))
        lost = frame.loc[~kept, "class"].fillna("unknown class").value_counts()
        counts["dropped"] = {**counts["dropped"], **{kind: int(n) for kind, n in lost.items()}}
        frame = frame[kept].assign(label=frame["class"].map(mapping))
    if "source" not in frame:
        ids = frame["id"] if "id" in frame else frame.index.to_series()
        frame = frame.assign(source=name, id=name + "-" + ids.astype("str"))
        if "group" in frame:
            frame["group"] = name + "-" + frame["group"].astype("str")
        if spec in READERS:
            frame["language"] = "en"
    table = posts.make(frame)
    by_label = table["label"].value_counts()
    counts["kept"] = {str(label): int(by_label.get(label, 0)) for label in (0, 1)}
    return table
