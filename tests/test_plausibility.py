"""Plausibility against cases worked by hand, ERASER's own rules and the annotators' ceiling."""

import json
import math

import numpy as np
import pytest

from hsd_utils import bootstrap, plausibility, spans

TEXT = "they are all rotten people I say"  # seven words


def mask(*places, size=7):
    made = np.zeros(size, dtype=bool)
    made[list(places)] = True
    return made


def test_words_that_a_span_touches_are_marked():
    assert list(spans.marked(TEXT, [[0, 4], [13, 15]])) == [1, 0, 0, 1, 0, 0, 0]
    assert not spans.marked(TEXT, []).any() and not spans.marked(TEXT, [[4, 5]]).any()
    assert spans.words("a  b\n") == ["a", "b"]


def test_a_post_without_the_words_and_with_only_them():
    chosen = spans.marked(TEXT, [[9, 19]])
    assert spans.without(TEXT, chosen) == "they are people I say"
    assert spans.keep(TEXT, chosen) == "all rotten"
    assert spans.without("two  spaces", mask(size=2)) == "two  spaces"  # nothing: the post itself
    assert spans.without("two words", mask(0, 1, size=2)) == ""


def test_runs_windows_and_the_most_telling_words():
    assert spans.runs(mask(0, 1, 4, 6)) == [(0, 2), (4, 5), (6, 7)] and spans.runs(mask()) == []
    assert [w.tolist() for w in spans.windows(3, 2)] == [[1, 1, 0], [0, 1, 1]]
    assert [w.any() for w in spans.windows(3, 0)] == [False] and len(spans.windows(3, 3)) == 1
    assert spans.top(np.array([0.1, 0.9, 0.9, 0.2]), 2).tolist() == [False, True, True, False]


def test_quotes_that_are_not_in_the_post_mark_nothing():
    given = [{"start": None, "end": None, "how": None}, {"start": 0, "end": 4, "how": "fuzzy"}]
    assert spans.quoted(given) == [[0, 4]]


@pytest.mark.parametrize(
    "human, said, expected",
    [
        (mask(1, 2, 3), mask(2, 3, 4, 5), 4 / 7),  # two shared: P 2/4, R 2/3
        (mask(1, 2), mask(1, 2), 1.0),
        (mask(1, 2), mask(3), 0.0),
        (mask(1, 2), mask(), 0.0),
        (mask(1), mask(*range(7)), 0.25),  # the whole post: P 1/7, R 1
    ],
)
def test_token_f1_by_hand(human, said, expected):
    assert plausibility.token_f1(human, said) == pytest.approx(expected)


@pytest.mark.parametrize(
    "human, said, expected",
    [
        (mask(1, 2), mask(1, 2, 3), (1.0, 1.0)),  # 2 of 3 words: IoU 0.67
        (mask(1, 2), mask(2, 3), (0.0, 0.0)),  # 1 of 3
        (mask(1, 2), mask(1), (1.0, 1.0)),  # exactly a half counts
        (mask(0, 1, 4, 5), mask(0, 1), (1.0, 0.5)),
        (mask(0, 1), mask(0, 1, 3, 5), (1 / 3, 1.0)),
        (mask(0, 1), mask(), (0.0, 0.0)),
    ],
)
def test_iou_by_hand(human, said, expected):
    assert plausibility.iou(human, said) == pytest.approx(expected)


def test_iou_f1_is_of_the_mean_precision_and_recall():
    human, said = [mask(0, 1, 4, 5), mask(0, 1)], [mask(0, 1), mask(0, 1, 3, 5)]
    found = plausibility.measures(human, said, resamples=200, seed=0)
    p, r = (1 + 1 / 3) / 2, (0.5 + 1) / 2
    assert found["iou_f1"]["value"] == pytest.approx(2 * p * r / (p + r))
    token = (2 * 1 * 0.5 / 1.5 + 2 * 0.5 * 1 / 1.5) / 2
    assert found["token_f1"]["value"] == pytest.approx(token)
    for measure in found.values():
        assert measure["low"] <= measure["value"] <= measure["high"]


def test_the_difference_of_two_models_is_paired_by_post():
    human = [mask(0, 1), mask(0, 1), mask()]
    one, other = (plausibility.by_post(human, said) for said in ([mask(0, 1)] * 3, [mask(4)] * 3))
    found = plausibility.paired(one.join(other.add_suffix(" teacher")), resamples=50, seed=0)
    assert found["posts"] == 2 and found["token_f1"]["value"] == found["iou_f1"]["value"] == 1
    same = plausibility.paired(one.join(one.add_suffix(" teacher")), resamples=50, seed=0)
    assert same["token_f1"] == same["iou_f1"] == {"value": 0, "low": 0, "high": 0}


