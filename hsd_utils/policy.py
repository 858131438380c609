"""Does a model follow the policy in its prompt, or only remember what it was taught?

Two swaps: another definition of hate speech, and a group that the policy leaves out.  A model
that follows the second lowers P(hate) of posts about that group and of no others.

    group, posts = policy.chosen(checks, 24)
    asked = policy.p_hate(classifier, policy.swaps("un", group), posts)
    rows = policy.moves(posts, asked, threshold, resamples=1000, seed=0)
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from hsd_utils import bootstrap, contamination, predictions, prompts, statistics
from hsd_utils.scoring import Classifier, Converse

AS_TAUGHT = "as taught"


def chosen(posts: pd.DataFrame, size: int) -> tuple[str | None, pd.DataFrame]:
    """The group most hateful posts are about, and at most ``size`` such posts, half about it.

    Without hateful posts of a known target, or at size 0: None and no posts.
    """
    hateful = posts[(posts["label"] == 1) & posts["target"].notna()]
    if hateful.empty or not size:
        return None, hateful.head(0)
    group = hateful["target"].mode().iloc[0]
    about = (hateful["target"] == group).rename("about")
    return group, contamination.spread(hateful.assign(about=about), "about", size)


def swaps(taught: str, group: str | None) -> dict[str, Callable[[str], str]]:
    """What each policy makes of the first message of a prompt.

    ``taught``: name of the definition in use.  The other one stands in its place, or before a
    prompt that has none.
    """
    known = prompts.definitions()
    other = next(name for name in known if name != taught)
    old, new = known[taught].text, known[other].text
    policy = f"Policy: attacks on {group} are not hate speech here; attacks on others are."
    return {
        AS_TAUGHT: lambda told: told,
        f"definition {other}": lambda told: (
            told.replace(old, new) if old in told else f"Hate speech is {new}\n{told}"
        ),
        "group left out": lambda told: f"{policy}\n{told}",
    }


def asking(converse: Converse, change: Callable[[str], str]) -> Converse:
    """``converse`` with its first message changed."""

    def asked(text: str) -> list[dict[str, str]]:
        first, *rest = converse(text)
        return [first | {"content": change(first["content"])}, *rest]

    return asked


def p_hate(
    classifier: Classifier, changes: Mapping[str, Callable], posts: pd.DataFrame
) -> dict[str, np.ndarray]:
    """P(hate) (n,) of the posts under each of ``swaps``, 0.5 where none could be read."""
    found = {}
    for name, change in changes.items():
        asked = replace(classifier, converse=asking(classifier.converse, change))
        found[name] = predictions.ranked(asked.p_hate(posts))
    return found


def moves(
    posts: pd.DataFrame, asked: Mapping[str, np.ndarray], threshold: float, **drawn
) -> list[dict]:
    """Rows of policy, posts_about, posts, fall (mean of P(hate)) and flipped (share of verdicts).

    posts: of ``chosen``; asked: of ``p_hate``; drawn: resamples and seed.
    """
    before, rows = asked[AS_TAUGHT], []
    for name, after in asked.items():
        if name == AS_TAUGHT:
            continue
        for about, there in (("the group", posts["about"]), ("others", ~posts["about"])):
            there = there.to_numpy(bool)
            flipped = ((before >= threshold) != (after >= threshold))[there]
            row = {"policy": name, "posts_about": about, "posts": int(there.sum())}
            row["fall"] = bootstrap.mean((before - after)[there], **drawn)
            row["flipped"] = statistics.wilson(int(flipped.sum()), len(flipped))
            rows.append(row)
    return rows
