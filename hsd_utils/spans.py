"""A post as words, and a choice of them as a mask: what a quote, a lexicon or a person marks.

A word is a run of characters without white space, so that the tokens of HateXplain (joined by
spaces) are words again.  A span marks every word that it touches.  All measures of explanations
work on masks (n_words,), so that quotes, chance and annotators are compared in the same units.

    python -c "from hsd_utils import spans; print(spans.marked('kind words help', [[0, 6]]))"
"""

import re
from collections.abc import Iterable, Mapping
from html import escape
from itertools import pairwise

import numpy as np

from hsd_utils import sampling

_WORD = re.compile(r"\S+")


def words(text: str) -> list[str]:
    return _WORD.findall(text)


def as_given(text: str) -> list[tuple[int, int]]:
    """(start, end) in the text of each word that ``sampling.clean_text`` leaves or replaces."""
    kept = [place for place, character in enumerate(text) if not sampling.CONTROL.match(character)]
    found = [word.span() for word in _WORD.finditer("".join(text[place] for place in kept))]
    return [(kept[start], kept[end - 1] + 1) for start, end in found]


def marked(text: str, spans: Iterable) -> np.ndarray:
    """Mask (n_words,) of the words that touch one of the [start, end) character spans."""
    spans = list(spans)
    places = [word.span() for word in _WORD.finditer(text)]
    touched = [any(a < end and start < b for start, end in spans) for a, b in places]
    return np.array(touched, dtype=bool)


def quoted(explanations: Iterable[Mapping]) -> list[list[int]]:
    """Spans of the quotes that stand in the post (see ``verdict.Quote``)."""
    return [[int(e["start"]), int(e["end"])] for e in explanations if e["how"] is not None]


def numbered(text: str, explanations: Iterable[Mapping], mark: str = "<mark>") -> str:
    """The post as escaped HTML, its quotes marked, each followed by its number, from 1.

    Quotes may overlap.  The text may be masked: that keeps places.
    """
    places = {
        number: (int(e["start"]), int(e["end"]))
        for number, e in enumerate(explanations, 1)
        if e.get("start") is not None
    }
    made = []
    for start, end in pairwise(sorted({0, len(text)}.union(*places.values()))):
        piece = escape(text[start:end])
        inside = any(first <= start and end <= last for first, last in places.values())
        ends = ",".join(str(number) for number, (_, last) in places.items() if last == end)
        made.append(f"{mark}{piece}</mark>" if inside else piece)
        made.append(f"<sup>{ends}</sup>" if ends else "")
    return "".join(made)


def stretch(text: str, first: int, last: int) -> tuple[int, int]:
    """Where the words [first, last) of a post stand, at least one: [start, end) in characters."""
    places = [word.span() for word in _WORD.finditer(text)]
    return places[first][0], places[last - 1][1]


def keep(text: str, mask: np.ndarray) -> str:
    """The post with only the marked words, joined by spaces; "" if none is."""
    return " ".join(word for word, kept in zip(words(text), mask, strict=True) if kept)


def without(text: str, mask: np.ndarray) -> str:
    """The post without the marked words; the text itself where none is marked."""
    return keep(text, ~mask) if mask.any() else text


def runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Marked neighbours as [first, last) positions of words, in order."""
    edges = np.flatnonzero(np.diff(np.r_[0, np.asarray(mask, dtype=int), 0]))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def windows(size: int, length: int) -> list[np.ndarray]:
    """Every mask of ``length`` words in a row out of ``size``; one that marks none if it is 0."""
    if not length:
        return [np.zeros(size, dtype=bool)]
    at = np.arange(size)
    return [(at >= first) & (at < first + length) for first in range(size - length + 1)]


def top(scores: np.ndarray, count: int) -> np.ndarray:
    """Mask of the ``count`` words with the highest scores (n_words,); of equals, the first."""
    mask = np.zeros(len(scores), dtype=bool)
    mask[np.argsort(-np.asarray(scores), kind="stable")[:count]] = True
    return mask
