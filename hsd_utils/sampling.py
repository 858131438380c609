"""From source posts to samples: clean, drop duplicates, draw balanced and disjoint splits.

Three visible steps, each returning what it kept and plain counts of everything it dropped.  A
sample is half hate and half not within each source.  No group (template, thread, user) and no
near duplicate reaches two splits: posts are linked by both, and a cluster goes to one split,
which takes a second post of it only after one of every other.

    samples, counts = sampling.draw(readers.read("corpus")[0], {"distil": 40, "eval": 20}, seed=1)
"""

import re
import unicodedata
from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
import pandas as pd

from hsd_utils import near_duplicates

OVER_LONG = 10_000  # characters; such posts are kept, but counted
# Control characters that are not white space, and invisible ones that hide or reorder text.
# Joiners and direction marks stay: emoji, Persian and Hebrew need them.
CONTROL = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u200b\u2060\u202a-\u202e\u2066-\u2069\ufeff]"
)
_LINK = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
_USER = re.compile(r"(?<![\w@/.])(?:@\w+|/?u/[\w-]{3,20})")


def clean(table: pd.DataFrame, anonymise: bool = True) -> tuple[pd.DataFrame, dict]:
    """Unicode NFC, no control characters, single spaces; empty posts dropped.

    ``anonymise`` writes @user for user names and http for links.  Rationale offsets move with
    the text; where a span was cut by the cleaning, the post's rationale is dropped and counted.
    """
    before = table["text"].tolist()
    after = [clean_text(text, anonymise) for text in before]
    changed = np.array([a != b for a, b in zip(after, before, strict=True)], dtype=bool)
    rationales, lost = table["rationale"].to_numpy(copy=True), 0
    for row in np.flatnonzero(changed & (table["rationale"].str.len() > 0).to_numpy()):
        moved = _moved(before[row], rationales[row], after[row], anonymise)
        lost += not moved
        rationales[row] = moved
    cleaned = table.assign(text=pd.Series(after, index=table.index, dtype="str"))
    cleaned["rationale"] = pd.Series(rationales, index=table.index, dtype=object)
    lengths = cleaned["text"].str.len()
    kept = cleaned[lengths > 0].reset_index(drop=True)
    return kept, {
        "read": tally(table),
        "changed": int(changed.sum()),
        "over_long": int((lengths > OVER_LONG).sum()),
        "rationales_dropped": lost,
        "dropped": {"empty": tally(cleaned[lengths == 0])},
        "kept": tally(kept),
    }


def clean_text(text: str, anonymise: bool = True) -> str:
    text = unicodedata.normalize("NFC", CONTROL.sub("", text))
    if anonymise:
        text = _USER.sub("@user", _LINK.sub("http", text))
    return " ".join(text.split())


def deduplicate(table: pd.DataFrame) -> tuple[pd.DataFrame, dict]:
    """One post a text (case aside); texts that occur with both labels go altogether.

    Which of several equal posts stays depends on their ids only, not on the order of rows.
    """
    keys = pd.DataFrame({"label": table["label"].to_numpy(), "id": _numbers(table["id"].tolist())})
    keys["text"] = _numbers(text.casefold() for text in table["text"].tolist())
    labels = keys.groupby("text")["label"]
    conflict = (labels.transform("min") != labels.transform("max")).to_numpy()
    again = keys.sort_values(["text", "id"]).duplicated("text").sort_index().to_numpy()
    kept = table[~conflict & ~again].reset_index(drop=True)
    dropped = {
        "conflicting labels": tally(table[conflict]),
        "exact duplicate": tally(table[again & ~conflict]),
    }
    return kept, {"read": tally(table), "dropped": dropped, "kept": tally(kept)}


