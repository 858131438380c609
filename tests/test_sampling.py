"""Sampling: cleaning moves offsets, duplicates go, draws are balanced, disjoint, repeatable."""

import hashlib
import itertools
import json
import os
import random
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import real_posts

from hsd_utils import near_duplicates, posts, readers, sampling

WORDS = "river stone apple window garden silver letter market winter summer yellow cotton".split()


def toy(cells, group_size=1, seed=0):
    """Posts of distinct random words; ``cells`` maps (source, label) to how many."""
    rng = random.Random(seed)
    rows = []
    for (source, label), n in cells.items():
        for i in range(n):
            text = " ".join(rng.choice(WORDS) + str(rng.randrange(10**6)) for _ in range(8))
            group = f"{source}{label}g{i // group_size}"
            rows.append({"source": source, "label": label, "text": text, "group": group})
    return posts.make(rows)


def even(n, sources=("a", "b")):
    return {(source, label): n for source in sources for label in (0, 1)}


def files_of(samples):
    text = "".join(sample.to_json(orient="records") for sample in samples.values())
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" a\t\tb\n\u00a0c ", "a b c"),
        ("cafe\u0301 \x00n\u200bo\u202e", "caf\u00e9 no"),
        ("see HTTPS://x.org/a?b and www.y.org, @some_one u/other", "see http and http @user @user"),
        ("mail me@home.org or and/or", "mail me@home.org or and/or"),
        ("👩\u200d👧 \u05e9\u05dc\u05d5\u05dd", "👩\u200d👧 \u05e9\u05dc\u05d5\u05dd"),
        ("\x00 \u200b", ""),
    ],
)
def test_clean_text(text, expected):
    assert sampling.clean_text(text) == expected
    assert sampling.clean_text(expected) == expected


def test_anonymising_is_optional():
    assert sampling.clean_text("@me  http://x.y", anonymise=False) == "@me http://x.y"


def test_clean_moves_rationales_or_drops_them():
    whole, cut = "@someone  says\x00 very   bad things", "x http://bad.org y"
    rows = [
        {"text": whole, "label": 1, "rationale": [[10, 14], [16, 26]]},
        {"text": cut, "label": 1, "rationale": [[9, 12]]},
        {"text": "as it was", "label": 0, "rationale": [[0, 2]]},
        {"text": " \x00", "label": 0},
    ]
    table, counts = sampling.clean(posts.make(pd.DataFrame(rows).assign(source="s")))
    found = [[t[s:e] for s, e in r] for t, r in zip(table.text, table.rationale, strict=True)]
    assert found == [["says", "very bad"], [], ["as"]]
    assert posts.check(table) is table
    assert counts["rationales_dropped"] == 1 and counts["changed"] == 3
    assert counts["dropped"] == {"empty": {"s": {"0": 1, "1": 0}}}
    assert counts["kept"] == {"s": {"0": 1, "1": 2}} and json.dumps(counts)


def test_a_very_long_post_is_kept_and_counted():
    rows = [{"text": "word " * 20_000 + str(i), "label": i % 2} for i in range(12)]
    table, counts = sampling.clean(posts.make(pd.DataFrame(rows).assign(source="s")))
    assert counts["over_long"] == 12 and table["text"].str.len().min() >= 99_999
    assert len(near_duplicates.pairs(table["text"], 0.8)) == 66


def test_duplicates_and_conflicts():
    rows = [("One", 1), ("one", 1), ("two", 0), ("TWO", 1), ("two", 0), ("three", 0)]
    table = posts.make([{"source": "s", "text": t, "label": n} for t, n in rows])
    kept, counts = sampling.deduplicate(table)
    assert sorted(kept["text"].str.lower()) == ["one", "three"]
    assert counts["dropped"] == {
        "conflicting labels": {"s": {"0": 2, "1": 1}},
        "exact duplicate": {"s": {"0": 0, "1": 1}},
    }
    again, _ = sampling.deduplicate(table.sample(frac=1, random_state=3))
    assert set(again["id"]) == set(kept["id"])


