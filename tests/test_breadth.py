"""One source left out, one against many: equal sizes, no source in its own teaching."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from hsd_utils import baselines, breadth, predictions
from hsd_utils.paths import Run


def posts(source, n, words, seed):
    """Hateful posts have the first word, the others the second, and both have fillers."""
    draw = np.random.default_rng(seed)
    labels = [row % 2 for row in range(n)]
    fillers = [" ".join(draw.choice(list("abcdefgh"), 4)) for _ in labels]
    texts = [f"{words[1 - y]} {filler}" for y, filler in zip(labels, fillers, strict=True)]
    return pd.DataFrame({"source": source, "label": labels, "text": texts})


WORDS = {"x": ("awful", "lovely"), "y": ("nasty", "pretty"), "z": ("awful", "pretty")}


def tables(n):
    parts = [posts(source, n, words, place) for place, (source, words) in enumerate(WORDS.items())]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def fitted(monkeypatch):
    """What each baseline learned from, beside what it does."""
    seen, fit = [], baselines.fit

    def watched(name, train, seed):
        seen.append(train)
        return fit(name, train, seed)

    monkeypatch.setattr(baselines, "fit", watched)
    return seen


def test_sizes_are_equal_and_the_source_itself_is_never_learned(fitted):
    rows, overall = breadth.compare(tables(24), tables(40), "tfidf_lr", resamples=50, seed=0)
    assert rows["source"].tolist() == ["x", "y", "z"] and list(rows) == breadth.COLUMNS
    assert set(rows["learned_from"]) == {48} and set(rows["equal_size"]) == {24}
    for place, row in enumerate(rows.itertuples()):
        *single, with_it, without, many = fitted[5 * place : 5 * place + 5]
        assert len(with_it) == len(without) == 48 and row.source in set(with_it["source"])
        for train in (without, many, *single):
            assert row.source not in set(train["source"])
        assert [len(train) for train in (many, *single)] == [24] * 3
        assert many["source"].nunique() == 2 and [t["source"].nunique() for t in single] == [1, 1]
        assert all(train["label"].mean() == 0.5 for train in (with_it, many, *single))
        assert row.source not in row.alone and len(row.alone) == 2
        assert row.one["value"] == pytest.approx(np.mean(list(row.alone.values())))
    differences = [m["value"] for m in rows["many - one"]]
    assert overall["value"] == pytest.approx(np.mean(differences))
    assert overall["low"] <= overall["value"] <= overall["high"]


def test_the_numbers_are_scikit_learns():
    taught, tested = tables(24), tables(40)
    rows, _ = breadth.compare(taught, tested, "tfidf_lr", resamples=50, seed=0)
    row, target = rows.iloc[0], tested[tested["source"] == "x"]
    p = baselines.fit("tfidf_lr", taught[taught["source"] != "x"], 0)(target["text"])
    assert row["without it"]["value"] == pytest.approx(roc_auc_score(target["label"], p))
    gap = row["many"]["value"] - row["one"]["value"]
    assert row["many - one"]["value"] == pytest.approx(gap)


def test_two_sources_are_too_few_and_one_label_is_left_out():
    two = tables(24)[lambda t: t["source"] != "z"]
    rows, overall = breadth.compare(two, tables(40), "tfidf_lr", resamples=50, seed=0)
    assert rows.empty and overall["value"] is None and "three sources" in overall["reason"]
    tested = tables(40)[lambda t: (t["source"] != "x") | (t["label"] == 1)]
    rows, _ = breadth.compare(tables(24), tested, "tfidf_lr", resamples=50, seed=0)
    assert rows["source"].tolist() == ["y", "z"]


def test_a_source_of_one_label_teaches_nobody_and_stands_in_nobody_s_way():
    more = posts("w", 24, WORDS["x"], 9).assign(label=1)
    taught = pd.concat([tables(24), more], ignore_index=True)
    rows, _ = breadth.compare(taught, tables(40), "tfidf_lr", resamples=50, seed=0)
    assert rows["source"].tolist() == ["x", "y", "z"] and set(rows["learned_from"]) == {48}
    assert all("w" not in alone for alone in rows["alone"])


def test_a_source_with_hardly_a_post_of_a_label_is_not_tested():
    tested = tables(40)
    few = tested[(tested["source"] == "y") & (tested["label"] == 1)].index[breadth.FEWEST - 1 :]
    rows, _ = breadth.compare(tables(24), tested.drop(few), "tfidf_lr", resamples=20, seed=0)
    assert rows["source"].tolist() == ["x", "z"]


def test_sources_too_small_to_teach_leave_no_row():
    rows, overall = breadth.compare(tables(4), tables(40), "tfidf_lr", resamples=20, seed=0)
    assert rows.empty and overall["value"] is None and overall["reason"]


@pytest.fixture
def studied(monkeypatch, tmp_path):
    """Cells of three sources, P(hate) of each at random, and what they were asked about."""
    monkeypatch.setenv("HSD_OUTPUTS", str(tmp_path))
    run, draw = Run("studied"), np.random.default_rng(0)
    judged = {
        s: tables(n).assign(id=lambda t, s=s: f"{s}-" + t.index.astype(str))
        for s, n in {"dev": 12, "cal": 16}.items()
    }
    pairs = [["x", "y"], ["x", "z"], ["y", "z"]]
    named = {"gold": None, "gold again": None} | {"".join(s): s for s in [*"xyz", *pairs]}
    done = []
    for key, sources in named.items():
        changes = {"label_source": "gold"} | ({"sources": list(sources)} if sources else {})
        done.append({"key": key, "name": key.split()[0], "n": 16, "changes": changes})
        rows = pd.concat([t[["id"]].assign(split=split) for split, t in judged.items()])
        said = {"p_hate": draw.random(len(rows)), "predicted": 1, "unread": False}
        predictions.write(rows.assign(**said), run.study(f"{key}.jsonl"))
    done.append({"key": "gold", "name": "soft", "n": 16, "changes": {"label_source": "soft"}})
    return run, done, judged


def test_students_are_cells_of_the_study_judged_on_the_source_left_out(studied):
    run, done, judged = studied
    rows, overall = breadth.of_students(run, done, judged, 50, 0)
    assert list(rows) == breadth.COLUMNS and rows["source"].tolist() == ["x", "y", "z"]
    assert set(rows["model"]) == {"student"} and set(rows["posts"]) == {28}
    target = pd.concat(judged.values()).query("source == 'x'")

    def auc(key):
        p = predictions.load(run.study(f"{key}.jsonl")).set_index("id")["p_hate"]
        return roc_auc_score(target["label"], p[target["id"]])

    row = rows.iloc[0]
    assert row["many"] == row["without it"] and row["many"]["value"] == pytest.approx(auc("yz"))
    assert row["alone"] == pytest.approx({"y": auc("y"), "z": auc("z")})
    assert row["one"]["value"] == pytest.approx((auc("y") + auc("z")) / 2)
    both = (auc("gold") + auc("gold again")) / 2
    assert row["with it"]["value"] == pytest.approx(both)
    assert overall["value"] == pytest.approx(np.mean([m["value"] for m in rows["many - one"]]))

    assert overall["trainings"] == 1


@pytest.mark.parametrize("missing, left", [("gold", []), ("x", ["x"]), ("yz", ["y", "z"])])
def test_a_source_waits_for_all_its_cells_and_the_mean_for_all_sources(studied, missing, left):
    run, done, judged = studied
    some = [row for row in done if row["name"] != missing]
    rows, overall = breadth.of_students(run, some, judged, 20, 0)
    assert rows["source"].tolist() == left and overall["value"] is None


def test_a_source_with_too_few_posts_of_a_label_is_not_waited_for(studied):
    run, done, judged = studied
    few = {s: t[(t["source"] != "x") | (t["label"] == 1)] for s, t in judged.items()}
    rows, overall = breadth.of_students(run, done, few, 20, 0)
    assert rows["source"].tolist() == ["y", "z"] and overall["value"] is not None


def test_cells_that_differ_in_more_than_their_sources_are_not_mixed(studied):
    run, done, judged = studied
    other = done[2] | {"changes": done[2]["changes"] | {"label_source": "teacher"}}
    with pytest.raises(ValueError, match="differ in more"):
        breadth.of_students(run, [*done, other], judged, 20, 0)


def test_without_such_cells_there_is_no_row(studied):
    run, done, judged = studied
    rows, overall = breadth.of_students(run, done[:2], judged, 20, 0)
    assert rows.empty and overall["value"] is None
