"""Notebook 06 from end to end with an engine by rule: what it writes, and what it never shows."""

import json
import zlib
from contextlib import contextmanager
from functools import partial

import pandas as pd
import pytest
from cells import execute
from fakes import DONE, FakeEngine, Letters, Lost
from test_judge import Judge

from hsd_utils import (
    analysis_plan,
    corpus,
    encoder,
    engines,
    faithfulness,
    ledger,
    posts,
    predictions,
    prompts,
    provenance,
    ratings,
    rationales,
    scoring,
)
from hsd_utils.paths import Run
from hsd_utils.ratings import report, spreadsheet
from hsd_utils.scoring import Classifier
from hsd_utils.store import Store

NAME = "06_explanations"
FAITHFUL = {"comprehensiveness", "sufficiency", "hatexscore_adapted", "hatexscore_corrected"}
BESIDE = {"random_comprehensiveness", "lexicon_comprehensiveness"}
MEASURES = {"quotes_found", "token_f1", "iou_f1"} | FAITHFUL | BESIDE
MODELS = ("teacher", "base", "student")
LOST = {}  # the texts that a model gives no answer to


class Rule(dict):
    """P(hate) of any text: the mean of numbers that its words stand for."""

    def get(self, text, default=None):
        words = text.lower().split() or ["nothing"]
        return sum(zlib.crc32(word.encode()) % 1000 for word in words) / len(words) / 1000


class Talker(FakeEngine):
    def _text(self, request, post, p):
        text = super()._text(request, post, p).replace(*(f'"{w}"' for w in self._ends(post)))
        text = text.replace("because it is True", "It demeans women and immigrants.")
        return text.replace("because it is False", "No group is attacked.")

    @staticmethod
    def _ends(post):
        """The first word, which a FakeEngine quotes, and the last two."""
        return post.split(" ")[0], json.dumps(" ".join(post.split(" ")[-2:]))[1:-1]


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """In place of the models: classifiers over an engine by rule."""
    monkeypatch.setenv("HSD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HSD_OUTPUTS", str(tmp_path / "outputs"))

    @contextmanager
    def opened(converse, name, *_, adapter=None, **__):
        model = f"fake/{name}{bool(adapter)}"
        engine = Talker(Rule(by="word"), model=model, ends=LOST.get(model))
        with Store.open(engine.identity) as store:
            yield Classifier(engine, store, converse=converse)

    teacher = partial(opened, partial(prompts.teacher, shots=2), "teacher")
    monkeypatch.setattr(scoring, "teacher", teacher)
    monkeypatch.setattr(scoring, "student", partial(opened, prompts.student, "student"))
    student = partial(scoring.student, adapter="a-0")
    return {"teacher": teacher, "base": scoring.student, "student": student}


def prepared(ask, table):
    """A run up to notebook 04."""
    run = Run("test")
    for split, at in {"distil": 0, "cal": 40, "eval": 60}.items():
        posts.write_jsonl(table.iloc[at : at + 20], run.sample(split))
    sample = posts.read_jsonl(run.sample("eval"))
    for name, opener in ask.items():
        with opener() as classifier:
            p = classifier.p_hate(sample)
            said = predictions.ranked(p) >= 0.5
            rows = classifier.explain(sample, p, said, classifier.generate(sample))
        predictions.write(pd.DataFrame(rows), run.predictions(name, "eval"))
    distil = posts.read_jsonl(run.sample("distil"))
    with ask["teacher"]() as classifier:
        made = rationales.read(distil, classifier.p_hate(distil), classifier.generate(distil))
    rationales.write(rationales.resolve(made, "keep"), run.rationales("distil"))
    evaluated = {"asked": {}, "models": {"student": {"threshold": 0.5}}}
    results = {"02_cot_teacher": {"teacher": {}}, "04_evaluation": evaluated}
    results["03_qlora_distillation"] = {"student": {"folder": "a-0"}}
    for stage, found in results.items():
        provenance.write_json(run.results(stage), found)
    provenance.write_json(run.stage_manifest("01_sampling"), DONE)
    run.student("a-0").mkdir(parents=True)
    (run.student("a-0") / "adapter_model.safetensors").touch()
    return run


def executed(**parameters):
    """The notebook on few posts: its names, and what its cells show."""
    small = {"run": "test", "faithful_posts": 16, "resamples": 50, "least_posts": 3}
    return execute(NAME, **small | parameters)


@pytest.fixture
def table():
    return corpus.build().sample(80, random_state=1).reset_index(drop=True)


