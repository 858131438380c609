"""Faithfulness: does P(hate) rest on the words that an explanation quotes?

After ERASER (DeYoung et al. 2020), with j the predicted label, x the post and r the marked
words: comprehensiveness p(j|x) - p(j|x without r), higher is better; sufficiency
p(j|x) - p(j|r), lower is better.  No model gains by silence: a post without quotes has a
comprehensiveness of 0, since nothing removed changes nothing, and no sufficiency, which would
be that of the empty post whatever the model makes of this one.  Quotes are held against as many
words in a row taken by chance, against the words that a lexicon or a small classifier finds
most telling, and against the best that leaving out as many words was found to do (the upper
reference, see ``measure``).

    rows = faithfulness.measure(p_hate, texts, predicted, {"quotes": masks}, tried=4, seed=0)
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from hsd_utils import bootstrap, explanations, narrowing, spans
from hsd_utils.narrowing import Ask
from hsd_utils.scoring import Classifier

Scores = Callable[[str], np.ndarray]  # text -> how much each word speaks for hate (n_words,)
CHANCE, BEST = "random", "leave-one-out"
SILENT = "nothing is quoted"
UNASKED = "not measured: these words were sought by comprehensiveness alone"


def asking(classifier: Classifier) -> Ask:
    """P(hate) of any texts, asked of a model through its store: each text once, NaN as there."""

    def p_hate(texts: Sequence[str]) -> np.ndarray:
        ids = [str(number) for number in range(len(texts))]
        return classifier.p_hate(pd.DataFrame({"id": ids, "text": list(texts)}, dtype=object))

    return p_hate


def measure(
    p_hate: Ask,
    texts: Sequence[str],
    predicted: Sequence[int],
    masks: Mapping[str, Sequence[np.ndarray]],
    tried: int,
    seed: int,
) -> pd.DataFrame:
    """A row a post and method: post (its position), predicted, method, words (how many are
    marked), share (of the post's words), comprehensiveness, sufficiency.

    masks: method -> one mask (n_words,) a post; "quotes" is among them and gives the length of the
    stretches of each post.  "random" is the mean of ``tried`` stretches drawn by chance
    (sufficiency: of the first).  "leave-one-out" leaves out each stretch of that length in turn, of
    a long post ``tried`` of them evenly spread over it, and takes the largest fall among them,
    those drawn and the quotes (without sufficiency).  So quotes and chance cannot be above it;
    scattered words of a lexicon can.  Where no word is marked sufficiency is NaN.  At most 2 tried
    + 4 questions a post, and two more a method other than the quotes.
    """
    generator, asked = np.random.default_rng(seed), []
    for post, text in enumerate(texts):
        every = spans.windows(len(spans.words(text)), int(masks["quotes"][post].sum()))
        drawn = generator.permutation(len(every))[:tried]
        asked += [(post, CHANCE, "without", every[n]) for n in drawn]
        asked.append((post, CHANCE, "only", every[drawn[0]]))
        count = min(tried, len(every))  # all of them, or so many at one distance, centred
        spread = [every[(2 * n + 1) * len(every) // (2 * count)] for n in range(count)]
        asked += [(post, BEST, "without", window) for window in spread]
        for method, chosen in masks.items():
            asked += [(post, method, how, chosen[post]) for how in ("without", "only")]
    change = {"without": spans.without, "only": spans.keep}
    changed = [change[how](texts[post], mask) for post, _, how, mask in asked]
    found = p_hate([*texts, *changed])
    whole, parts = found[: len(texts)], found[len(texts) :]
    rows = pd.DataFrame(asked, columns=["post", "method", "how", "mask"])
    label, p = np.asarray(predicted)[rows["post"]], whole[rows["post"]]
    # p(hate|x) - p(hate|changed) if hate was predicted; of "not hate" it is the reverse.
    rows["fall"] = np.where(label == 1, p - parts, parts - p)
    rows["words"] = rows.pop("mask").map(np.sum)
    wide = _wide(rows)
    wide.insert(1, "predicted", np.asarray(predicted)[wide["post"]])
    size = np.array([max(1, len(spans.words(text))) for text in texts])
    return wide.assign(share=wide["words"] / size[wide["post"]])


def _wide(rows: pd.DataFrame) -> pd.DataFrame:
    tried = rows[(rows["how"] == "without") & rows["method"].isin((BEST, CHANCE, "quotes"))]
    rows = rows[rows["method"] != BEST]
    by = rows.groupby(["post", "method", "how"], sort=False)
    mean = by["fall"].mean().unstack("how")
    words = rows.groupby(["post", "method"], sort=False)["words"].first()
    names = {"without": "comprehensiveness", "only": "sufficiency"}
    mean.loc[words == 0, "only"] = np.nan
    wide = mean.rename(columns=names).assign(words=words).reset_index()
    best = tried.groupby("post").agg(comprehensiveness=("fall", "max"), words=("words", "first"))
    best = best.reset_index().assign(method=BEST, sufficiency=np.nan)
    columns = ["post", "method", "words", *names.values()]
    return pd.concat([wide, best])[columns].reset_index(drop=True)


def summary(rows: pd.DataFrame, resamples: int, seed: int) -> pd.DataFrame:
    """A row a method: posts, comprehensiveness, sufficiency, and how far the quotes are above.

    Measures are {value, low, high} over posts, sufficiency over those of which words are marked;
    quotes_above is the mean difference in comprehensiveness of the quotes to this method on the
    same posts.  Of leave-one-out there is no sufficiency, see ``measure``.
    """
    wide = rows.pivot(index="post", columns="method", values="comprehensiveness")
    found = []
    order = ["quotes", *(m for m in rows["method"].unique() if m != "quotes")]
    for method in order:
        part = rows[rows["method"] == method]
        row = {"method": method, "posts": int(part["comprehensiveness"].notna().sum())}
        for name in ("comprehensiveness", "sufficiency"):
            row[name] = bootstrap.mean(part[name], resamples, seed)
        if not part["words"].any():
            row["sufficiency"] = bootstrap.absent(SILENT)
        elif method == BEST:
            row["sufficiency"] = bootstrap.absent(UNASKED)
        above = bootstrap.mean(wide["quotes"] - wide[method], resamples, seed)
        itself = bootstrap.absent("the quotes themselves")
        found.append(row | {"quotes_above": itself if method == "quotes" else above})
    return pd.DataFrame(found)


def quoting(classifier: Classifier, posts: pd.DataFrame, seed: int, tried: int = 4) -> dict:
    """What a model's quotes are worth where it is told to explain why posts are hateful, briefly.

    One that writes its explanation first is told so by a schema alone; without one it explains
    what it thinks, and where that is no hate, nothing is quoted of the post.
    Returns posts, quotes, found and whole (counts), comprehensiveness and its lead over chance,
    ``above``, as {value, low, high} over posts, and both again under ``narrowed``, of the same
    quotes halved by the model's own P(hate) until they have at most half of a post.
    """
    hateful, texts = np.ones(len(posts), dtype=int), posts["text"].tolist()
    rows = pd.DataFrame(classifier.explain(posts, classifier.p_hate(posts), hateful))
    counted = explanations.features(posts, rows)[["quotes", "found", "whole"]].sum()
    ask = asking(classifier)
    narrow = narrowing.narrowed(ask, rows.assign(label=hateful), texts)
    found = []
    for given in (rows, narrow):
        measured = measure(ask, texts, hateful, marks(texts, given, {}), tried, seed)
        by = summary(measured, 1000, seed).set_index("method")
        lead = {"comprehensiveness": by.at["quotes", "comprehensiveness"]}
        found.append(lead | {"above": by.at[CHANCE, "quotes_above"]})
    counts = {"posts": len(posts)} | counted.astype(int).to_dict()
    return counts | found[0] | {"narrowed": found[1]}


def without_each(p_hate: Ask, texts: Iterable[str]) -> list[np.ndarray]:
    """How far P(hate) falls without each word of each text, (n_words,); 0 where it was not read."""
    texts = list(texts)
    left = narrowing.without_each(p_hate, texts, [1] * len(texts))
    whole = p_hate(texts) if texts else []
    return [np.nan_to_num(p - some) for p, some in zip(whole, left, strict=True)]


def marks(
    texts: Sequence[str], rows: pd.DataFrame, scored: Mapping[str, Scores]
) -> dict[str, list[np.ndarray]]:
    """Masks by method: the quotes of each row and, of each scorer, as many words as are quoted.

    rows: one a text, with predicted and explanations.  A scorer's words are those that speak
    most for the predicted label.
    """
    quotes = [spans.quoted(given) for given in rows["explanations"]]
    made = {"quotes": [spans.marked(t, q) for t, q in zip(texts, quotes, strict=True)]}
    for method, scores in scored.items():
        each = zip(texts, rows["predicted"], made["quotes"], strict=True)
        made[method] = [
            spans.top(scores(text) * (1 if label else -1), int(mask.sum()))
            for text, label, mask in each
        ]
    return made


def lexicon(texts: Iterable[str], labels: Iterable[int], prior: float = 0.5) -> Scores:
    """Word scores learned from labelled posts, so that no list of insults has to be written.

    The log-odds of a word in hateful against other posts, divided by its standard error, with
    ``prior`` added to each count (Monroe et al. 2008, here with a flat prior); a word never met
    scores 0.
    """
    counts: dict[int, Counter] = {0: Counter(), 1: Counter()}
    for text, label in zip(texts, labels, strict=True):
        counts[int(label)].update(map(_plain, spans.words(text)))
    known = set(counts[0]) | set(counts[1])
    total = {label: found.total() + prior * len(known) for label, found in counts.items()}
    score = {}
    for word in known:
        a, b = (counts[label][word] + prior for label in (1, 0))
        odds = np.log(a / (total[1] - a)) - np.log(b / (total[0] - b))
        score[word] = odds / np.sqrt(1 / a + 1 / b)
    return lambda text: np.array([score.get(_plain(w), 0.0) for w in spans.words(text)])


def occlusion(encode: Callable, texts: Sequence[str], labels: Sequence[int], seed: int) -> Scores:
    """Word scores of a logistic regression on sentence vectors, fitted on labelled posts.

    encode: texts -> vectors (n, d).  A word's score is how far the log-odds of hate fall when
    it is left out (Li et al. 2016, occlusion).
    """
    model = LogisticRegression(max_iter=1000, random_state=seed).fit(encode(list(texts)), labels)

    def log_odds(asked: Sequence[str]) -> np.ndarray:
        return model.decision_function(encode(asked))

    return lambda text: without_each(log_odds, [text])[0]


def telling(scores: Scores, text: str, share: float) -> str:
    """The stretch of a text that speaks most for hate: ``share`` of its words, one at least."""
    each = scores(text)
    length = max(1, int(share * len(each)))
    first = int(np.convolve(each, np.ones(length), "valid").argmax())
    start, end = spans.stretch(text, first, first + length)
    return text[start:end]


def _plain(word: str) -> str:
    return word.strip(".,;:!?\"'()[]…“”‘’«»*").casefold()
