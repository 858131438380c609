"""What the student has to beat: simple models on the same posts, and classifiers as shipped.

``fit`` gives a function from texts to P(hate)-like scores between 0 and 1, so that the threshold
of every model comes from ``cal`` by one rule.  A baseline is a name of BASELINES, learned here
from gold labels; ``hatesonar`` or ``profanity_check``, where that package is installed; or a hub
id (owner/model), see ``classifiers.hub``.

    score = baselines.fit("tfidf_lr", distil, seed=0)
    p_hate = score(held_out["text"])
"""

import importlib
from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn.calibration import CalibratedClassifierCV
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, Normalizer
from sklearn.svm import LinearSVC

from hsd_utils import classifiers, encoder, models
from hsd_utils.classifiers import Score

# What each is known to have been trained on, before and apart from our samples.
TRAINED_ON = {
    "majority": "nothing",
    "tfidf_svm": "nothing",
    "tfidf_lr": "nothing",
    "minilm": "a billion sentence pairs, among them Reddit comments (its model card)",
    "minilm_head": "a billion sentence pairs, among them Reddit comments (its model card)",
    "hatesonar": "Davidson et al. 2017, so its figures on davidson are not a test",
    "profanity_check": "Davidson et al. 2017 and Wikipedia comments: davidson is not a test of it",
    "SmolLM2-135M-Instruct": "2 trillion tokens of web pages (FineWeb-Edu, DCLM) and code: any "
    "published data set may lie in them (its model card)",
    "Qwen2.5-Coder-1.5B-Instruct": "5.5 trillion tokens of code, text about it and synthetic data, "
    "not published (its model card)",
}


def fit(name: str, train: pd.DataFrame, seed: int, pickled: bool = False) -> Score:
    """Scores of a baseline learned from the texts and labels (0/1) of ``train``.

    pickled: whether a package may be loaded that comes as a pickle, which can run any code.
    Raises ValueError for an unknown name, posts of one class or a pickle that is not allowed,
    ImportError for a package that is not installed, OSError for a hub model that cannot be had.
    """
    if name in BASELINES:
        if train["label"].nunique() < 2:
            raise ValueError(f"{name}: posts of one label teach nothing")
        return BASELINES[name](train["text"].tolist(), train["label"].to_numpy(), seed)
    if name == "hatesonar":
        return _hatesonar()
    if name == "profanity_check":
        return _profanity_check(pickled)
    if "/" in name:
        return classifiers.hub(name, train["text"].tolist(), train["label"].to_numpy(), seed)
    raise ValueError(
        f"baseline {name!r}: one of {', '.join(BASELINES)}, hatesonar, profanity_check, "
        "or a hub id (owner/model)"
    )


def supervision(name: str) -> str:
    """Whose labels it learned from: gold (ours), or those it was shipped with."""
    learns = name in BASELINES or ("/" in name and classifiers.kind(name) == "encoder")
    return "gold" if learns else "as shipped"


def trained_on(name: str) -> str:
    """What a model met before; one of the hub says it on its card, if at all."""
    return TRAINED_ON.get(name, "see its model card")


def _majority(texts: list[str], label: np.ndarray, seed: int) -> Score:
    """The share of hate for every post: the more frequent label, hate where they are even."""
    return _of_pipeline(DummyClassifier(strategy="prior").fit(texts, label))


def _tfidf():
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True)
    return make_union(words, letters)


def _logistic(texts: list[str], label: np.ndarray, seed: int) -> Score:
    model = LogisticRegression(C=10.0, max_iter=1000, random_state=seed)
    return _of_pipeline(make_pipeline(_tfidf(), model).fit(texts, label))


def _svm(texts: list[str], label: np.ndarray, seed: int) -> Score:
    """Margins of a linear SVM made scores by Platt's sigmoid, cross-fitted on its own posts."""
    folds = min(5, int(np.bincount(label).min()))
    model = LinearSVC(random_state=seed)
    if folds > 1:
        model = CalibratedClassifierCV(model, cv=folds, ensemble=False)
        return _of_pipeline(make_pipeline(_tfidf(), model).fit(texts, label))
    made = make_pipeline(_tfidf(), model).fit(texts, label)
    return lambda new: 1 / (1 + np.exp(-made.decision_function(list(new))))


def _of_pipeline(model) -> Score:
    return lambda texts: model.predict_proba(list(texts))[:, 1]


def _minilm_head(texts: list[str], label: np.ndarray, seed: int) -> Score:
    """Logistic regression on the frozen sentence vectors of all-MiniLM-L6-v2 (mean pooling)."""
    head = LogisticRegression(max_iter=1000, random_state=seed)
    made = make_pipeline(FunctionTransformer(encoder.load()), Normalizer(), head)
    return _of_pipeline(made.fit(texts, label))


def _minilm(texts: list[str], label: np.ndarray, seed: int) -> Score:
    """all-MiniLM-L6-v2 with a classification head, all weights trained."""
    return classifiers.fine_tuned(models.fetch(encoder.NAME), texts, label, seed)


def _hatesonar() -> Score:
    api, onnx = _package("hatesonar.api"), _package("onnx")
    model = onnx.load(api.DEFAULT_MODEL_FILE)
    # Without a word about it, lower case is made in en_US.UTF-8, which many machines lack.
    for node in model.graph.node:
        if node.op_type == "StringNormalizer":
            node.attribute.append(onnx.helper.make_attribute("locale", "C.UTF-8"))
    sonar = api.Sonar(model.SerializeToString())

    def share(text: str) -> float:
        classes = sonar.ping(text=text)["classes"]
        return next(c["confidence"] for c in classes if c["class_name"] == "hate_speech")

    return lambda texts: np.array([share(text) for text in texts])


def _profanity_check(allowed: bool) -> Score:
    if not allowed:
        raise ValueError(
            "profanity_check is a pickle, which can run any code when loaded: allow it (pickled) "
            "if you trust its makers, or leave it out of the baselines"
        )
    found = _package("profanity_check")
    return lambda texts: np.asarray(found.predict_prob(list(texts)), float)


def _package(name: str):
    """A module of requirements-peers.txt, which only those install who want it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"{name} is not installed, or not all that it needs ({error}): python -m pip install "
            "--no-deps -r requirements-peers.txt, or leave it out of the baselines"
        ) from error


BASELINES: dict[str, Callable[[list[str], np.ndarray, int], Score]] = {
    "majority": _majority,
    "tfidf_svm": _svm,
    "tfidf_lr": _logistic,
    "minilm_head": _minilm_head,
    "minilm": _minilm,
}