def test_it_writes_what_others_read_and_shows_no_post(ask, table):
    run = prepared(ask, table)
    _, shown = executed()
    written = json.loads((run.folder / "explanations.json").read_text())
    assert set(written) == set(MODELS)  # "human" only where people rated
    assert [read["notebook"] for read in ledger.entries(run, "eval")] == ["06_explanations"]
    for found in written.values():
        assert set(found) == MEASURES
        for measure in found.values():
            assert measure["low"] <= measure["value"] <= measure["high"]
    assert written["student"]["quotes_found"]["value"] == 1.0
    texts = " ".join(shown)
    assert "calibrated probability" in texts and "<mark" in texts
    assert not [text for text in table["text"] if text[:25] in texts or text[-25:] in texts]
    metrics = json.loads(run.metrics.read_text())["explanations"]
    assert metrics["measures"] == written
    assert {row["explainer"] for row in metrics["faithfulness_by_prediction"]} >= {*MODELS}
    assert "SIMULATED, rated by no person" in texts and "human" not in metrics  # random raters
    assert "SIMULATED" in run.table("ratings", "tex").read_text()
    split = pd.DataFrame(json.loads(run.table("explanations_by", "json").read_text()))
    assert set(split["by"]) == {"source", "target", "outcome"}
    assert set(split["explainer"]) == {*MODELS, "student, pointed", "annotators"}
    for measure in MEASURES - BESIDE:
        assert all(f["value"] is None or f["low"] <= f["high"] for f in split[measure])
        assert any(f["value"] is not None for f in split[measure])
    measured = split[(split["explainer"] == "teacher") & (split["by"] == "outcome")]
    assert measured[["posts", "measured"]].sum().tolist() == [20, 16]
    few = split.loc[split["measured"] < 3, list(FAITHFUL)]
    assert len(few) and all(found["value"] is None for found in few.to_numpy().ravel())
    faithful = pd.DataFrame(json.loads(run.table("faithfulness", "json").read_text()))
    assert set(faithful["method"]) == {"quotes", "lexicon", "random", "leave-one-out"}
    brief = "hate, at most half quoted"
    assert set(faithful["predicted"]) == {"all", "hate", "not hate", brief}
    quotes = faithful[faithful["method"] == "quotes"]
    posts = quotes.pivot(index="explainer", columns="predicted", values="posts")
    assert (posts[brief].dropna() <= posts["hate"][posts[brief].notna()]).all()
    every = faithful[(faithful["predicted"] == "all") & (faithful["explainer"] == "teacher")]
    value = every.set_index("method")["comprehensiveness"].map(lambda found: found["value"])
    assert value["leave-one-out"] > max(value["random"], value["quotes"]) and value.nunique() == 4
    above = faithful.loc[faithful["method"] == "leave-one-out", "quotes_above"]
    assert max(found["high"] for found in above if found["value"] is not None) <= 0
    plausible = pd.DataFrame(json.loads(run.table("plausibility", "json").read_text()))
    assert plausible.set_index("explainer").loc[["student", "whole post"], "posts"].nunique() == 1
    own = split[split["explainer"] == "annotators"]  # perfect, if held against themselves
    assert all(f["value"] is None for name in ("token_f1", "iou_f1", "missed") for f in own[name])
    quoted = json.loads(run.table("quotes", "json").read_text())
    assert {row["explainer"]: row["missed"]["value"] for row in quoted}["annotators"] is None
    reasoned = pd.DataFrame(json.loads(run.table("reasons", "json").read_text()))
    own = reasoned.set_index("explainer").loc["student"]
    assert own["follows"]["value"] == 1.0  # this engine explains whatever it is given
    assert own["act lead"]["value"] is not None and 1 < own["act lead posts"] <= own["act posts"]


def test_without_human_spans_what_needs_them_is_null_with_a_reason(ask, table, monkeypatch):
    bare = table.assign(rationale=[[]] * len(table), explanation=None, target=None)
    run = prepared(ask, bare)
    file = run.predictions("base", "eval")
    predictions.write(predictions.load(file).assign(explanations=[[]] * 20), file)
    monkeypatch.setattr(encoder, "load", Letters)
    names, _ = executed(attributions=True)
    assert "rationales/distil.jsonl" in json.loads(run.stage_manifest(NAME).read_text())["inputs"]
    written = json.loads((run.folder / "explanations.json").read_text())
    for found in written.values():
        assert found["token_f1"]["value"] is None and "human spans" in found["token_f1"]["reason"]
        assert found["comprehensiveness"]["value"] is not None
    assert written["base"]["sufficiency"]["reason"] == faithfulness.SILENT
    assert set(names["told"]) == {*MODELS, "student, pointed"}
    assert "minilm_head" in run.table("faithfulness", "json").read_text()
    plausible = pd.DataFrame(json.loads(run.table("plausibility", "json").read_text()))
    heads = ["lexicon", "minilm_head", "minilm_tagger"]
    last = [*heads, "student, word by word", *(f"{name}, same posts" for name in heads)]
    assert list(plausible["explainer"])[-9:] == ["annotators", *last, "student - teacher"]


