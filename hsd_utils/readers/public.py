"""Public data sets of single research groups: posts with annotators, and test cases.

davidson    Davidson et al. 2017, 24,783 tweets, MIT
stormfront  de Gibert et al. 2018, 10,944 forum sentences, CC-BY-SA-3.0
hatexplain  Mathew et al. 2021, posts with rationales and targets, MIT and CC-BY-4.0
ethos       Mollas et al. 2022, 998 comments, GPL-3.0
hatecheck   Roettger et al. 2021, 3,728 functional test cases, CC-BY-4.0

Each function returns a frame with ``text``, ``class`` (hate, offensive or normal, as the
annotators had it) and what else is known, and counts of what it read and left out.  Texts are
as published: cleaning is a step of its own, in ``sampling``.

    python -c "from hsd_utils.readers import public; print(public.ethos()[1])"
"""

import io
import json
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pandas as pd

from hsd_utils import paths
from hsd_utils.readers import files, tables


def davidson() -> tuple[pd.DataFrame, dict]:
    """Class by majority; agreement = the majority's share of the votes."""
    votes = ["hate_speech", "offensive_language", "neither"]
    frame, counts = tables.load(files.find("davidson"), ["", "class", "tweet", *votes])
    shares = frame[votes].astype(float)
    posts = pd.DataFrame({"id": frame[""], "text": frame["tweet"]})
    posts["class"] = frame["class"].map({"0": "hate", "1": "offensive", "2": "normal"})
    posts["agreement"] = shares.max(axis=1) / shares.sum(axis=1)
    return posts, counts


def stormfront() -> tuple[pd.DataFrame, dict]:
    """Sentences grouped by user; those marked skip or relation (hate only together) left out."""
    top, path = files.stormfront()
    notes = pd.read_csv(io.BytesIO((top / files.ANNOTATIONS).read_bytes()), dtype=str)
    texts, undecodable = [], 0
    for name in notes["file_id"]:
        try:
            raw = (top / "all_files" / f"{name}.txt").read_bytes()
        except FileNotFoundError:
            texts.append(None)
            continue
        texts.append(raw.decode("utf-8", "replace"))
        undecodable += texts[-1].encode() != raw
    notes["text"] = texts
    lost = int(notes["text"].isna().sum())
    notes["class"] = notes["label"].map({"hate": "hate", "noHate": "normal"})
    kept = notes.dropna(subset=["class", "text"])
    others = notes.loc[notes["class"].isna() & notes["text"].notna(), "label"]
    dropped = {f"label {name}": int(n) for name, n in sorted(Counter(others).items())}
    counts = {"read": len(notes), "undecodable": undecodable}
    counts["dropped"] = dropped | ({"text file missing": lost} if lost else {})
    posts = kept.rename(columns={"file_id": "id"})[["id", "text", "class"]]
    posts["group"] = "user-" + kept["user_id"]
    return posts, _with_file(counts, path) if path.is_file() else counts


CLASSES = {"hatespeech": "hate", "offensive": "offensive", "normal": "normal"}


def hatexplain_records(ids: Iterable[str]) -> dict[str, dict]:
    """The published records of those posts of a sample that are called "hatexplain-<key>".

    Raises as ``files.find`` where there are such posts and the data set is not to be had.
    """
    wanted = {i: i.removeprefix("hatexplain-") for i in ids if i.startswith("hatexplain-")}
    records = json.loads(files.find("hatexplain").read_bytes()) if wanted else {}
    return {post: records[key] for post, key in wanted.items() if key in records}


def hatexplain() -> tuple[pd.DataFrame, dict]:
    """Class by majority of the annotators, posts without one left out; tokens joined by spaces.

    Rationale: tokens that at least half of the annotators who marked any agree on, neighbours
    merged into one span.  Target: groups that most annotators name.  The published file has
    20,148 posts; a local one may be a part of it.
    """
    path = files.find("hatexplain")
    try:
        records = json.loads(path.read_bytes())
    except ValueError:
        raise ValueError(f"{path} is not JSON: it was cut off; remove it and run again") from None
    rows, undecided = [], 0
    for key, record in records.items():
        votes = Counter(note["label"] for note in record["annotators"])
        label, most = votes.most_common(1)[0]
        if 2 * most <= votes.total():
            undecided += 1
            continue
        named = Counter(group for note in record["annotators"] for group in set(note["target"]))
        targets = sorted(g for g, n in named.items() if 2 * n > votes.total() and g != "None")
        rows.append(
            {
                "id": key,
                "text": " ".join(record["post_tokens"]),
                "class": CLASSES[label],
                "agreement": most / votes.total(),
                "target": ", ".join(targets) or None,
                "rationale": spans(record["post_tokens"], record["rationales"]),
            }
        )
    counts = {"read": len(records), "dropped": {"no majority": undecided}, "undecodable": 0}
    return pd.DataFrame(rows), _with_file(counts, path)


def spans(tokens: list[str], marks: list[list[int]]) -> list[list[int]]:
    """Character offsets, in the tokens joined by spaces, of what at least half have marked.

    ``marks`` holds one list of 0s and 1s for each annotator who gave a rationale.
    """
    marks = [mark for mark in marks if len(mark) == len(tokens)]
    found, start = [], 0
    for token, *votes in zip(tokens, *marks, strict=True):
        end = start + len(token)
        if token and any(votes) and 2 * sum(votes) >= len(votes):
            if found and found[-1][1] == start - 1:
                found[-1][1] = end
            else:
                found.append([start, end])
        start = end + 1
    return found


def ethos() -> tuple[pd.DataFrame, dict]:
    """Hate from a share of 0.5 up; agreement = the share of the larger side."""
    frame, counts = tables.load(files.find("ethos"), ["comment", "isHate"])
    share = frame["isHate"].astype(float)
    posts = pd.DataFrame({"text": frame["comment"]})
    posts["class"] = np.where(share >= 0.5, "hate", "normal")
    posts["agreement"] = np.maximum(share, 1 - share)
    return posts, counts


def hatecheck() -> tuple[pd.DataFrame, dict]:
    """Functional test cases; those made from one template stay together."""
    columns = ["case_id", "test_case", "label_gold", "templ_id", "functionality", "target_ident"]
    frame, counts = tables.load(files.find("hatecheck"), columns)
    posts = frame[["functionality"]].assign(id=frame["case_id"], text=frame["test_case"])
    posts["class"] = frame["label_gold"].map({"hateful": "hate", "non-hateful": "normal"})
    posts["group"] = "template-" + frame["templ_id"]
    posts["target"] = frame["target_ident"].replace("", np.nan)
    return posts, counts


def _with_file(counts: dict, path) -> dict:
    return {**counts, "file": path.name, "sha256": paths.sha256(path)}
