"""Does the stated reason matter?  The reason changed in the post, and the label changed in the ask.

Changed in the post, where hate was predicted: each mention of the group that the explanation
names becomes a thing ("umbrellas"), or what its quotes say of the group becomes "live here".  If
the reason is the model's own, P(hate) falls.  The sentences that result are rough; compare the
falls with those of chance in ``faithfulness``.

Changed in the ask: the model explains the other label.  If it does so as readily, with the same
quotes, its explanations follow whatever label they are given and are no evidence for it.

    python -c "from hsd_utils import reasons; print(reasons.UMBRELLAS, reasons.ACT)"
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from rapidfuzz import fuzz

from hsd_utils import plausibility, spans
from hsd_utils.explanations import GROUPS, mentions, named, sentence, stance
from hsd_utils.faithfulness import Ask

UMBRELLAS = "umbrellas"
ACT = "live here"


def without_group(text: str, row) -> str | None:
    """The post with the groups that its explanation names turned into things.

    None where the explanation names no group, or none that stands in the post.
    """
    found = mentions(text, named(sentence(row.explanations)))
    for start, end in reversed(found):
        text = text[:start] + UMBRELLAS + text[end:]
    return text if found else None


def without_act(text: str, row) -> str | None:
    """The post with its quoted words replaced by the groups they name and what is no attack.

    None without a quote in the post.
    """
    quoted = spans.marked(text, spans.quoted(row.explanations))
    groups = spans.marked(text, mentions(text, GROUPS))
    written, kept, last = spans.words(text), [], 0
    for first, end in spans.runs(quoted):
        inside = [written[n] for n in range(first, end) if groups[n]]
        kept += [*written[last:first], *inside, ACT]
        last = end
    return " ".join(kept + written[last:]) if quoted.any() else None


def falls(p_hate: Ask, texts: Sequence[str], rows: pd.DataFrame) -> pd.DataFrame:
    """How far P(hate) falls: columns post, changed ("group" or "act"), fall.

    rows: one a text, with predicted and explanations; only those predicted as hate are asked
    about, and of them those where there is something to change.
    """
    ways = {"group": without_group, "act": without_act}
    asked = [
        (post, way, changed)
        for post, (text, row) in enumerate(zip(texts, rows.itertuples(), strict=True))
        for way, change in ways.items()
        if row.predicted == 1 and (changed := change(text, row)) is not None
    ]
    found = p_hate([*(texts[post] for post, _, _ in asked), *(text for _, _, text in asked)])
    made = pd.DataFrame([(post, way) for post, way, _ in asked], columns=["post", "changed"])
    return made.assign(fall=found[: len(asked)] - found[len(asked) :])


def followed(texts: Sequence[str], own: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Explanations of the predicted label (own) beside those of the other, a row a post.

    given (0/1): the other label was explained at all; follows (0/1): in words that conclude it
    (``explanations.stance``), NaN where they conclude nothing; same_quotes: token-F1 of the two
    choices of words, NaN where both are empty; same_words: rapidfuzz ratio of the sentences,
    0 to 1.  The last two are NaN where one of the explanations is missing.
    """
    made = []
    for text, a, b in zip(texts, own.itertuples(), other.itertuples(), strict=True):
        first, second = sentence(a.explanations), sentence(b.explanations)
        row = {"given": float(bool(second)), "follows": np.nan}
        row |= {"same_quotes": np.nan, "same_words": np.nan}
        if second and (ends := stance(second)) is not None:
            row["follows"] = float(ends == b.predicted)
        if first and second:
            masks = [spans.marked(text, spans.quoted(e.explanations)) for e in (a, b)]
            row["same_words"] = fuzz.ratio(first, second) / 100
            if np.any(masks):
                row["same_quotes"] = plausibility.token_f1(*masks)
        made.append(row)
    return pd.DataFrame(made)
