"""Lists for who runs the study, which name raters: what each left out, saw, and where they differ.

Nothing of this is published: see ``report.save_lists``.

    seen = lists.exposure(rated, items, key)
"""

import pandas as pd

from hsd_utils import ratings
from hsd_utils.ratings import ANSWERS, QUESTIONS, SCALE, SIDES, agreement, results


def disagreements(rated: pd.DataFrame, key: list[dict]) -> pd.DataFrame:
    """Where raters differ: item, id, side, model, question, and each rater's answer."""
    long = results.by_answer(rated, key)
    long = long[long["check"].isna()]
    wide = long.pivot(
        index=["item", "id", "side", "model", "question"], columns="rater", values="answer"
    )
    differ = wide.apply(lambda row: row[row.isin(SCALE)].nunique() > 1, axis=1)
    return wide[differ].rename_axis(columns=None).reset_index()


def left_out(rated: pd.DataFrame, items: list[dict]) -> pd.DataFrame:
    """What each rater has not answered: rater, item, side, questions.  A skip is an answer."""
    each = sorted(rated["rater"].unique()), [item["item"] for item in items], SIDES
    places = pd.MultiIndex.from_product(each, names=["rater", "item", "side"])
    absent = rated.set_index(places.names)[list(QUESTIONS)].reindex(places).isna()
    named = absent.apply(lambda row: ", ".join(row.index[row]), axis=1)
    return named[named != ""].rename("questions").reset_index()


def exposure(rated: pd.DataFrame, items: list[dict], key: list[dict]) -> pd.DataFrame:
    """How much each rater saw, as far as answers tell, whatever way they rated.

    Columns rater, posts, hate and skipped (of these posts; skipped whole), checks (attention
    checks, which are no posts), sessions (begun), and of the checks' answers (two each) how many
    as expected: passed, of.  Of posts shown and not answered, and of time, only a form's file
    tells.
    """
    check = rated["item"].isin([row["item"] for row in key if row["check"]])
    hateful = rated["item"].isin([item["item"] for item in items if item["gold"]])
    skipped = rated[list(QUESTIONS)].eq(ANSWERS[-1]).all(axis=1)
    known = {"posts": ~check, "hate": hateful & ~check, "skipped": skipped & ~check}
    known |= {"checks": check, "session": rated["item"].map(ratings.sessions(items))}
    seen = rated.assign(**known).groupby(["rater", "item"])
    seen = seen.agg(dict.fromkeys(known, "first") | {"skipped": "all"}).groupby("rater")
    counts = seen[["posts", "hate", "skipped", "checks"]].sum()
    counts["sessions"] = seen["session"].nunique()
    return (
        counts.join(results.attention(results.by_answer(rated, key)))
        .fillna(0)
        .astype(int)
        .reset_index()
    )


def contradictions(rated: pd.DataFrame, items: list[dict]) -> pd.DataFrame:
    """Answers that cannot both be meant: rater, item, side, correct_own, correct_gold.

    Where an answer's label is the reference label the two questions ask the same (rubric.yaml).
    """
    same = {(i["item"], side) for i in items for side in SIDES if i[side]["label"] == i["gold"]}
    asked = rated[[place in same for place in zip(rated["item"], rated["side"], strict=True)]]
    both = asked[asked[["correct_own", "correct_gold"]].isin(SCALE).all(axis=1)]
    differ = both["correct_own"] != both["correct_gold"]
    columns = ["rater", "item", "side", "correct_own", "correct_gold"]
    return both.loc[differ, columns].reset_index(drop=True)


def kappas(rated: pd.DataFrame, key: list[dict]) -> pd.DataFrame:
    """Cohen's kappa of each pair of raters: question, raters, kappa; None where undefined."""
    long = results.by_answer(rated, key)
    posts = long[long["check"].isna()]
    rows = [
        {"question": question, "raters": pair, "kappa": kappa}
        for question in QUESTIONS
        for pair, kappa in agreement.cohen(results.ranks(posts, question)).items()
    ]
    return pd.DataFrame(rows, columns=["question", "raters", "kappa"])
