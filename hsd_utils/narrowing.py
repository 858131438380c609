"""Narrower quotes: those words of a post that a model's own P(hate) rests on.

A small model quotes a whole post as readily as a phrase of it, which singles nothing out.  Here
such a quote is halved until it has no more than a share of the post's words: of its first,
middle and last half the one is kept without which P(hate) falls most (``narrowed``).  It stays
within what the model chose, and nobody has to label anything.  Or no quote is asked of the model:
the stretch is sought without which P(hate) falls most (``rests_on``; leave-one-out, Li et al.
2016), and the model is told to explain that one (``Classifier.explain``, ``about``).

    rows = narrowing.narrowed(faithfulness.asking(classifier), rows, texts)
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd

from hsd_utils import spans, verdict

Ask = Callable[[Sequence[str]], np.ndarray]  # texts -> P(hate) (n,)


def narrowed(
    p_hate: Ask, rows: pd.DataFrame, texts: Sequence[str], share: float = 0.5, labels=(1,)
):
    """Rationales (label, explanations; a text each), the quotes narrowed where ``labels`` has the
    label: only of hate, unless asked, since what makes a post harmless is all of it.

    There no quote has more than ``share`` of the post's words.  One word may always be quoted, a
    quote that does not stand in the post stays, and of quotes that end as the same words the
    first is kept.  Of *not hate* the half is kept without which P(hate) rises most.  Three
    questions a quote and round.  Raises ValueError for a share outside (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"quotes of a share of {share}: it must lie in (0, 1]")
    chosen = np.flatnonzero(rows["label"].isin(labels))
    sign = np.where((rows["label"] == 1).fillna(False), 1, -1)  # of a fall of the label's P
    most = [max(1, int(share * len(spans.words(text)))) for text in texts]
    texts, made = list(texts), [list(told) for told in rows["explanations"]]
    while wide := [
        (post, n)
        for post in chosen
        for n, quote in enumerate(made[post])
        if _words(texts[post], quote).sum() > most[post]
    ]:
        halves = [_halves(texts[post], made[post][n], most[post]) for post, n in wide]
        without = [
            spans.without(texts[post], _words(texts[post], half))
            for (post, _), some in zip(wide, halves, strict=True)
            for half in some
        ]
        asked = iter(p_hate(without))
        for (post, n), some in zip(wide, halves, strict=True):
            left = [sign[post] * next(asked) for _ in some]
            made[post][n] = some[np.nan_to_num(left, nan=1.0).argmin()]  # unread: nothing fell
    for post in chosen:
        made[post] = _different(made[post])
    return rows.assign(explanations=pd.Series(made, index=rows.index, dtype=object))


def rests_on(
    p_hate: Ask, texts: Sequence[str], labels: Sequence[int], share: float = 0.25
) -> list[tuple[int, int]]:
    """Of each text the stretch without which P(hate) falls most (label 0: rises), [start, end).

    It has ``share`` of the words, at least one; every such stretch is asked about, of equals the
    first is taken, and one that could not be read counts as no fall.  A text without a word has
    (0, 0).  Raises ValueError for a share outside (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"stretches of a share of {share}: it must lie in (0, 1]")
    lengths = [max(1, round(share * len(spans.words(text)))) for text in texts]
    places, left = [], without_each(p_hate, texts, lengths)
    for text, label, length, found in zip(texts, labels, lengths, left, strict=True):
        known = np.nan_to_num(found * (1 if label else -1), nan=1.0)
        first = int(known.argmin()) if len(known) else None
        places.append((0, 0) if first is None else spans.stretch(text, first, first + length))
    return places


def without_each(p_hate: Ask, texts: Sequence[str], lengths: Sequence[int]) -> list[np.ndarray]:
    """P(hate) of each text without each stretch of its length in words, in order; NaN as there."""
    tried = [spans.windows(len(spans.words(t)), n) for t, n in zip(texts, lengths, strict=True)]
    parts = [spans.without(t, mask) for t, some in zip(texts, tried, strict=True) for mask in some]
    asked = iter(p_hate(parts) if parts else ())
    return [np.array([next(asked) for _ in some]) for some in tried]


def _words(text: str, quote: dict) -> np.ndarray:
    return spans.marked(text, spans.quoted([quote]))


def _halves(text: str, quote: dict, most: int) -> list[dict]:
    """The first, middle and last half of a quote, none shorter than ``most`` words."""
    ((first, last),) = spans.runs(_words(text, quote))
    half = max((last - first + 1) // 2, most)
    made = []
    for at in sorted({first, (first + last - half) // 2, last - half}):
        start, end = spans.stretch(text, at, at + half)
        place = asdict(verdict.Quote(start, end, "exact"))
        made.append(quote | place | {"input": text[start:end]})
    return made


def _different(told: Sequence[dict]) -> list[dict]:
    first = {(quote["start"], quote["end"], quote["input"]): quote for quote in reversed(told)}
    return [quote for quote in told if quote is first[quote["start"], quote["end"], quote["input"]]]
