"""The teacher shown gold labels: demonstrations retrieved for each post from those taught.

The posts nearest in meaning (cosine of sentence vectors) stand in the conversation in place of the
fixed ones, the nearest last (Liu et al. 2022, arXiv:2101.06804).  Each post then has a prompt of
its own, which no prefix cache can share: ask about few.

    converse = retrieval.nearest(taught, teacher["prompt"], encoder.load())
    p_hate = replace(classifier, converse=converse).p_hate(posts)
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.neighbors import NearestNeighbors

from hsd_utils import prompts, verdict


def nearest(
    taught: pd.DataFrame, prompt: Mapping[str, Any], embed: Callable[[list[str]], np.ndarray]
) -> Callable[[str], list[dict[str, str]]]:
    """A way to converse: text of a post -> messages, with ``prompt["shots"]`` posts of ``taught``.

    taught: text, gold (0/1), label and explanations, as ``rationales.load`` gives them; only
    rows whose label is the gold one are shown.  prompt: of ``prompts.teacher``.  embed: texts ->
    vectors (n, d).  Raises ValueError where no demonstration is asked for or can be shown.
    """
    shown = taught[taught["label"].fillna(-1) == taught["gold"]].reset_index(drop=True)
    number, bare = min(prompt["shots"], len(shown)), {**prompt, "shots": 0}
    if not number:
        raise ValueError(
            f"{prompt['shots']} demonstrations of {len(shown)} with a gold label: set shots of 02 "
            "above 0, or leave retrieval out"
        )
    index = NearestNeighbors(n_neighbors=number, metric="cosine").fit(embed(shown["text"].tolist()))
    turns = []
    for row in shown.itertuples():
        answer = verdict.write(int(row.label), row.explanations, prompt["label_first"])
        asked = prompts.teacher(row.text, **bare)[-1]
        turns.append((asked, {"role": "assistant", "content": answer}))

    def converse(text: str) -> list[dict[str, str]]:
        system, ask = prompts.teacher(text, **bare)
        places = index.kneighbors(embed([text]), return_distance=False)[0]
        return [system, *(turn for place in places[::-1] for turn in turns[place]), ask]

    return converse
