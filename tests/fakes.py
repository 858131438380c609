"""For tests: an engine that answers by rule at once and remembers what it was asked; samples."""

import json
import re
import zlib
from functools import cache

import numpy as np
import pandas as pd

from hsd_utils import readers, sampling, verdict
from hsd_utils.engines import Answer, Request

CHIP = {"processor": "A Chip", "cores": 2, "gpu": None}
# A stage's manifest, with the parameters of 01 that all are asked for.
DONE = {"inputs": {}, "outputs": {}, "seconds": 1, "finished": "2026", "commit": "c"}
DONE |= {"packages": {}, "hardware": CHIP}
DONE["parameters"] = {"anonymise": True, "sources": ["corpus"]}

P = {"awful people": 0.9, "doubtful people": 0.6, "kind people": 0.3, "dear people": 0.1}
POSTS = pd.DataFrame({"id": list("abcd"), "text": list(P), "label": [1, 0, 1, 0]})


@cache
def corpus() -> pd.DataFrame:
    """The embedded posts, cleaned and without duplicates; read once, for tests that only look."""
    return sampling.deduplicate(sampling.clean(readers.read("corpus")[0])[0])[0]


@cache
def _drawn(sizes: tuple) -> dict[str, pd.DataFrame]:
    return sampling.draw(corpus(), dict(sizes), seed=0)[0]


def drawn(sizes: dict[str, int]) -> dict[str, pd.DataFrame]:
    """Samples of the embedded posts, by name; a test may change them."""
    return {name: sample.copy() for name, sample in _drawn(tuple(sizes.items())).items()}


def first_word(post: str) -> str:
    return post.split(" ")[0]


class FakeEngine:
    """Knows P(hate) of each post by its text (0.2 of any other).

    It answers as the P(hate) says, quotes the post's first word, and explains with "because it
    is True" (or False), so that a test sees which label an explanation was written for.
    ``free``: the text to give for a post when nothing holds the answer; ``ends``: post -> how
    its answers finish; ``quoted``: post -> what is quoted of it.
    """

    def __init__(self, p_hate=None, *, constrained=False, model="fake/m", **more):
        self.p_hate, self.quoted = p_hate or {}, more.get("quoted", first_word)
        self.free, self.ends = more.get("free") or {}, more.get("ends") or {}
        self.constrained, self.batch, self.files, self.streams = constrained, 4, [], True
        self.grammars = False
        self.identity = {"engine": "fake", "version": "1", "model": model, "weights": ["0"]}
        self.asked: list[Request] = []

    def __call__(self, requests):
        for request in requests:
            self.asked.append(request)
            yield self.answer(request)

    def answer(self, request: Request) -> Answer:
        post = self.post(request)
        p, finish = self.p_hate.get(post, 0.2), self.ends.get(post, "stop")
        if finish == "too long":
            return Answer(request.key, "", 9, 0, 0.5, finish)
        if request.choices:
            return Answer(request.key, "", 9, 2, 0.5, "choices", [1 - p, p])
        return Answer(request.key, self._text(request, post, p), 9, 7, 0.5, finish)

    def _text(self, request: Request, post: str, p: float) -> str:
        label, label_first = int(p >= 0.5), True
        if request.schema is not None:
            words = request.schema["properties"]["hate_speech"]["enum"]
            label = verdict.LABELS.index(words[0]) if len(words) == 1 else label
            label_first = next(iter(request.schema["properties"])) == "hate_speech"
        elif request.prefill:
            label = int("True" in request.prefill)
        if post in self.free and not (request.prefill or request.schema and len(words) == 1):
            return self.free[post]
        word = verdict.word(label)
        pair = {"input": self._quote(request, post), "explanation": f"because it is {word}"}
        text = verdict.write(label, [pair], label_first)
        assert text.startswith(request.prefill)
        return text

    def _quote(self, request: Request, post: str) -> str:
        """What it is told to quote, else what it quotes by itself."""
        if request.schema is not None and not isinstance(request.schema, str):
            item = request.schema["properties"]["explanations"]["items"]["properties"]
            return item["input"].get("enum", [self.quoted(post)])[0]
        given = re.search(r'"input":(".*"),"explanation":"$', request.prefill, re.DOTALL)
        return json.loads(given[1]) if given else self.quoted(post)

    @staticmethod
    def post(request: Request) -> str:
        """The post that a conversation is about, the teacher's or the student's."""
        content = request.messages[-1]["content"]
        found = re.search("<post>(.*)</post>", content, re.DOTALL)
        return found[1] if found else content.partition("\n\n")[2]


class Lost(dict):
    """For an engine's ``ends``: of so many texts one, by its letters, is too long for it."""

    def __init__(self, many):
        super().__init__(many=many)

    def get(self, text, default=None):
        return "too long" if zlib.crc32(text.encode()) % self["many"] == 0 else default


class Letters:
    """In place of MiniLM: how often each of eight letters stands in a text or word."""

    def __call__(self, texts):
        return np.array([[t.lower().count(c) for c in "aeinorst"] for t in texts], float)

    def words(self, texts):
        return [self(text.split()) for text in texts]


class Slipping(FakeEngine):
    """Quotes "horrid" where a post has "awful", unless its answer is held to the post."""

    def __init__(self, *args, grammars=True, **more):
        super().__init__(*args, **more)
        self.grammars = grammars

    def _text(self, request, post, p):
        if isinstance(request.schema, str):
            label = int('\\"True\\"' in request.schema)
            return verdict.write(label, [{"input": post, "explanation": "held"}])
        text = super()._text(request, post, p)
        return text.replace('"input":"awful"', '"input":"horrid"')


def explained(made, threshold=0.5, posts=POSTS):
    """p, predicted and rows, as notebook 04 has them."""
    p = made.p_hate(posts)
    predicted = p >= threshold
    return p, predicted, made.explain(posts, p, predicted, made.generate(posts))


def reason_of(row) -> list[str]:
    return [e["explanation"] for e in row["explanations"]]
