"""P(hate) out of an endpoint's log-probabilities: how a label's words share the probability.

Best is the answer begun for the model up to the label: its next token is the label, whatever
was sampled.  A server that cannot go on with a beginning writes the answer itself, held to a
schema, and the label is looked for in it; what its grammar made of the probabilities by then
differs from server to server.

    labels.shares(completion.choices[0].logprobs, ("False", "True"))
"""

import math
from collections.abc import Sequence

from hsd_utils.verdict import LABELS

LEAST = 0.01  # of the probability, for both words together, where the label was to come next


def begun(completion) -> bool:
    """Whether a completion goes on where the answer was begun: a label comes first in it."""
    found = getattr(completion, "choices", None)
    content = getattr(found[0].logprobs, "content", None) if found else None
    return bool(content) and sum(_listed(content[0], LABELS)) >= LEAST


def shares(logprobs, choices: Sequence[str]) -> list[float]:
    """How the words share the probability at the label's token, the same order, summing to 1.

    That is the first token if the words are likely there, else the first that was sampled and
    begins one of them.  A word that a server does not list has at most what is left, and at
    most the least that is listed.  Empty where it gave none or no label was reached.
    """
    content = getattr(logprobs, "content", None) or []
    if content and sum(_listed(content[0], choices)) >= LEAST:
        return _shares(content[0], choices)
    for token in content:
        if any(_begins(token.token, word) for word in choices):
            return _shares(token, choices)
    return []


def said(text: str, choices: Sequence[str]) -> list[float]:
    """All to the choice that the text names first; empty if it names none."""
    places = {text.find(word): word for word in choices if word in text}
    return [float(word == places[min(places)]) for word in choices] if places else []


def schema(choices: Sequence[str]) -> dict:
    """The JSON schema of an answer that is a label alone."""
    words = {"type": "string", "enum": list(choices)}
    rules = {"required": ["hate_speech"], "additionalProperties": False}
    return {"type": "object", "properties": {"hate_speech": words}} | rules


def _top(token) -> dict[str, float]:
    return {t.token: math.exp(t.logprob) for t in (token, *token.top_logprobs)}


def _listed(token, choices: Sequence[str]) -> list[float]:
    """The probability of each word as far as it is listed: whole, else that of its beginnings.

    "T" may begin "True" where a tokenizer has both, but a model that means "True" writes it
    whole; beginnings count only where no whole word is listed.
    """
    top = _top(token)
    whole = [sum(p for t, p in top.items() if _bare(t).startswith(word)) for word in choices]
    if any(whole):
        return whole
    return [sum(p for t, p in top.items() if _begins(t, word)) for word in choices]


def _shares(token, choices: Sequence[str]) -> list[float]:
    listed, top = _listed(token, choices), _top(token).values()
    unlisted = min(*top, max(0.0, 1 - sum(top)), 1.0)
    mass = [p or unlisted for p in listed]
    return [p / sum(mass) for p in mass]


def _begins(token: str, word: str) -> bool:
    """Whether a token (perhaps with the quotation mark before it) begins the word."""
    bare = _bare(token)
    return bool(bare) and (word.startswith(bare) or bare.startswith(word))


def _bare(token: str) -> str:
    return token.lstrip(' "')