def draw(
    table: pd.DataFrame,
    sizes: dict[str, int],
    seed: int,
    near_duplicate: float = 0.8,
    only: dict[str, list[str]] | None = None,
    read_before: Iterable[str] = (),
    anywhere: bool = True,
    looked_at: int = 4,
) -> tuple[dict[str, pd.DataFrame], dict]:
    """Samples of the asked sizes, by split, and counts; see ``quotas`` for how sizes are shared.

    The last split takes nothing like ``read_before``, ids that earlier work evaluated on (unless
    ``anywhere``, only those looked at: ``looked_at`` for each one asked for).  The same posts and
    seed give the same samples, whatever the order of rows.  Raises ValueError for too few posts or
    clusters too large to split.
    """
    if table["label"].nunique() < 2:
        raise ValueError(
            f"all {len(table)} posts have label {table['label'].unique().tolist()}: a balanced "
            "sample needs both; check the label column, label_mapping, posts that have either label"
        )
    sources, splits = sorted(table["source"].unique()), list(sizes)
    needed = quotas(sizes, sources, only or {})
    cell = 2 * pd.Categorical(table["source"], sources).codes.astype(int) + table["label"]
    available = np.bincount(cell, minlength=len(needed))
    short = [
        f"{sources[row // 2]} has {available[row]} posts of label {row % 2}, {asked} asked for"
        for row, asked in enumerate(needed.sum(axis=1))
        if available[row] < asked
    ]
    if short:
        more = "Ask for smaller samples, leave the source out, or add sources to share the load"
        raise ValueError(f"too few posts: {'; '.join(short)}. {more}")

    order = np.argsort(_numbers(f"{seed} {name}" for name in table["id"].tolist()), kind="stable")
    ranks = cell.iloc[order].groupby(cell.iloc[order]).cumcount().to_numpy()
    order = order[ranks < looked_at * needed.sum(axis=1)[cell.iloc[order]]]
    pool, cell = table.iloc[order].reset_index(drop=True), cell.iloc[order].to_numpy()
    before = (table if anywhere else pool)[lambda rows: rows["id"].isin(list(read_before))]
    cluster, known, pairs = near_duplicates.clustered(pool, before, near_duplicate)
    sizes_of_clusters = np.bincount(cluster)
    largest = int(sizes_of_clusters.max())
    # One post a cluster before a second; where that leaves a gap, the largest clusters first.
    varied = np.argsort(pd.Series(cluster).groupby(cluster).cumcount(), kind="stable")
    largest_first = np.lexsort((cluster, -sizes_of_clusters[cluster]))
    for packing in (varied, largest_first):
        chosen, missing, passed_over = _pack(packing, cell, cluster, needed, known)
        if not missing.any():
            break
    else:
        short = {s: int(n) for s, n in zip(splits, missing.sum(axis=0), strict=True) if n}
        raise ValueError(
            f"posts missing after the draw: {short}. The largest cluster has {largest} posts: "
            f"ask for smaller samples, add posts, raise near_duplicate ({near_duplicate}) or "
            f"looked_at ({looked_at})"
        )
    rows = dict(zip(splits, map(np.sort, chosen), strict=True))
    samples = {split: pool.iloc[rows[split]].reset_index(drop=True) for split in splits}
    return samples, {
        "available": tally(table),
        "looked_at": tally(pool),
        "near_duplicate_pairs": pairs,
        "largest_cluster": largest,
        "clusters_read_before": len(known),
        "dropped": {"cluster is in another split": passed_over},
        "drawn": {split: tally(sample) for split, sample in samples.items()},
    }


