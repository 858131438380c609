"""The teacher's rationales: read, compared with gold, resolved and counted.

One row a post: id, gold (0/1), said (0/1 or NA, what the teacher said by itself), label (what its
explanations explain: the same unless it was asked again), p_hate, explanations (with the
offsets of their quotes), reason (what was wrong with what it said by itself; what is whole of an
answer that was cut off is used), repaired (that), rationalised (asked again, it explains the gold
label), tokens and seconds.

    rows = rationales.read(sample, p_hate, answers)
    rationales.write(rationales.resolve(rows, "drop"), run.rationales("distil"))
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hsd_utils import posts, predictions, statistics, verdict
from hsd_utils.engines import Answer

DISAGREEMENT = ("keep", "drop", "rationalise")
PAID = ("prompt_tokens", "answer_tokens", "seconds")
MARKED = "This is what makes the post hateful."  # said of marked words, whoever marked them


def read(sample: pd.DataFrame, p_hate: np.ndarray, answers: Mapping[str, Answer]) -> pd.DataFrame:
    """Rows from the answers about a sample; ``p_hate`` (n,) is in the sample's order."""
    rows = [
        {"p_hate": None if np.isnan(p) else float(p), **_row(post, answers[post.id])}
        for post, p in zip(sample.itertuples(), p_hate, strict=True)
    ]
    return _frame(rows)


def _row(post, answer: Answer) -> dict[str, Any]:
    parsed = verdict.parse(answer.text)
    return {
        "id": post.id,
        "gold": int(post.label),
        "said": parsed.label,
        "label": parsed.label,
        "explanations": verdict.quotes(parsed, post.text),
        "reason": parsed.reason or ("cut off" if answer.finish == "length" else None),
        "repaired": parsed.repaired,
        "rationalised": False,
        "prompt_tokens": answer.prompt_tokens,
        "answer_tokens": answer.answer_tokens,
        "seconds": answer.seconds,
    }


def _frame(rows: list[dict]) -> pd.DataFrame:
    frame = pd.DataFrame(rows)
    return frame.astype({"said": "Int64", "label": "Int64", "p_hate": float, "reason": object})


def surest(rows: pd.DataFrame, share: float) -> pd.DataFrame:
    """The share of rows whose P(hate) is farthest from the median, by rank; 1 keeps all.

    At both ends, so that neither label is lost to a teacher that leans to one.  A row without
    P(hate) is the least sure.  Raises ValueError for a share outside (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"the surest {share} of the posts: a share in (0, 1]")
    rank = rows["p_hate"].rank()
    far = (rank - rank.mean()).abs().fillna(0).sort_values(kind="stable")
    return rows[rows.index.isin(far.index[len(far) - round(share * len(far)) :])]


def shuffled(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Each post with the explanations of another post of its label: form without content.

    Raises ValueError where a label has one post only.
    """
    parts = []
    for _, part in rows.groupby("label"):
        if len(part) < 2:
            raise ValueError("shuffled rationales need at least two posts of each label")
        order = np.random.default_rng(seed).permutation(len(part))
        moved = part["explanations"].iloc[np.roll(order, 1)].tolist()
        parts.append(part.iloc[order].assign(explanations=moved))
    return pd.concat(parts).sort_index()


def flipped(rows: pd.DataFrame, share: float, seed: int) -> pd.DataFrame:
    """The rows with a share of labels, drawn at random, turned over; soft ones too."""
    wrong = np.random.default_rng(seed).permutation(len(rows)) < round(share * len(rows))
    label, p = (rows[name].where(~wrong, 1 - rows[name]) for name in ("label", "p_hate"))
    return rows.assign(label=label, p_hate=p)


def marked(table: pd.DataFrame, words: Sequence[list[str]]) -> pd.DataFrame:
    """Gold labels, and words marked in hateful posts for their explanations, all in one form.

    words: of each post.  Three quotes at most, the same sentence about each; a hateful post without
    any is left out, and as many posts without hate are kept, of the same sources, on which
    nothing is quoted.  Raises ValueError where no hateful post has words.
    """
    rows = table[["id", "text", "label"]].assign(gold=table["label"], p_hate=np.nan)
    rows["explanations"] = [
        [{"input": w, "explanation": MARKED} for w in some[:3] if label]
        for some, label in zip(words, table["label"], strict=True)
    ]
    hateful = rows[rows["explanations"].str.len() > 0]
    if hateful.empty:
        raise ValueError("no hateful post has marked words (01.sources without hatexplain?)")
    sources = table.loc[hateful.index, "source"].unique()
    calm = rows[(rows["label"] == 0) & table["source"].isin(sources)].head(len(hateful))
    return pd.concat([hateful, calm]).sort_index()


