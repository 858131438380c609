"""Plausibility: do quotes mark the words that people marked?

After ERASER (DeYoung et al. 2020) and HateXplain (Mathew et al. 2021), on posts where people
marked something: token-F1, the mean of each post's F1 over words; IOU-F1, where a span counts
as found at an intersection over union of 0.5, from the means over posts of precision and recall
(ERASER's "macro"); AUPRC, for scores rather than marks.  Both sides are masks over a post's
words (see ``spans``).

    python -c "from hsd_utils import plausibility as p; print(p.token_f1([1, 1, 0], [1, 0, 0]))"
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import auc, precision_recall_curve

from hsd_utils import bootstrap, spans
from hsd_utils.encoder import Encoder
from hsd_utils.readers import public

MATCH = 0.5  # intersection over union from which a span counts as found
BY_POST = ("token_f1", "iou_precision", "iou_recall")
NO_SCORES = "quotes mark words and do not rank them"


def token_f1(human, said) -> float:
    """F1 of the words marked (n_words,) in one post; 0 where none is shared."""
    human, said = np.asarray(human, dtype=bool), np.asarray(said, dtype=bool)
    return f1(*_rates((human & said).sum(), said.sum(), human.sum()))


def iou(human, said) -> tuple[float, float]:
    """Precision and recall of spans in one post: runs of marked words matched at ``MATCH``.

    As in ERASER's code, the spans that were said and found are counted above in both.
    """
    truth, given = spans.runs(human), spans.runs(said)
    found = sum(max((_overlap(a, b) for b in truth), default=0) >= MATCH for a in given)
    return _rates(found, len(given), len(truth))


def auprc(human, scores) -> float:
    """Area under the precision-recall curve of word scores in one post (trapezoids).

    NaN where all words are marked or none is: any ranking is then as good.
    """
    human = np.asarray(human, dtype=bool)
    if human.all() or not human.any():
        return float("nan")
    precision, recall, _ = precision_recall_curve(human, scores)
    return float(auc(recall, precision))


def f1(precision, recall, axis=None):
    """F1 of the means of precision and recall over ``axis`` (ERASER's macro F1); 0 if both are."""
    p, r = np.mean(precision, axis=axis), np.mean(recall, axis=axis)
    return np.divide(2 * p * r, p + r, out=np.zeros(np.shape(p)), where=p + r > 0)[()]


def by_post(human: Iterable, said: Iterable) -> pd.DataFrame:
    """token_f1, iou_precision, iou_recall of masks, a row a post; NaN where nobody marked any."""
    rows = [
        (token_f1(h, s), *iou(h, s)) if np.any(h) else (np.nan,) * 3
        for h, s in zip(human, said, strict=True)
    ]
    return pd.DataFrame(rows, columns=list(BY_POST))


def measures(human: Iterable, said: Iterable, resamples: int, seed: int) -> dict:
    """token_f1 and iou_f1 over posts with 95% intervals; ``human`` and ``said`` hold masks.

    Posts where nobody marked anything are left out.
    """
    found = by_post(human, said).dropna()
    if found.empty:
        nothing = bootstrap.absent("no human spans on these posts")
        return {"token_f1": nothing, "iou_f1": nothing}
    return _over_posts(found, resamples, seed)


def paired(both: pd.DataFrame, resamples: int, seed: int) -> dict:
    """posts, and the difference in token_f1 and iou_f1 of two models on the same posts.

    both: the columns of ``by_post``, and those of the other with " teacher" after their names.
    """
    one, other = (both[[n + end for n in BY_POST]].to_numpy().T for end in ("", " teacher"))

    def lead(p, r, other_p, other_r, axis):
        return f1(p, r, axis) - f1(other_p, other_r, axis)

    token = bootstrap.mean(one[0] - other[0], resamples, seed)
    spans_found = bootstrap.over(lead, [*one[1:], *other[1:]], resamples, seed)
    marked = int(np.isfinite(one[0] - other[0]).sum())
    return {"posts": marked, "token_f1": token, "iou_f1": spans_found}


def ranking(human: Iterable, scores: Iterable, resamples: int, seed: int) -> dict:
    """The mean AUPRC over posts with its interval; see ``auprc``."""
    found = [auprc(h, s) for h, s in zip(human, scores, strict=True)]
    return bootstrap.mean(found, resamples, seed)


def tagger(encode: Encoder, texts: Iterable[str], masks: Iterable, seed: int) -> Callable:
    """A baseline: a logistic regression on word vectors that learned which words are marked.

    Returns text -> log-odds (n_words,); words above 0 are those it would mark.
    """
    vectors, marks = np.concatenate(encode.words(list(texts))), np.concatenate(list(masks))
    model = LogisticRegression(class_weight="balanced", max_iter=1000, random_state=seed)
    model.fit(vectors, marks)
    return lambda text: model.decision_function(encode.words([text])[0])


def ceiling(marks: Iterable[list], resamples: int, seed: int, said: Iterable | None = None) -> dict:
    """How well people agree: each annotator against what at least half of the others marked.

    ``marks``: for each post a list of masks (n_words,), one an annotator.  ``said``: for each
    post the mask of a model that takes each annotator's place in turn, to be compared with them.
    The measures of a post are means over its annotators; posts with fewer than two are left out.
    """
    marks, found = list(marks), []
    for each, one in zip(marks, [None] * len(marks) if said is None else said, strict=True):
        if len(each) < 2:
            continue
        masks = np.array(each, dtype=bool)
        others = [np.delete(masks, n, axis=0).mean(axis=0) >= 0.5 for n in range(len(masks))]
        found.append(by_post(others, masks if one is None else [one] * len(masks)).mean())
    return _over_posts(pd.DataFrame(found, columns=list(BY_POST)), resamples, seed)


def hatexplain_marks(texts: Mapping[str, str]) -> dict[str, list[list[int]]]:
    """The annotators' own masks (n_words,) over those posts, by id, that are HateXplain's.

    Published over its tokens: a mask of another length than the post's words, since cleaning
    joined some, is left out, and so is one that marks nothing.
    """
    sizes = {post: len(spans.words(text)) for post, text in texts.items()}
    return {
        post: [m for m in record["rationales"] if len(m) == sizes[post] and any(m)]
        for post, record in public.hatexplain_records(texts).items()
    }


def _over_posts(found: pd.DataFrame, resamples: int, seed: int) -> dict:
    spans_found = [found["iou_precision"], found["iou_recall"]]
    return {
        "token_f1": bootstrap.mean(found["token_f1"], resamples, seed),
        "iou_f1": bootstrap.over(f1, spans_found, resamples, seed),
    }


def _rates(found, said, human) -> tuple[float, float]:
    return (found / said if said else 0.0, found / human if human else 0.0)


def _overlap(a: tuple[int, int], b: tuple[int, int]) -> float:
    shared = max(0, min(a[1], b[1]) - max(a[0], b[0]))
    return shared / (a[1] - a[0] + b[1] - b[0] - shared)
