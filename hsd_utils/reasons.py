"""Does the stated reason matter?  The reason changed in the post, and the label changed in the ask.

Changed in the post, where hate was predicted: each mention of the group that the explanation
names becomes a thing ("umbrellas"), or what its quotes say of the group becomes "live here".  If
the reason is the model's own, P(hate) falls.  But the sentences that result are rough, and any
such change may move it: so as many words elsewhere in the same post are changed likewise, and
what tells is by how much more P(hate) falls without the stated reason than without those.

Changed in the ask: the model explains the other label.  If it does so as readily, with the same
quotes, its explanations follow whatever label they are given and are no evidence for it.

    python -c "from hsd_utils import reasons; print(reasons.UMBRELLAS, reasons.ACT)"
"""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from rapidfuzz import fuzz

from hsd_utils import bootstrap, plausibility, spans
from hsd_utils.explanations import GROUPS, mentions, named, sentence, stance
from hsd_utils.faithfulness import Ask

UMBRELLAS = "umbrellas"
ACT = "live here"
_LETTERS = re.compile(r"\w(?:.*\w)?", re.S)  # a stretch of words without the marks around it
Places = list[tuple[int, int]]  # [start, end) in characters, in order


def stated(text: str, row) -> dict[str, tuple[Places, np.ndarray]]:
    """Where a post has the stated reason, and which words (n_words,) no control may change.

    group: where it has the groups that the explanation names; a control changes words (not
    marks or emoji) that name no group and are not quoted.  act: the quotes; a control changes
    other words.  No places where the explanation has no such reason that stands in the post.
    """
    quoted = spans.marked(text, spans.quoted(row.explanations))
    bare = np.array([not _LETTERS.search(word) for word in spans.words(text)], dtype=bool)
    taken = quoted | bare | spans.marked(text, mentions(text, GROUPS))
    quotes = [spans.stretch(text, first, last) for first, last in spans.runs(quoted)]
    return {
        "group": (mentions(text, named(sentence(row.explanations))), taken),
        "act": (quotes, quoted),
    }


def elsewhere(text: str, places: Places, taken: np.ndarray, generator) -> Places:
    """For each of ``places`` a stretch of as many words outside ``taken``, drawn by chance.

    No two share a word; the longest are drawn first.  [] where they find no room.
    """
    free, found = ~taken, []
    sizes = [int(spans.marked(text, [place]).sum()) for place in places]
    for size in sorted(sizes, reverse=True):
        room = [window for window in spans.windows(len(free), size) if free[window].all()]
        if not room:
            return []
        drawn = room[generator.integers(len(room))]
        free = free & ~drawn
        found.append(spans.stretch(text, *spans.runs(drawn)[0]))
    return sorted(found)


def without_group(text: str, places: Places) -> str:
    """The post with the words at these places turned into things; marks around them stay."""
    for start, end in reversed(places):
        text = text[:start] + _LETTERS.sub(UMBRELLAS, text[start:end], count=1) + text[end:]
    return text


def without_act(text: str, places: Places) -> str:
    """The post with these places replaced by the groups they name and what is no attack."""
    groups, changed = spans.marked(text, mentions(text, GROUPS)), text
    for start, end in reversed(places):
        inside = spans.keep(text, groups & spans.marked(text, [(start, end)]))
        changed = changed[:start] + f"{inside} {ACT}".strip() + changed[end:]
    return changed


def falls(p_hate: Ask, texts: Sequence[str], rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    """How far P(hate) falls: columns post, changed ("group" or "act"), fall, control.

    rows: one a text, with predicted and explanations; only those predicted as hate are asked
    about, and of them those where there is something to change.  control: the fall when as many
    words elsewhere in the post are changed likewise (``elsewhere``); NaN without room for it.
    """
    generator, asked = np.random.default_rng(seed), []
    for post, (text, row) in enumerate(zip(texts, rows.itertuples(), strict=True)):
        for way, (places, taken) in stated(text, row).items():
            if row.predicted != 1 or not places:
                continue
            change = without_group if way == "group" else without_act
            other = elsewhere(text, places, taken, generator)
            both = [change(text, places), change(text, other)]
            asked.append((post, way, bool(other), text, *both))
    columns = ["post", "changed", "room", "whole", "without", "other"]
    made = pd.DataFrame(asked, columns=columns)
    found = p_hate([*made["whole"], *made["without"], *made["other"]])
    whole, without, other = np.split(found, 3)
    made["fall"] = whole - without
    made["control"] = np.where(made["room"].astype(bool), whole - other, np.nan)
    return made[["post", "changed", "fall", "control"]]


def summary(found: pd.DataFrame, least: int, resamples: int, seed: int) -> dict:
    """Of ``falls``, for group and act each: the mean fall, its lead over the control, posts.

    Falls and leads (fall - control, of the posts that have both) are {value, low, high}, null
    with a reason where fewer than ``least`` posts have them.
    """
    made, few = {}, bootstrap.absent(f"fewer than {least} posts to measure")
    for way in ("group", "act"):
        part = found[found["changed"] == way]
        falls = {way: part["fall"], f"{way} lead": part["fall"] - part["control"]}
        for name, values in falls.items():
            posts = int(values.notna().sum())
            made[name] = bootstrap.mean(values, resamples, seed) if posts >= least else few
            made[f"{name} posts"] = posts
    return made


def followed(texts: Sequence[str], own: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Explanations of the predicted label (own) beside those of the other, a row a post.

    given (0/1): the other label was explained at all; follows (0/1): in words that conclude it
    (``explanations.stance``), NaN where they conclude nothing; same_quotes: token-F1 of the two
    choices of words, NaN where both are empty or the own ones were asked for again (``requoted``:
    held to the post's words, as the other's are not); same_words: rapidfuzz ratio of the sentences,
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
            if np.any(masks) and not getattr(a, "requoted", False):
                row["same_quotes"] = plausibility.token_f1(*masks)
        made.append(row)
    return pd.DataFrame(made)