def differing(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows whose label is not the gold one, failures among them."""
    return rows[rows["label"].fillna(-1) != rows["gold"]]


def rationalised(
    rows: pd.DataFrame, sample: pd.DataFrame, answers: Mapping[str, Answer]
) -> pd.DataFrame:
    """The rows with those of ``sample`` replaced by answers given the gold label.

    An answer that still insists on another label stays as it was.  What either cost adds up.
    """
    table = rows.set_index("id", drop=False)
    for post in sample.itertuples():
        again = _row(post, answers[post.id])
        new = {name: table.at[post.id, name] + again[name] for name in PAID}
        if again["label"] == post.label:
            new |= {name: again[name] for name in ("label", "explanations")}
            new["rationalised"] = True
        for name, value in new.items():
            table.at[post.id, name] = value
    return table.reset_index(drop=True)


def label_alone(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the gold label, and the teacher's reasons only where it came to it by itself.

    Of the others explanations are None: a reason is not known, which is not to say that there is
    none ([]).  Nobody has to justify a label that they would not have given.
    """
    own = (rows["label"].fillna(-1) == rows["gold"]) & (rows["explanations"].str.len() > 0)
    told = [some if ok else None for some, ok in zip(rows["explanations"], own, strict=True)]
    return rows.assign(label=rows["gold"], explanations=pd.Series(told, rows.index, dtype=object))


def resolve(rows: pd.DataFrame, disagreement: str) -> pd.DataFrame:
    """The rows a student learns from: those with a label and at least one explanation.

    keep: whatever the teacher said; drop and rationalise: only where it is the gold label.
    Raises ValueError for another word, or when no row is left.
    """
    if disagreement not in DISAGREEMENT:
        raise ValueError(f"disagreement {disagreement!r}: one of {', '.join(DISAGREEMENT)}")
    usable = rows["label"].notna() & (rows["explanations"].str.len() > 0)
    if disagreement != "keep":
        usable &= rows["label"].fillna(-1) == rows["gold"]
    if not usable.any():
        raise ValueError("no rationale can be used: look at the answers and their reasons above")
    return rows[usable].reset_index(drop=True)


def ledger(rows: pd.DataFrame, sample: pd.DataFrame) -> dict[str, Any]:
    """What the teacher's answers are worth and what they cost, as plain numbers.

    agreement: rows of source, label, posts and the share of answers with the gold label, with a
    Wilson interval; a failed answer agrees with nothing.  quotes_found: share of quotes that
    stand in their post.  Tokens are means a post and, like the sum of seconds, of all answers it
    wrote; reading P(hate) is not counted.
    """
    by = rows.merge(sample[["id", "source"]], on="id")
    by["agrees"] = by["said"].fillna(-1) == by["gold"]
    quotes = [quote for row in rows["explanations"] for quote in row]
    agreement = [
        {"source": source, "label": int(label), "posts": len(part)}
        | statistics.wilson(int(part["agrees"].sum()), len(part))
        for (source, label), part in by.groupby(["source", "gold"])
    ]
    return {
        "answers": len(rows),
        "parse_rate": float(rows["said"].notna().mean()),
        "repaired": int(rows["repaired"].sum()),
        "failures": rows["reason"].value_counts().to_dict(),
        "agrees_with_gold": float(by["agrees"].mean()),
        "says_hate": float(rows["said"].mean()) if rows["said"].notna().any() else None,
        "quotes": len(quotes),
        "quotes_found": quotes_found(rows),
        "whole_post_quotes": sum(q["whole"] for q in quotes),
        "prompt_tokens": float(rows["prompt_tokens"].mean()),
        "answer_tokens": float(rows["answer_tokens"].mean()),
        "seconds": float(rows["seconds"].sum()),
        "agreement": agreement,
        "lengths": rows["answer_tokens"].tolist(),
    }


def quotes_found(rows: pd.DataFrame) -> float | None:
    """Share of all quotes that stand in their post; None when there is no quote."""
    found = [quote["how"] is not None for row in rows["explanations"] for quote in row]
    return float(np.mean(found)) if found else None


def write(rows: pd.DataFrame, path: Path) -> None:
    """JSON Lines, one rationale a line; missing values are null.

    Raises ValueError when there is none: nothing could be learned from the file.
    """
    if rows.empty:
        raise ValueError(
            f"no rationale for {path.stem}: look at the answers' reasons, take more posts, or "
            "raise max_tokens if answers were cut off"
        )
    predictions.write(rows, path)


def load(path: Path, sample: pd.DataFrame) -> pd.DataFrame:
    """The rows that ``write`` wrote, with text and source joined from the sample by id.

    Raises ValueError when a rationale has no post in the sample.
    """
    rows = _frame(posts.read_rows(path))
    joined = rows.merge(sample[["id", "text", "source"]], on="id", how="left")
    if joined["text"].isna().any():
        raise ValueError(f"{path.name} has rationales without a post: run 01 and 02 again")
    return joined