def test_posts_nobody_marked_are_left_out():
    human, said = [mask(1), mask(), mask(2)], [mask(1), mask(3), mask(2)]
    found = plausibility.measures(human, said, resamples=50, seed=0)
    assert found["token_f1"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    none = plausibility.measures([mask()], [mask(1)], resamples=50, seed=0)
    assert none["iou_f1"]["value"] is None and "human spans" in none["iou_f1"]["reason"]


def test_auprc_by_hand():
    # ranked 1, 0, 1: precision 1 at recall 0.5, 2/3 at 1; trapezoids 0.5*1 + 0.5*(1/2+2/3)/2
    assert plausibility.auprc([1, 0, 1], [0.9, 0.5, 0.1]) == pytest.approx(0.5 + 0.5 * 7 / 12)
    assert plausibility.auprc([1, 1, 0], [0.9, 0.5, 0.1]) == pytest.approx(1.0)
    assert math.isnan(plausibility.auprc([1, 1], [0.1, 0.2]))
    assert math.isnan(plausibility.auprc([0, 0], [0.1, 0.2]))
    found = plausibility.ranking([[1, 1, 0], [0, 0, 0], [1, 0, 0]], [[3, 2, 1]] * 3, 50, 0)
    assert found["value"] == pytest.approx(1.0)


def test_the_ceiling_is_each_annotator_against_the_others():
    # Three annotators; the others' half: [1,1,0] for the first (each marked by one of two).
    marks = [[[1, 0, 0], [1, 0, 0], [0, 1, 0]]]
    first = plausibility.token_f1([1, 1, 0], [1, 0, 0])
    third = plausibility.token_f1([1, 0, 0], [0, 1, 0])
    found = plausibility.ceiling(marks * 2, resamples=50, seed=0)
    assert found["token_f1"]["value"] == pytest.approx((2 * first + third) / 3)
    alone = plausibility.ceiling([[[1, 0]], []], resamples=50, seed=0)
    assert alone["token_f1"]["value"] is None and alone["iou_f1"]["value"] is None
    same = plausibility.ceiling([[[1, 1, 0]] * 3] * 3, resamples=50, seed=0)
    assert same["iou_f1"]["value"] == 1.0


def test_a_model_beside_the_ceiling_is_judged_by_the_same_marks():
    marks = [[[1, 0, 0], [1, 0, 0], [0, 1, 0]], [[1, 1]]]  # the second has one annotator
    said = [np.array([1, 1, 0]), np.array([0, 1])]
    found = plausibility.ceiling(marks * 2, 50, 0, said * 2)
    # By two annotators' others it is right in full, by the third's it marks a word too many.
    assert found["token_f1"]["value"] == pytest.approx((1 + 1 + 2 / 3) / 3)
    with pytest.raises(ValueError, match="argument"):
        plausibility.ceiling(marks, 50, 0, said[:1])


def test_annotators_of_hatexplain_are_read_by_id(tmp_path, monkeypatch):
    record = {"post_tokens": ["a", "b"], "rationales": [[1, 0], [0, 0], [1, 0, 0], [1, 1]]}
    (tmp_path / "file.json").write_text(json.dumps({"7": record, "8": record}))
    monkeypatch.setattr(plausibility.public.files, "find", lambda name: tmp_path / "file.json")
    texts = {"hatexplain-7": "a b", "hatexplain-8": "ab", "ethos-7": "a b", "hatexplain-no": "a b"}
    found = plausibility.hatexplain_marks(texts)
    # An empty mark and those of another length than the post has words are none.
    assert found == {"hatexplain-7": [[1, 0], [1, 1]], "hatexplain-8": []}
    monkeypatch.setattr(plausibility.public.files, "find", None)
    assert plausibility.hatexplain_marks({"ethos-7": "a b"}) == {}  # and nothing is read


class Shapes:
    """In place of an encoder: a word's vector is its length and whether it is in capitals."""

    def words(self, texts):
        return [np.array([[len(w), w.isupper()] for w in t.split()], float) for t in texts]


def test_a_tagger_learns_which_words_are_marked():
    texts = ["all ROTTEN people", "so BAD", "they say it"]
    marks = [mask(1, size=3), mask(1, size=2), mask(size=3)]
    found = plausibility.tagger(Shapes(), texts, marks, seed=0)("the WORST of them")
    assert (found > 0).tolist() == [False, True, False, False]


def test_means_have_intervals_and_say_when_they_cannot_be():
    found = bootstrap.mean([0.0, 1.0] * 50, resamples=500, seed=0)
    assert found["value"] == 0.5 and 0.38 < found["low"] < 0.45 < 0.55 < found["high"] < 0.62
    assert bootstrap.mean([0.2, None, float("nan"), 0.4], 50, 0)["value"] == pytest.approx(0.3)
    for few in ([], [0.3], [None, None, 0.3]):
        assert bootstrap.mean(few, 50, 0) == bootstrap.absent(bootstrap.FEW)
    assert bootstrap.mean([0.1, 0.5, 0.3], 99, 3) == bootstrap.mean([0.1, 0.5, 0.3], 99, 3)
