"""Baselines learn, repeat, and give scores that one threshold rule can use.

all-MiniLM-L6-v2 itself is not loaded: a tiny BERT of random weights stands in for it.
"""

import os
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from conftest import SMALL
from fakes import drawn
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline

from hsd_utils import baselines, classifiers, contamination, metrics, models, paths, readers
from hsd_utils.engines import Answer

CHEAP = ("majority", "tfidf_svm", "tfidf_lr")


@pytest.fixture(scope="module")
def samples():
    return drawn({"distil": 96, "cal": 32, "eval": 64})


@pytest.mark.parametrize("name", CHEAP)
def test_scores_are_shares_one_a_post_and_repeat(samples, name):
    found = [baselines.fit(name, samples["distil"], 0)(samples["eval"]["text"]) for _ in "ab"]
    assert found[0].shape == (64,) and np.array_equal(*found)
    assert metrics.scores(samples["eval"]["label"], found[0]) is not None
    cal = baselines.fit(name, samples["distil"], 0)(samples["cal"]["text"])
    assert 0 <= metrics.best_threshold(samples["cal"]["label"], cal) <= 1


@pytest.mark.parametrize("name", ["tfidf_svm", "tfidf_lr"])
def test_what_can_be_learned_is_learned(samples, name):
    score = baselines.fit(name, samples["distil"], 0)
    fresh = contamination.unused(readers.read("corpus")[0], samples, 200, seed=0)
    assert roc_auc_score(fresh["label"], score(fresh["text"])) > 0.65
    assert roc_auc_score(samples["distil"]["label"], score(samples["distil"]["text"])) > 0.99


def test_the_majority_says_one_label_and_hate_where_they_are_even(samples):
    even = samples["distil"]
    assert even["label"].mean() == 0.5
    cal = baselines.fit("majority", even, 0)(samples["cal"]["text"])
    threshold = metrics.best_threshold(samples["cal"]["label"], cal)
    assert threshold == 0.5 and (cal >= threshold).all()
    rare = pd.concat([even[even["label"] == 0], even[even["label"] == 1].head(10)])
    assert (baselines.fit("majority", rare, 0)(["x"]) < 0.5).all()


def test_logistic_regression_is_scikit_learns(samples):
    train, new = samples["distil"], samples["eval"]["text"]
    by_hand = make_pipeline(baselines._tfidf(), LogisticRegression(C=10.0, max_iter=1000))
    by_hand.fit(train["text"], train["label"])
    found = baselines.fit("tfidf_lr", train, 0)(new)
    assert found == pytest.approx(by_hand.predict_proba(new)[:, 1])


