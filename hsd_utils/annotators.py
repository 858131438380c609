"""How well does a person agree with the others?  The human ceiling, on HateXplain's annotators.

Each annotator is left out in turn; the majority of the others is the label, and the one left out
is judged by it as a model is, on the same posts.  A model's score on gold labels is no match for
it, since the person's own vote is part of them.

    pairs = annotators.left_out(annotators.hatexplain_votes(held_out["id"], "strict"))
    annotators.ceiling(pairs, {"student": rows.set_index("id")["predicted"]}, 1000, seed=0)
"""

from collections.abc import Iterable, Mapping

import pandas as pd

from hsd_utils import metrics
from hsd_utils.readers import LABEL_MAPPINGS, public

MEASURES = ("macro_f1", "accuracy")


def hatexplain_votes(ids: Iterable[str], label_mapping: str) -> dict[str, list[int]]:
    """Votes of 0 and 1 on posts named "hatexplain-<key>"; other posts are left out.

    label_mapping: of ``readers``; votes for a class that it leaves out are left out too.
    """
    mapping = LABEL_MAPPINGS[label_mapping]
    given = {
        post: [mapping.get(public.CLASSES[note["label"]]) for note in record["annotators"]]
        for post, record in public.hatexplain_records(ids).items()
    }
    return {post: [vote for vote in votes if vote is not None] for post, votes in given.items()}


def left_out(votes: Mapping[str, list[int]]) -> pd.DataFrame:
    """A row a post and annotator: id, said (0/1), others (their majority); ties are left out."""
    rows = []
    for post, given in votes.items():
        for place, said in enumerate(given):
            others = given[:place] + given[place + 1 :]
            if 2 * sum(others) != len(others):
                majority = int(2 * sum(others) > len(others))
                rows.append({"id": post, "said": said, "others": majority})
    return pd.DataFrame(rows, columns=["id", "said", "others"])


def ceiling(
    pairs: pd.DataFrame, models: Mapping[str, pd.Series], resamples: int, seed: int
) -> pd.DataFrame:
    """Rows of model ("annotator" first), posts, and MEASURES as {value, low, high}.

    models: name -> verdicts (0/1) by post id, judged on the same rows as the annotators.  The
    rows of a post are resampled together; 95% percentile intervals.
    """
    columns = ["model", "posts", *MEASURES]
    if pairs.empty:
        return pd.DataFrame(columns=columns)
    given = {"annotator": pairs["said"]} | {m: said.loc[pairs["id"]] for m, said in models.items()}
    drawn, rows = {"resamples": resamples, "seed": seed, "group": pairs["id"]}, []
    for name, said in given.items():
        found = metrics.classification(pairs["others"], None, said, **drawn)
        row = {"model": name, "posts": pairs["id"].nunique()}
        rows.append(row | {m: found[m] for m in MEASURES})
    return pd.DataFrame(rows, columns=columns)