def quotas(
    sizes: dict[str, int], sources: list[str], only: dict[str, list[str]] | None = None
) -> np.ndarray:
    """Posts to draw, shape (2 * sources, splits), rows source by source with label 0 first.

    Each source gives as many of one label as of the other; ``only`` names the sources of a split
    that takes from some of them.  Pairs left over when a size is not a multiple go to the sources
    in turn, the turn running on from split to split; the odd post of an odd size has label 0.
    Raises ValueError for a size below 2 or a split or source in ``only`` that is not there.
    """
    if unknown := sorted(set(only or {}) - set(sizes)):
        raise ValueError(f"only names {unknown}; the splits are {list(sizes)}")
    needed = np.zeros((len(sources), 2, len(sizes)), dtype=int)
    turn = 0
    for column, (split, size) in enumerate(sizes.items()):
        if size < 2:
            raise ValueError(f"{split}: a sample has at least 2 posts, one a label; not {size}")
        named = (only or {}).get(split, sources)
        if not named or set(named) - set(sources):
            raise ValueError(f"{split} is to be drawn from {list(named)}; there are {sources}")
        givers = [row for row, source in enumerate(sources) if source in named]
        each, left = divmod(size // 2, len(givers))
        needed[givers, :, column] = each
        for place in range(left):
            needed[givers[(turn + place) % len(givers)], :, column] += 1
        turn += left
        if size % 2:
            needed[givers[turn % len(givers)], 0, column] += 1
    return needed.reshape(2 * len(sources), len(sizes))


def overlap(samples: dict[str, pd.DataFrame], near_duplicate: float = 0.8) -> list[str]:
    """What several samples share and should not: ids, groups, near duplicates; [] if nothing."""
    posts = pd.concat([sample.assign(split=split) for split, sample in samples.items()])
    problems = []
    for column in ("id", "group"):
        splits = posts.groupby(column)["split"].nunique()
        if shared := list(splits.index[splits > 1]):
            problems.append(f"{len(shared)} values of {column} are in two splits: {shared[:3]}")
    pairs, split = near_duplicates.pairs(posts["text"], near_duplicate), posts["split"].to_numpy()
    if across := int((split[pairs[:, 0]] != split[pairs[:, 1]]).sum()):
        problems.append(f"{across} pairs of near duplicates are in two splits")
    return problems


def tally(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Posts by source and label, as plain numbers."""
    counts = table.groupby(["source", "label"]).size().unstack(fill_value=0)
    return counts.reindex(columns=[0, 1], fill_value=0).rename(columns=str).to_dict("index")


def _numbers(texts: Iterable[str]) -> np.ndarray:
    """64-bit hashes that are the same on every machine and in every process."""
    digests = b"".join(blake2b(text.encode(), digest_size=8).digest() for text in texts)
    return np.frombuffer(digests, dtype="<u8")


def _moved(text: str, spans: list, cleaned: str, anonymise: bool) -> list[list[int]]:
    """The spans in the cleaned text; [] when one of them did not come through whole."""
    moved = []
    for start, end in spans:
        before, piece = (clean_text(part, anonymise) for part in (text[:start], text[start:end]))
        at = len(before) + (bool(before) and cleaned[len(before) : len(before) + 1] == " ")
        if not piece or not cleaned.startswith(before) or not cleaned.startswith(piece, at):
            return []
        moved.append([at, at + len(piece)])
    return moved


def _pack(order: np.ndarray, cell: np.ndarray, cluster: np.ndarray, needed: np.ndarray, known):
    """Give posts to splits in ``order``; a cluster goes where its first post went.

    It goes to the split that can use most of it, and among those to the one with the largest
    part of its quota still open; a ``known`` cluster does not go to the last split.  Returns
    rows by split, what is missing, and posts passed over.
    """
    members = np.zeros((cluster.max() + 1, len(needed)), dtype=int)
    np.add.at(members, (cluster, cell), 1)
    open_, home, passed_over = needed.copy(), {}, 0
    chosen, known = [[] for _ in range(needed.shape[1])], set(known)
    for row in order:
        here = open_[cell[row]]
        if cluster[row] in known:
            here = here[:-1]
        if not here.any():
            continue
        if cluster[row] not in home:
            usable = np.minimum(open_, members[cluster[row]][:, None]).sum(axis=0)[: len(here)]
            part_open = here / np.maximum(needed[cell[row]][: len(here)], 1)
            home[cluster[row]] = np.lexsort((part_open, usable * (here > 0)))[-1]
        split = home[cluster[row]]
        if here[split]:
            here[split] -= 1
            chosen[split].append(row)
        else:
            passed_over += 1
    return chosen, open_, passed_over