@pytest.mark.parametrize("posts", [2, 4, 12])
def test_a_handful_of_posts_is_enough_to_run(samples, posts):
    both = samples["distil"].groupby("label").head(posts // 2)
    for name in CHEAP:
        found = baselines.fit(name, both, 0)(samples["cal"]["text"])
        assert ((found >= 0) & (found <= 1)).all()


def test_what_is_unknown_or_missing_is_named(samples, monkeypatch):
    train = samples["distil"]
    with pytest.raises(ValueError, match="one of majority, tfidf_svm"):
        baselines.fit("tfidf", train, 0)
    with pytest.raises(ValueError, match="one label teach nothing"):
        baselines.fit("tfidf_lr", train[train["label"] == 1], 0)
    monkeypatch.setitem(sys.modules, "hatesonar.api", None)  # as if not installed
    with pytest.raises(ImportError, match="hatesonar.* is not installed, .* python -m pip"):
        baselines.fit("hatesonar", train, 0)
    assert baselines.supervision("tfidf_lr") == "gold"
    assert baselines.supervision("hatesonar") == "as shipped"
    assert "Davidson" in baselines.trained_on("hatesonar")
    assert "card" in baselines.trained_on("owner/model")
    assert set(baselines.BASELINES) < set(baselines.TRAINED_ON)


@pytest.mark.skipif(not os.environ.get("HSD_FULL"), reason="make test-full installs the peers")
def test_the_peers_as_shipped_tell_hate_from_tea():
    for name in ("hatesonar", "profanity_check"):
        score = baselines.fit(name, pd.DataFrame(), 0, pickled=True)
        hate, tea = score(["YOU STUPID IDIOT, go to hell", "The tea is warm."])
        assert 0 <= tea < hate <= 1


def test_a_pickle_is_loaded_only_where_it_is_allowed(samples, monkeypatch):
    loaded = SimpleNamespace(predict_prob=lambda texts: [0.3 for _ in texts])
    monkeypatch.setitem(sys.modules, "profanity_check", loaded)
    with pytest.raises(ValueError, match="pickle, which can run any code"):
        baselines.fit("profanity_check", samples["distil"], 0)
    score = baselines.fit("profanity_check", samples["distil"], 0, pickled=True)
    assert score(["a", "b"]).tolist() == [0.3, 0.3]
    assert baselines.supervision("profanity_check") == "as shipped"
    monkeypatch.setitem(sys.modules, "profanity_check", None)
    with pytest.raises(ImportError, match="-r requirements-peers.txt"):
        baselines.fit("profanity_check", samples["distil"], 0, pickled=True)


@pytest.fixture(scope="module")
def tiny(samples, tmp_path_factory):
    """A BERT of random weights with a vocabulary of the samples' words."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("bert")
    words = sorted({w for text in samples["distil"]["text"] for w in text.lower().split()})
    (folder / "vocab.txt").write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words])
    )
    transformers.BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(words) + 5,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=128,
    )
    transformers.set_seed(0)
    transformers.BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """Few steps, and a cache of the test's own."""
    monkeypatch.setenv("HSD_CACHE", str(tmp_path))
    steps = {"num_train_epochs": 8, "learning_rate": 3e-3, "per_device_train_batch_size": 16}
    monkeypatch.setattr(classifiers, "FINE_TUNING", steps)
    return monkeypatch


@pytest.mark.parametrize("name", ["minilm", "minilm_head"])
def test_the_encoder_is_trained_on_the_posts_and_scores_them(samples, tiny, quick, name):
    quick.setattr(models, "fetch", lambda _: tiny)
    train = samples["distil"]
    found = [baselines.fit(name, train, 0)(train["text"]) for _ in "ab"]
    assert found[0] == pytest.approx(found[1], abs=1e-5)
    assert found[0].shape == (96,) and ((found[0] >= 0) & (found[0] <= 1)).all()
    assert roc_auc_score(train["label"], found[0]) > (0.9 if name == "minilm" else 0.7)


def test_a_training_is_kept_by_all_that_it_comes_from(samples, tiny, quick):
    train, folder = samples["distil"], paths.cache() / "fine_tuned"
    texts, label = train["text"].tolist(), train["label"].to_numpy()
    first = classifiers.fine_tuned(tiny, texts, label, 0)(texts)
    assert len(list(folder.iterdir())) == 1
    with quick.context() as again:
        again.setattr(classifiers, "_train", lambda *_: pytest.fail("trained again"))
        assert classifiers.fine_tuned(tiny, texts, label, 0)(texts).tolist() == first.tolist()
    others = [(texts, label, 1), (texts, 1 - label, 0), (texts[::-1], label, 0)]
    for count, (posts, said, seed) in enumerate(others, start=2):
        assert classifiers.fine_tuned(tiny, posts, said, seed)(texts).tolist() != first.tolist()
        assert len(list(folder.iterdir())) == count


def test_an_encoder_of_the_hub_without_a_head_is_trained_not_taken_as_shipped(samples, tiny, quick):
    train = samples["distil"]
    found = baselines.fit(str(tiny), train, 0)(train["text"])
    assert roc_auc_score(train["label"], found) > 0.9
    assert baselines.supervision(str(tiny)) == "gold"


def test_a_model_of_the_hub_that_generates_is_asked_safe_or_unsafe(small):
    weights = str(models.torch_weights(SMALL))
    score = baselines.fit(weights, pd.DataFrame({"text": [], "label": []}), 0)
    texts = ["a post", "another one here, a little longer"]
    found = score(texts)
    assert found.shape == (2,) and ((found > 0) & (found < 1)).all() and found[0] != found[1]
    assert found == pytest.approx(score(texts[::-1])[::-1], abs=1e-3)  # each by its own key
    assert baselines.supervision(weights) == "as shipped"


def test_what_a_guard_calls_unsafe_is_hate(monkeypatch):
    def engine(asked):
        for request in asked:
            shares = [0.8 if word == "unsafe" else 0.2 for word in request.choices]
            yield Answer(request.key, "", 1, 1, 0.0, "choices", shares)

    monkeypatch.setattr(classifiers.engines, "load", lambda *_: engine)
    assert classifiers._guard("m")(["a", "b"]).tolist() == [0.8, 0.8]


def test_a_classifier_of_the_hub_is_taken_as_it_is(tiny, tmp_path):
    transformers = pytest.importorskip("transformers")
    words = {0: "normal", 1: "hatespeech", 2: "offensive"}
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        tiny, num_labels=3, id2label=words, label2id={v: k for k, v in words.items()}
    )
    model.save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(tiny).save_pretrained(tmp_path)
    nothing = pd.DataFrame({"text": [], "label": []})
    found = baselines.fit(str(tmp_path), nothing, 0)(["one post", "another one here"])
    assert baselines.supervision(str(tmp_path)) == "as shipped"
    inputs = transformers.AutoTokenizer.from_pretrained(tiny)(
        ["one post", "another one here"], padding=True, return_tensors="pt"
    )
    assert found == pytest.approx(
        model.eval()(**inputs).logits.softmax(-1)[:, 1].tolist(), abs=1e-5
    )
    config = transformers.AutoConfig.from_pretrained(tmp_path)
    config.problem_type = "multi_label_classification"  # then a label takes nothing from others
    config.save_pretrained(tmp_path)
    alone = baselines.fit(str(tmp_path), nothing, 0)(["one post", "another one here"])
    assert (alone > found).all() and (alone < 1).all()
    config.id2label = {0: "a", 1: "b", 2: "c"}
    config.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="which of its labels is hate"):
        baselines.fit(str(tmp_path), nothing, 0)
    with pytest.raises(OSError, match="leave it out of the baselines"):
        baselines.fit(str(tmp_path / "absent"), nothing, 0)
