"""HateXScore with our own P(hate): an adaptation of the published form, and a corrected one.

HateXScore (EACL 2026) is the mean of four components of one explanation: HTC (it states a
conclusion), QF (quotation faithfulness), TGI (it names a target group) and CC (they agree).
The published code asks an external model for a number between 0 and 1 as p(x), and puts the
limit of 0.45 on that scale.  Here p(x) is the judged model's own P(hate), so both forms are
adaptations, and their values are not comparable with published ones.

``adapted``, as published: all is read from one text, here the quotes and reasons of an answer
(its label, which stands apart from them, is not in it).  A conclusion is one of a few words,
"hateful" and "no" among them, whichever label they mean.  Quotes are the single words that post
and text share, stop words included; they are masked, and QF is |p(x) - p(masked)| for a hateful
prediction and 1 minus that otherwise, 0 with nothing or all of the post quoted; a group counts
as named when the first words of its name are there; CC asks QF >= 0.45, and a group named where
the prediction is hateful but none where it is not.  (Whole words are masked, "they're" where
both its parts are shared; the published code also masks letters within words.)

``corrected``: quotes are those the answer gives and the post holds; QF of a hateful prediction
counts only a fall of P(hate); groups need their whole name, and in the reasons; HTC is 0 where
nothing is said or the reasons conclude the other label; for a prediction of no hate TGI is not
asked (NaN, left out of the mean), and CC asks QF >= 0.45 and HTC.

The target groups and their names are ``explanations.GROUPS``.

    python -c "from hsd_utils import hatexscore; print(hatexscore.components(
        1, 0.9, 0.3, concludes=True, names=True, corrected=True)['score'])"
"""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from hsd_utils import spans
from hsd_utils.explanations import NAMES, named, sentence, stance
from hsd_utils.faithfulness import Ask

LIMIT = 0.45
PARTS = ("htc", "qf", "tgi", "cc")
FORMS = ("adapted", "corrected")
MASK = "[mask]"  # in capitals ``prompts.shield`` would take it for a token of a template
_WORDS = re.compile(r"[^\w\s]+")
_CONCLUDES = re.compile(r"\b(?:(?:non-)?hateful|hate speech|yes|no)\b", re.I)  # published, English
# First words of the groups' names, as the published matching takes them: "black", "old"; bare as
# the words they are looked for in: "non binary", and never "non" alone.
_BEGINNINGS = {
    _WORDS.sub(" ", " ".join(n.split()[:k])) for n in NAMES for k in range(1, len(n.split()) + 1)
}


def measure(p_hate: Ask, texts: Sequence[str], rows: pd.DataFrame, form: str) -> pd.DataFrame:
    """Columns htc, qf, tgi, cc and score, one row a text; ``form`` is one of ``FORMS``."""
    hidden = [masked(text, row, form) for text, row in zip(texts, rows.itertuples(), strict=True)]
    found = p_hate([*texts, *(text for text in hidden if text is not None)])
    rest = iter(found[len(texts) :])
    p_masked = [None if text is None else next(rest) for text in hidden]
    given = zip(rows.itertuples(), found[: len(texts)], p_masked, strict=True)
    return pd.DataFrame([score(row, p, changed, form) for row, p, changed in given])


def masked(text: str, row, form: str) -> str | None:
    """The post with the quotes of an explanation masked; None with no word or all words quoted.

    row: predicted and explanations, as in ``predictions``.  form: one of ``FORMS``.
    """
    bare = [set(_bare(word).split()) for word in spans.words(text)]
    if form == "corrected":
        mask = spans.marked(text, spans.quoted(row.explanations))
    else:
        shared = set(_bare(_answer(row)).split())
        mask = np.array([bool(parts) and parts <= shared for parts in bare], bool)
    # Marks and emoji beside words are nothing left unquoted; on their own they are the post.
    counted = [hidden for hidden, parts in zip(mask, bare, strict=True) if parts] or mask
    if not mask.any() or all(counted):
        return None
    pairs = zip(spans.words(text), mask, strict=True)
    return " ".join(MASK if hidden else word for word, hidden in pairs)


def score(row, p: float, p_masked: float | None, form: str) -> dict[str, float]:
    """Components and score of one explanation; ``p_masked`` is None where ``masked`` is."""
    if corrected := form == "corrected":
        reason = sentence(row.explanations)
        concludes = bool(reason) and stance(reason) in (None, row.predicted)
        names = bool(named(reason))
    else:
        answer = _answer(row)
        concludes, names = bool(_CONCLUDES.search(answer)), _begins_a_name(answer)
    return components(row.predicted, p, p_masked, concludes, names, corrected)


def components(
    predicted: int, p: float, p_masked: float | None, concludes: bool, names: bool, corrected: bool
) -> dict[str, float]:
    """htc, qf, tgi, cc (0 to 1, tgi NaN where it is not asked) and their mean, ``score``.

    p, p_masked: P(hate) of the post and of the post with its quotes masked (None: nothing was
    quoted or everything).  All NaN where a P(hate) is NaN.
    """
    if p_masked is None:
        qf = 0.0
    elif predicted:
        qf = np.maximum(p - p_masked, 0) if corrected else abs(p - p_masked)
    else:
        qf = 1 - abs(p - p_masked)
    if np.isnan([p, qf]).any():
        return dict.fromkeys((*PARTS, "score"), np.nan)
    if predicted:
        agree = names
    else:
        agree = concludes if corrected else not names
    tgi = np.nan if corrected and not predicted else float(names)
    found = {"htc": float(concludes), "qf": float(qf), "tgi": tgi}
    found["cc"] = float(qf >= LIMIT and agree)
    return found | {"score": float(np.nanmean(list(found.values())))}


def _answer(row) -> str:
    return " ".join(e["input"] + " " + e["explanation"] for e in row.explanations)


def _bare(text: str) -> str:
    return _WORDS.sub(" ", text.lower()).strip()


def _begins_a_name(answer: str) -> bool:
    words = _bare(answer).split()
    grams = {" ".join(words[a : a + n]) for n in (1, 2, 3) for a in range(len(words) - n + 1)}
    return bool(grams & _BEGINNINGS)
