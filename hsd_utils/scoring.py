"""A model as a classifier: P(hate), predictions at a threshold, explanations that agree.

P(hate) is the share of "True" against "False" at the label token.  The prediction is what the
threshold makes of it, and the explanation is generated under that prediction, but for a model
that explains first.  What it says when left to itself is reported beside it ("as generated").

    with scoring.teacher(asked) as classifier:
        p, answers = classifier.p_hate(posts), classifier.generate(posts)
        rows = classifier.explain(posts, p, p >= threshold, answers)
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hsd_utils import copying, engines, prompts, verdict
from hsd_utils.engines import Answer, Engine, Request
from hsd_utils.store import Store

Converse = Callable[[str], list[dict[str, str]]]


@dataclass
class Classifier:
    """An engine, the store of its answers, and how it is asked.

    converse: text of a post -> messages.  label_first: whether the label comes before the
    explanations in an answer; if not, P(hate) is read after the model's own explanation.
    explain_with: another way to ask for explanations (the task_prefix objective has one).
    constrained: hold answers to the JSON schema, where the engine can.
    max_tokens: an answer's length at most.
    """

    engine: Engine
    store: Store
    converse: Converse
    label_first: bool = True
    explain_with: Converse | None = None
    constrained: bool = False
    max_tokens: int = 220

    def p_hate(self, posts: pd.DataFrame) -> np.ndarray:
        """P(hate) of each post, shape (n,); NaN where no label could be reached."""
        prefills = self._up_to_label(posts)
        requests = [
            self.label_request(post.id, post.text, prefills[post.id])
            for post in posts.itertuples()
            if post.id in prefills
        ]
        answers = self.store.collect(self.engine, requests)
        # LABELS is ("False", "True"): the second share is that of hate.
        scored = {
            key: answer.probabilities[1] for key, answer in answers.items() if answer.probabilities
        }
        return np.array([scored.get(key, np.nan) for key in posts["id"]])

    def generate(self, posts: pd.DataFrame) -> dict[str, Answer]:
        """The free-running answer to each post, by post id."""
        asked = [self.answer_request(post.id, post.text) for post in posts.itertuples()]
        return self.store.collect(self.engine, asked)

    def explain(
        self,
        posts: pd.DataFrame,
        p_hate: np.ndarray,
        predicted: np.ndarray,
        generated: Mapping[str, Answer] | None = None,
        about: Mapping[str, tuple[int, int]] | None = None,
    ) -> list[dict[str, Any]]:
        """One row a post: the prediction and an explanation of it, and the answer as generated.

        A free-running answer that already gives the predicted label is used as it is; all other
        posts are asked about with the label given.  Without ``generated`` that is one generation
        a post, as production wants it.  A row has id, p_hate, predicted (0/1),
        explanations (verdict.quotes), reason (why there is none, else None), generated (0/1 or
        None; as generated only where ``generated`` was given), generated_reason, repaired,
        prompt_tokens of the first answer, answer_tokens and seconds of all.

        about: post id -> [start, end) in its text: the model is told to quote these words, and
        explains them alone.  Raises ValueError for a model that explains first, since there the
        label would hang on what it was told.
        """
        if about is not None and not self.label_first:
            raise ValueError("a quote can be given to a model that gives the label first")
        generated = {} if about else generated or {}
        about = about or {}
        said = {key: verdict.parse(answer.text).label for key, answer in generated.items()}
        explainer = replace(self, converse=self.explain_with or self.converse)
        asked = [
            explainer.answer_request(post.id, post.text, int(label), about.get(post.id))
            for post, label in zip(posts.itertuples(), predicted, strict=True)
            if self.explain_with or said.get(post.id) != label
        ]
        # With the explanation first there is no label to give: what was generated stays.
        if generated and not (self.label_first or self.explain_with):
            asked = []
        again = self.store.collect(self.engine, asked)
        rows = _rows(posts, p_hate, predicted, generated, again)
        told = zip(posts.itertuples(), rows, strict=True)
        return [_at(row, post.text, *about[post.id]) for post, row in told] if about else rows

    def requoted(self, posts: pd.DataFrame, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """``explain``'s rows, each with ``requoted``: whether it was explained once more.

        That is where a quote does not stand in the post: the same label again, now held to the
        post's words (``copying``).  Not where the engine takes no grammar, nor where P(hate) was
        read after the explanation, which would then be another.
        """
        can = self.engine.grammars and (self.label_first or self.explain_with)
        pairs = list(zip(posts.itertuples(), rows, strict=True))
        converse, asked = self.explain_with or self.converse, []
        for post, row in pairs if can else ():
            shown = prompts.shield(post.text).strip()  # as far as the model sees it
            if shown and any(quote["how"] is None for quote in row["explanations"]):
                held = copying.grammar(shown, row["predicted"])
                about = {"messages": converse(post.text), "max_tokens": self.max_tokens}
                asked.append(Request(post.id, **about, schema=held))
        held = self.store.collect(self.engine, asked)
        return [_requoted(row, post.text, held.get(post.id)) for post, row in pairs]

    def label_request(self, key: str, text: str, prefill: str | None = None) -> Request:
        """Ask how the label's words share the probability, after ``prefill``."""
        begun = prompts.prefill() if prefill is None else prefill
        return Request(key, self.converse(text), prefill=begun, choices=verdict.LABELS)

    def answer_request(
        self, key: str, text: str, label: int | None = None, place: tuple[int, int] | None = None
    ) -> Request:
        """Ask for a whole answer, or to explain a given label, and the words at a place."""
        quote = prompts.shield(text)[slice(*place)] if place else ""
        if self.constrained and self.engine.constrained:
            schema = verdict.json_schema(self.label_first, label, quote)
            return Request(key, self.converse(text), schema=schema, max_tokens=self.max_tokens)
        # With the explanation first, a label given cannot be a beginning.
        given = label is not None and self.label_first
        begun = prompts.prefill(label, quote=quote) if given else ""
        return Request(key, self.converse(text), prefill=begun, max_tokens=self.max_tokens)

    def rationalise(self, posts: pd.DataFrame) -> dict[str, Answer]:
        """Answers given each post's gold label, by post id (the teacher's way of asking only)."""
        told = {g: replace(self, converse=partial(self.converse, gold=g)) for g in (0, 1)}
        asked = [
            told[post.label].answer_request(post.id, post.text, int(post.label))
            for post in posts.itertuples()
        ]
        return self.store.collect(self.engine, asked)

    def _up_to_label(self, posts: pd.DataFrame) -> dict[str, str]:
        """The answer's beginning, up to where the label goes, by post id."""
        if self.label_first:
            return dict.fromkeys(posts["id"], prompts.prefill())
        parsed = {key: verdict.parse(a.text) for key, a in self.generate(posts).items()}
        return {
            key: prompts.prefill(label_first=False, explanations=answer.explanations)
            for key, answer in parsed.items()
            if answer.explanations or answer.reason is None  # a labels-only student gives none
        }