def test_quotas_are_exact_balanced_and_fair():
    needed = sampling.quotas({"distil": 100, "dev": 41, "eval": 20}, list("abcdef"))
    assert needed.sum(axis=0).tolist() == [100, 41, 20]
    by_source = needed.reshape(6, 2, 3)
    assert (by_source[:, 0] - by_source[:, 1]).sum(axis=0).tolist() == [0, 1, 0]
    assert np.ptp(by_source.sum(axis=(1, 2))) <= 2
    with pytest.raises(ValueError, match="dev: .* not 1"):
        sampling.quotas({"dev": 1}, ["a"])
    with pytest.raises(ValueError, match=r"only names \['evla'\]; the splits are \['eval'\]"):
        sampling.quotas({"eval": 2}, ["a"], {"evla": ["a"]})


def test_draw_is_balanced_disjoint_and_repeatable():
    table = toy(even(60), group_size=3)
    sizes = {"distil": 60, "dev": 20, "cal": 21, "eval": 40}
    samples, counts = sampling.draw(table, sizes, seed=1)
    assert {split: len(sample) for split, sample in samples.items()} == sizes
    assert counts["drawn"]["distil"] == {"a": {"0": 15, "1": 15}, "b": {"0": 15, "1": 15}}
    assert sampling.overlap(samples) == [] and json.dumps(counts)
    shuffled = table.sample(frac=1, random_state=5).reset_index(drop=True)
    assert files_of(sampling.draw(shuffled, sizes, seed=1)[0]) == files_of(samples)
    assert files_of(sampling.draw(table, sizes, seed=2)[0]) != files_of(samples)


def test_near_duplicates_do_not_cross_splits():
    table = toy(even(40))
    twins = table.assign(
        id="twin-" + table["id"], text=table["text"] + "!", group="t" + table["id"]
    )
    both = pd.concat([table, twins], ignore_index=True)
    samples, counts = sampling.draw(both, {"distil": 100, "eval": 40}, seed=4)
    assert counts["near_duplicate_pairs"] == 160 and counts["largest_cluster"] == 2
    assert sampling.overlap(samples) == []
    apart = {"one": both.iloc[:160], "two": both.iloc[160:]}
    assert sampling.overlap(apart) == ["160 pairs of near duplicates are in two splits"]


def test_a_second_post_of_a_group_is_taken_only_when_every_group_gave_one():
    samples, _ = sampling.draw(toy(even(40), group_size=4), {"distil": 20, "eval": 20}, seed=1)
    assert all(sample["group"].is_unique for sample in samples.values())
    samples, _ = sampling.draw(toy(even(40), group_size=4), {"distil": 40}, seed=1)
    assert set(samples["distil"].groupby("group").size()) <= {1, 2}


def test_posts_evaluated_on_before_serve_the_other_splits():
    table, sizes = toy(even(40), group_size=2), {"distil": 60, "dev": 20, "eval": 40}
    first, _ = sampling.draw(table, sizes, 0)
    known = set(first["eval"]["id"])
    samples, counts = sampling.draw(table, sizes, 1, read_before=known)
    assert {split: len(sample) for split, sample in samples.items()} == sizes
    groups = set(table[table["id"].isin(known)]["group"])
    assert not groups & set(samples["eval"]["group"])
    assert known & set(samples["distil"]["id"])
    assert counts["clusters_read_before"] == len(groups)
    with pytest.raises(ValueError, match=r"posts missing.*'eval'"):
        sampling.draw(table, sizes, 1, read_before=table["id"])


def test_posts_like_those_read_before_stay_out_though_those_are_not_looked_at():
    table, sizes = toy(even(400)), {"distil": 20, "eval": 20}
    first = sampling.draw(table, sizes, 1)[0]["eval"]
    *_, mate, copy = np.argsort(sampling._numbers(f"1 {name}" for name in table["id"]))
    table.loc[mate, "group"] = first.loc[0, "group"]
    table.loc[copy, "text"] = first.loc[1, "text"] + "!"
    assert sampling.draw(table, sizes, 1)[0]["eval"].equals(first)
    known = table.loc[[mate, copy], "id"]
    samples, counts = sampling.draw(table, sizes, 1, read_before=known)
    assert not set(first["id"][:2]) & set(samples["eval"]["id"])
    assert counts["clusters_read_before"] == 2
    within = sampling.draw(table, sizes, 1, read_before=known, anywhere=False)[0]["eval"]
    assert within.equals(first)  # as it was drawn before