def test_people_count_and_a_judge_is_held_against_them(ask, table, monkeypatch):
    run = prepared(ask, table)
    monkeypatch.setattr(engines, "load", lambda *_, **__: Judge())
    names, shown = executed(rated_posts=10, rater="rater-0a1b")
    items, free = names["items"], names["open_posts"]  # of 20, 10 are on the sheet
    assert len(items) == 14 and len(free) == 10 and "rater-" not in run.manifest.read_text()
    assert "both right" not in " ".join(shown)  # no sums of ratings to who rates
    sheets = [f"{items[0]['sheet']}-rater-000{number}.csv" for number in (1, 2, 3)]
    assert sorted(path.name for path in run.ratings("").glob("*.csv")) == sheets
    answers = ratings.simulate(items, raters=1).assign(kind="human", rater="rater-0001")
    answers.loc[0, "complete"] = None  # in part; the last not at all
    spreadsheet.write(items, run.ratings("returned/rater-0001.csv"), "rater-0001", answers[:-1])
    _, shown = executed(rated_posts=10, judge_model={"engine": "fake", "model": "m"})
    written = json.loads((run.folder / "explanations.json").read_text())
    assert set(written) == {*MODELS, "human"} and written["human"]["kind"] == "human"
    assert (written["human"]["raters"], written["human"]["posts"]) == (1, 10)
    metrics = json.loads(run.metrics.read_text())["explanations"]
    assert metrics["human"] == written["human"] and "human" not in metrics["measures"]
    planned = metrics["planned"]
    assert planned["discordant"] == analysis_plan.read()["discordant"]
    assert planned["effective_pairs"] <= planned["pairs"] == 10 < planned["pairs_needed"]
    texts = " ".join(shown)
    assert "SIMULATED" not in texts + run.table("ratings", "tex").read_text()
    judged = pd.DataFrame(json.loads(run.table("judge", "json").read_text()))
    assert list(judged["rated"]) == [18, 19, 19] and judged["alike"].between(0.1, 1).all()
    left = pd.read_csv(report.by_rater(run, "ratings_left_out")).to_dict("records")
    assert [(r["rater"], r["item"], r["side"], r["questions"]) for r in left] == [
        ("rater-0001", "item-001", "A", "complete"),
        ("rater-0001", items[-1]["item"], "B", "complete, correct_own, correct_gold"),
    ]
    assert all(p in texts for p in ("rater-0001", "item-001", items[-1]["item"], "both right"))
    manifest = json.loads(run.stage_manifest(NAME).read_text())
    assert "rater-" not in run.manifest.read_text()
    assert any(name.endswith("analysis_plan.yaml") for name in manifest["inputs"])
    assert "ratings/by_rater/ratings.csv" in manifest["outputs"]


def test_only_a_model_that_was_read_in_04_has_to_be_read_here(ask, table, monkeypatch):
    monkeypatch.setitem(LOST, "fake/studentFalse", Lost(1))  # the base: all of them
    monkeypatch.setitem(LOST, "fake/studentTrue", Lost(3))
    run = prepared(ask, table)
    names, _ = executed()
    counts = [names["told"][name]["p_hate"].notna().sum() for name in MODELS]
    assert counts[0] == 20 > counts[2] > 10 > counts[1] == 0
    written = json.loads((run.folder / "explanations.json").read_text(), parse_constant=pytest.fail)
    none = [m for m, found in written.items() if found["comprehensiveness"]["value"] is None]
    assert none == ["base"] and 0.5 in names["p_cal"]


def test_another_plan_s_margin_or_a_model_of_04_that_is_not_here_stops_it(ask, table, monkeypatch):
    run = prepared(ask, table)
    with pytest.raises(AssertionError, match="another margin than the analysis plan's"):
        executed(margin=0.2)
    monkeypatch.setenv("HSD_CACHE", str(run.folder / "another"))  # no answer of 04 is known,
    monkeypatch.setitem(LOST, "fake/studentTrue", Lost(1))  # and none comes any more
    with pytest.raises(AssertionError, match="student: posts without P"):
        executed()
