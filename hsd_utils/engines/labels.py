"""P(hate) out of an endpoint's log-probabilities: how a label's words share the probability.

Best is the answer begun for the model up to the label: its next token is the label, whatever
was sampled.  A server that cannot go on with a beginning writes the answer itself, held to a
schema, and the label is looked for in it; what its grammar made of the probabilities by then
differs from server to server.

    labels.shares(completion.choices[0].logprobs, ("False", "True"))
"""

import math
import re
from collections.abc import Sequence

from hsd_utils.verdict import LABELS, closed


def begun(completion) -> bool:
    """Whether a completion of one token goes on where the answer was begun: it lists a label."""
    found = getattr(completion, "choices", None)
    content = getattr(found[0].logprobs, "content", None) if found else None
    return bool(content) and any(_whole(content[0], LABELS))


def anew(text: str) -> bool:
    """Whether a text begins a verdict, perhaps after a fence or some words.

    One that goes on with a verdict may begin another only when it has closed an object.
    """
    return bool(re.search(r"""\{\s*["']?hate_speech""", text.partition("}")[0]))


def shares(logprobs, choices: Sequence[str]) -> list[float]:
    """How the words share the probability at the label's token, the same order, summing to 1.

    That is the only token of an answer that was begun, whatever it is, else the first that
    begins one of the words.  A word that a server does not list has at most what is left, and
    at most the least that is listed.  Empty where it gave none, or none above 0, or no label was
    reached.
    """
    content = getattr(logprobs, "content", None) or []
    for token in content:
        if any(_begins(token.token, word) for word in choices) or (
            len(content) == 1 and any(_whole(token, choices))
        ):
            return _shares(token, choices)
    return []


def said(text: str, choices: Sequence[str]) -> list[float]:
    """All to the choice that the text names first; empty if it names none."""
    places = {text.find(word): word for word in choices if word in text}
    return [float(word == places[min(places)]) for word in choices] if places else []


def schema(choices: Sequence[str]) -> dict:
    """The JSON schema of an answer that is a label alone."""
    return closed({"hate_speech": {"type": "string", "enum": list(choices)}})


def _top(token) -> dict[str, float]:
    listed = (token, *(token.top_logprobs or ()))
    return {t.token: math.exp(t.logprob) for t in listed if t.logprob is not None}


def _whole(token, choices: Sequence[str]) -> list[float]:
    top = _top(token)
    return [sum(p for t, p in top.items() if _bare(t).startswith(word)) for word in choices]


def _shares(token, choices: Sequence[str]) -> list[float]:
    top, listed = _top(token), _whole(token, choices)
    # "T" may begin "True" where a tokenizer has both, but a model that means "True" writes it
    # whole; beginnings count only where no whole word is listed.
    if not any(listed):
        listed = [sum(p for t, p in top.items() if _begins(t, word)) for word in choices]
    unlisted = min(*top.values(), max(0.0, 1 - sum(top.values())), 1.0)
    mass = [p or unlisted for p in listed]
    return [p / sum(mass) for p in mass] if top and sum(mass) else []


def _begins(token: str, word: str) -> bool:
    """Whether a token (perhaps with the quotation mark before it) begins the word."""
    bare = _bare(token)
    return bool(bare) and (word.startswith(bare) or bare.startswith(word))


def _bare(token: str) -> str:
    return token.lstrip(' "')