def test_overlap_names_shared_ids_and_groups():
    table = toy(even(10), group_size=2)
    problems = sampling.overlap({"one": table.iloc[:11], "two": table.iloc[10:]})
    assert [problem.split(" are")[0] for problem in problems] == [
        "1 values of id",
        "1 values of group",
        "1 pairs of near duplicates",
    ]


@pytest.mark.parametrize("seed", range(5))
def test_quotas_fill_with_little_slack(seed):
    rng = random.Random(seed)
    table = toy(even(100), seed=seed)
    sizes = itertools.cycle([1, 1, 2, 3, 8, 15])
    groups = [f"g{n}" for n in range(90) for _ in range(next(sizes))]
    rng.shuffle(groups)
    table["group"] = groups[: len(table)]
    asked = {"distil": 180, "dev": 60, "cal": 60, "eval": 84}
    samples, _ = sampling.draw(table, asked, seed)
    assert {split: len(sample) for split, sample in samples.items()} == asked
    assert sampling.overlap(samples) == []


def test_refusals_say_what_is_missing():
    with pytest.raises(ValueError, match=r"all 5 posts have label \[1\]"):
        sampling.draw(toy({("a", 1): 5}), {"eval": 2}, seed=1)
    table = toy({("a", 0): 30, ("a", 1): 9})
    with pytest.raises(ValueError, match="a has 9 posts of label 1, 15 asked for.*smaller samples"):
        sampling.draw(table, {"distil": 20, "eval": 10}, seed=1)
    with pytest.raises(ValueError, match="largest cluster has 20 posts"):
        sampling.draw(toy(even(10, ["a"]), group_size=20).assign(group="g"), {"x": 8, "y": 8}, 1)
    with pytest.raises(ValueError, match="above 0 and up to 1, not 1.5"):
        sampling.draw(toy(even(4)), {"x": 4}, seed=1, near_duplicate=1.5)


def test_a_draw_does_not_depend_on_the_process():
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from test_sampling import *\n"
        "print(files_of(sampling.draw(toy(even(30), 2), {'distil': 40, 'eval': 20}, 1)[0]))"
    )
    other = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        cwd=posts.__file__.rsplit("/hsd_utils", 1)[0],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    drawn, _ = sampling.draw(toy(even(30), 2), {"distil": 40, "eval": 20}, 1)
    assert other.strip() == files_of(drawn) and len(files_of(drawn)) == 64


@pytest.mark.parametrize("threshold", [0.3, 0.6, 0.8, 1.0])
def test_near_duplicates_are_exact(threshold):
    rng = random.Random(1)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(2, 9))) for _ in range(150)]
    texts += [text[:-4] for text in texts[:80]] + ["🙂"]
    grams = near_duplicates.CountVectorizer(analyzer="char_wb", ngram_range=(3, 5), binary=True)
    sets = grams.fit_transform(texts).toarray().astype(float)
    cosine = sets @ sets.T / np.sqrt(np.outer(sets.sum(1), sets.sum(1)))
    expected = np.argwhere(np.triu(cosine >= threshold - 1e-9, k=1))
    found = near_duplicates.pairs(texts, threshold)
    assert sorted(map(tuple, found)) == sorted(map(tuple, expected))


@real_posts
def test_a_mixed_sample_of_real_posts():
    table, _ = readers.read(["davidson", "stormfront", "hatexplain", "ethos"])
    cleaned, _ = sampling.clean(table)
    unique, counts = sampling.deduplicate(cleaned)
    assert counts["dropped"]["conflicting labels"]["davidson"]["1"] > 0
    sizes = {"distil": 400, "dev": 100, "cal": 100, "eval": 200}
    samples, counts = sampling.draw(unique, sizes, seed=1)
    assert sampling.overlap(samples) == []
    assert counts["drawn"]["eval"]["ethos"] == {"0": 25, "1": 25}