def _rows(posts, p_hate, predicted, generated, again) -> list[dict[str, Any]]:
    """Rows of ``explain`` from the answers as generated and those asked for again, by post id."""
    rows = []
    for post, p, label in zip(posts.itertuples(), p_hate, predicted, strict=True):
        answers = [found[post.id] for found in (generated, again) if post.id in found]
        free, told = verdict.parse(answers[0].text), verdict.parse(answers[-1].text)
        # Where nothing holds an answer to the label given, a model may insist on the other.
        insists = post.id in again and told.label not in (None, label)
        rows.append(
            {
                "id": post.id,
                "p_hate": None if np.isnan(p) else float(p),
                "predicted": int(label),
                "explanations": [] if insists else verdict.quotes(told, post.text),
                "reason": "explains the other label" if insists else told.reason,
                "generated": free.label,
                "generated_reason": free.reason,
                "repaired": free.repaired,
                "prompt_tokens": answers[0].prompt_tokens,
                "answer_tokens": sum(answer.answer_tokens for answer in answers),
                "seconds": sum(answer.seconds for answer in answers),
            }
        )
    return rows


def _at(row: dict[str, Any], text: str, start: int, end: int) -> dict[str, Any]:
    """A row whose first explanation, the only one kept, is of the words at this place."""
    words = text[start:end]
    # They may stand in it twice
    place = asdict(verdict.locate(words, text)) | {"start": start, "end": end, "input": words}
    return row | {"explanations": [told | place for told in row["explanations"][:1]]}


def _requoted(row: dict[str, Any], text: str, answer: Answer | None) -> dict[str, Any]:
    told = verdict.quotes(verdict.parse(answer.text), text) if answer else []
    if not told:
        return row | {"requoted": False}
    spent = {key: row[key] + getattr(answer, key) for key in ("answer_tokens", "seconds")}
    return row | spent | {"explanations": told, "requoted": True}


def teacher(asked: Mapping[str, Any]) -> AbstractContextManager[Classifier]:
    """The teacher as notebook 02 describes it in its results, ready to be asked."""
    prompt = asked["prompt"]
    how = {"converse": partial(prompts.teacher, **prompt), "label_first": prompt["label_first"]}
    return _opened(asked["model"], asked, asked["engine_settings"], how)


def student(
    trained: Mapping[str, Any], asked: Mapping[str, Any], adapter: Path | None = None
) -> AbstractContextManager[Classifier]:
    """The student as notebook 03 describes it in its results; without adapter, its base.

    asked: engine, engine_settings, constrained and max_tokens.
    """
    settings = dict(asked["engine_settings"]) | ({"adapter": adapter} if adapter else {})
    return _opened(trained["base"], asked, settings, as_taught(trained, adapter))


@contextmanager
def _opened(model: str, asked: Mapping, settings: Mapping, how: dict) -> Iterator[Classifier]:
    engine = engines.load(asked["engine"], model, **settings)
    with Store.open(engine.identity) as store:
        how |= {key: asked[key] for key in ("constrained", "max_tokens")}
        classifier = Classifier(engine, store, **how)
        try:
            yield classifier
        finally:  # who keeps the classifier keeps no model: two may not fit into memory
            classifier.engine = None


def as_taught(trained: Mapping[str, Any], adapter: Path | str | None) -> dict[str, Any]:
    """How a student is asked: fields of ``Classifier`` from how it was taught."""
    halves = adapter is not None and trained["objective"] == "task_prefix"
    told = partial(prompts.student, definition=trained.get("definition", ""))
    return {
        "converse": partial(told, task="label" if halves else "both"),
        "explain_with": partial(told, task="rationale") if halves else None,
        "label_first": trained["label_first"],
    }
