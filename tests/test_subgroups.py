"""Cases and groups: by hand, and against scikit-learn and statsmodels."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from hsd_utils import bootstrap, readers, subgroups

POSTS = pd.DataFrame(
    {
        "label": [1, 1, 0, 0, 1, 0, 1, 0],
        "functionality": ["slur", "slur", "quote", "quote", "threat", "quote", "slur", None],
        "target": ["women", "women, migrants", "women", None, "migrants", "migrants", None, None],
        "group": list("abcdefgh"),
    }
)


def test_cases_come_weakest_first_with_wilson_intervals_beside_always_hateful():
    said = [1, 0, 1, 0, 1, 0, None, 1]
    table = subgroups.cases(POSTS, {"m": said, "always": [1] * 8}, "functionality")
    assert table["functionality"].tolist() == ["slur", "quote", "threat"]
    assert table["posts"].tolist() == [3, 3, 1]
    assert table["always_hateful"].tolist() == [r["value"] for r in table["always"]] == [1, 0, 1]
    assert [row["value"] for row in table["m"]] == pytest.approx([1 / 3, 2 / 3, 1])
    low, high = proportion_confint(1, 3, method="wilson")
    assert (table["m"][0]["low"], table["m"][0]["high"]) == pytest.approx((low, high))


def test_a_post_of_two_groups_counts_in_both():
    table = subgroups.cases(POSTS, {"m": POSTS["label"]}, "target").set_index("target")
    assert dict(table["posts"]) == {"migrants": 3, "women": 3}
    assert table.loc["women", "always_hateful"] == pytest.approx(2 / 3)


def test_no_value_at_all_gives_an_empty_table_with_its_columns():
    none = POSTS.assign(target=pd.Series([None] * 8, dtype="str"))
    assert subgroups.cases(none, {"m": none["label"]}, "target").empty
    assert "posts" in subgroups.cases(none, {"m": none["label"]}, "target")
    assert subgroups.groups(none, [0.5] * 8, none["label"], 50, 0).empty


def test_the_aucs_are_those_of_borkan():
    generator = np.random.default_rng(0)
    n = 400
    label, inside = generator.integers(0, 2, n), generator.integers(0, 2, n).astype(bool)
    posts = pd.DataFrame({"label": label, "target": np.where(inside, "g", "other")})
    posts["group"] = range(n)
    p_hate = np.clip(0.3 * label + 0.2 * inside + generator.random(n) / 2, 0, 1)
    found = subgroups.groups(posts, p_hate, p_hate >= 0.5, 500, 0).set_index("target").loc["g"]
    intervals = {name: found[name] for name in ("subgroup_auc", "bpsn_auc", "bnsp_auc")}
    found = dict(found) | {name: measure["value"] for name, measure in intervals.items()}
    assert found["subgroup_auc"] == pytest.approx(roc_auc_score(label[inside], p_hate[inside]))
    hate, other = p_hate[(label == 1) & ~inside], p_hate[(label == 0) & inside]
    assert found["bpsn_auc"] == pytest.approx((hate[:, None] > other).mean())
    hate, other = p_hate[(label == 1) & inside], p_hate[(label == 0) & ~inside]
    assert found["bnsp_auc"] == pytest.approx((hate[:, None] > other).mean())
    # naming the group raises the score: its harmless posts suffer, its hateful ones are found
    assert found["bpsn_auc"] < found["subgroup_auc"] < found["bnsp_auc"]
    assert found["fpr_gap"]["low"] > 0
    # 95% of a bootstrap over some 200 posts: about as wide as Hanley and McNeil's error says
    own = (label == 1) & inside, (label == 0) & inside
    error = hanley_mcneil(found["subgroup_auc"], *(int(part.sum()) for part in own))
    width = intervals["subgroup_auc"]["high"] - intervals["subgroup_auc"]["low"]
    assert width == pytest.approx(2 * 1.96 * error, rel=0.25)
    for name in ("subgroup_auc", "bpsn_auc"):
        assert intervals[name]["low"] < intervals[name]["value"] < intervals[name]["high"]
    again = subgroups.groups(posts, p_hate, p_hate >= 0.5, 500, 1).set_index("target").loc["g"]
    assert again["bpsn_auc"]["value"] == found["bpsn_auc"]
    assert again["bpsn_auc"]["low"] != intervals["bpsn_auc"]["low"]


def hanley_mcneil(auc, hateful, harmless):
    """Standard error of an AUC (Hanley and McNeil 1982)."""
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    pairs = (hateful - 1) * (q1 - auc**2) + (harmless - 1) * (q2 - auc**2)
    return ((auc * (1 - auc) + pairs) / (hateful * harmless)) ** 0.5


def test_the_gap_by_hand_and_nulls_where_nothing_can_be_compared():
    posts = pd.DataFrame({"label": [0, 0, 0, 0, 1], "target": list("aabbc"), "group": range(5)})
    found = subgroups.groups(posts, None, [1, 0, 0, 0, 1], 50, 0).set_index("target")
    assert found.loc["a", "fpr"]["value"] == 0.5
    gap = found.loc["a", "fpr_gap"]
    assert gap["value"] == 0.5 and gap["low"] < 0 < gap["high"] <= 1
    assert (
        found.loc["c", "fpr"]["value"] is None
        and "no harmless" in found.loc["c", "fpr_gap"]["reason"]
    )
    for measure in found["subgroup_auc"]:
        assert measure["value"] is None and "no scores" in measure["reason"]
    found = subgroups.groups(posts, None, [1, 1, 1, 0, 1], 50, 0).set_index("target")
    assert [found.loc[g, "fpr_gap"]["value"] for g in "ab"] == [0.5, -0.5]


def test_a_template_counts_once_however_many_cases_it_has():
    generator = np.random.default_rng(0)
    label = np.r_[np.ones(20, int), np.zeros(20, int)]
    posts = pd.DataFrame({"label": label, "target": ["a", "b"] * 20, "group": range(40)})
    posts["functionality"] = "f"
    p_hate = np.clip(0.2 * label + generator.random(40) * 0.8, 0, 1)
    often = posts.loc[np.repeat(posts.index, 7)]  # the same cases, seven times each
    found = [
        (
            subgroups.cases(table, {"m": p >= 0.5}, "functionality")["m"][0],
            *subgroups.groups(table, p, p >= 0.5, 4000, 0).iloc[0][["bpsn_auc", "fpr", "fpr_gap"]],
        )
        for table, p in ((posts, p_hate), (often, np.repeat(p_hate, 7)))
    ]
    for once, seven in zip(*found, strict=True):
        assert seven["value"] == pytest.approx(once["value"])
        assert seven["high"] - seven["low"] == pytest.approx(once["high"] - once["low"], rel=0.1)


def test_few_posts_of_a_label_have_no_auc():
    label = [1] * 10 + [0] * 10 + [1] * 9 + [0] * 30
    posts = pd.DataFrame({"label": label, "target": ["many"] * 20 + ["few"] * 39})
    posts["group"] = range(59)
    found = subgroups.groups(posts, np.linspace(1, 0, 59), label, 50, 0).set_index("target")
    assert found["hateful"].to_dict() == {"many": 10, "few": 9}
    assert found["subgroup_auc"]["many"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert found["subgroup_auc"]["few"] == bootstrap.absent("fewer than 10 posts of a label")


def test_the_embedded_corpus_has_cases_and_groups():
    table = readers.read("corpus")[0]
    always = subgroups.cases(table, {"m": [1] * len(table)}, "functionality")
    assert set(always["always_hateful"]) == {0.0, 1.0}
    assert [r["value"] for r in always["m"]] == always["always_hateful"].tolist()
    assert len(subgroups.groups(table, table["label"].astype(float), table["label"], 5, 0)) > 5
