"""Has a model seen what it is tested on?  Posts in no sample, near duplicates, known halves.

fresh = contamination.unused(readers.read("davidson")[0], samples, 5000, seed=1)
contamination.audit({"fresh": fresh["text"]}, {"distil": samples["distil"]["text"]})
"""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from rapidfuzz.distance import LCSseq

from hsd_utils import near_duplicates, prompts, sampling
from hsd_utils.engines import Request
from hsd_utils.scoring import Classifier

HALF = """\
Below is the first half of a post of a public data set. Write its second half exactly as it stands \
there, and nothing else.
"""
FEWEST = 8  # words of a post with two halves worth the name
MOST = 80  # tokens of what is written


def unused(
    table: pd.DataFrame,
    samples: Mapping[str, pd.DataFrame],
    size: int,
    seed: int,
    near_duplicate: float = 0.8,
    anonymise: bool = True,
) -> pd.DataFrame:
    """At most ``size`` posts, drawn at random, that no sample knows: not balanced, as they come.

    The table is cleaned and de-duplicated as the samples were; posts that share an id, a group,
    a text or a near duplicate with a sample are left out.  The same posts and seed give the same
    draw, whatever the order of rows.  Raises ValueError where nothing is left.
    """
    table, _ = sampling.deduplicate(sampling.clean(table, anonymise)[0])
    known = pd.concat(samples.values(), ignore_index=True)
    for column in ("id", "group"):
        table = table[~table[column].isin(known[column])]
    table = table[~table["text"].str.casefold().isin(known["text"].str.casefold())]
    drawn = table.sort_values("id").sample(frac=1, random_state=seed).head(2 * size)
    taken = near(drawn["text"], known["text"], near_duplicate)
    drawn = drawn[~taken].head(size).reset_index(drop=True)
    if drawn.empty:
        raise ValueError("no post is left that is in no sample: name other sources")
    return drawn


def spread(table: pd.DataFrame, by: str | list[str], size: int) -> pd.DataFrame:
    """At most ``size`` posts, as evenly over the values of column(s) ``by`` as can be; 0 is all.

    Posts keep their order; of each value the first are taken.
    """
    if not size:
        return table
    turn = table.groupby(by, dropna=False).cumcount()
    chosen = np.sort(np.argsort(turn.to_numpy(), kind="stable")[:size])
    return table.iloc[chosen].reset_index(drop=True)


def near(texts: Iterable[str], others: Iterable[str], threshold: float = 0.8) -> np.ndarray:
    """Which of ``texts`` (n,) have a near duplicate, or their like, among ``others``."""
    texts, others = list(texts), list(others)
    found = np.zeros(len(texts), bool)
    if not texts or not others:
        return found
    pairs = near_duplicates.pairs([text.casefold() for text in texts + others], threshold)
    across = pairs[(pairs[:, 0] < len(texts)) & (pairs[:, 1] >= len(texts))]
    found[across[:, 0]] = True
    return found


def audit(
    tested: Mapping[str, Iterable[str]],
    taught: Mapping[str, Iterable[str]],
    threshold: float = 0.8,
) -> pd.DataFrame:
    """Posts of each tested set with a near duplicate in each taught one: counts and shares.

    Columns tested, taught, posts, near_duplicates, share.  It sees copies and templates, not
    paraphrases, and knows nothing of what a model met before this project.
    """
    rows = []
    for name, texts in tested.items():
        texts = list(texts)
        for other, known in taught.items():
            hits = int(near(texts, known, threshold).sum())
            row = {"tested": name, "taught": other, "posts": len(texts), "near_duplicates": hits}
            rows.append(row | {"share": hits / len(texts) if texts else None})
    return pd.DataFrame(rows)


def half_request(key: str, text: str) -> Request:
    """Ask a model for the second half of a post."""
    words = text.split()
    first = prompts.shield(" ".join(words[: len(words) // 2]))
    asked = [{"role": "user", "content": f"{HALF}\n<post>{first}</post>"}]
    return Request(key, asked, max_tokens=MOST)


def completed(classifier: Classifier, texts: Iterable[str]) -> pd.DataFrame:
    """Does a model complete posts from their first half?  A row a post of FEWEST words or more.

    ``own`` and ``other``: the longest common subsequence of words of what it writes with the
    second half, as a share of that half (ROUGE-L's recall, Lin 2004), and with the second half
    of another post, which is chance.  What it writes is cut at the half's length, and a half at the
    length of an answer that was cut off.  Golchin and Surdeanu (2024, arXiv:2308.08493) ask in
    this way; a model that knows a post may still fail.
    """
    long = [text for text in texts if len(text.split()) >= FEWEST]
    words = [text.casefold().split() for text in long]
    seconds = [split[len(split) // 2 :] for split in words]
    requests = [half_request(str(number), text) for number, text in enumerate(long)]
    answers = classifier.store.collect(classifier.engine, requests)

    def shared(number: int, half: list[str]) -> float:
        answer = answers[str(number)]
        said = answer.text.casefold().split()
        half = half[: max(1, len(said))] if answer.finish == "length" else half
        return LCSseq.similarity(said[: len(half)], half) / len(half)

    own = [shared(number, half) for number, half in enumerate(seconds)]
    other = [shared(number, seconds[number - 1]) for number in range(len(seconds))]
    return pd.DataFrame({"own": own, "other": other})
