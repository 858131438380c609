"""What an endpoint's log-probabilities and texts say of a label, without an endpoint."""

import pytest

from hsd_utils import verdict
from hsd_utils.engines import labels


class Token:
    def __init__(self, token, logprob=0.0, top=()):
        self.token, self.logprob, self.top_logprobs = token, logprob, list(top)


def test_a_label_that_is_unlikely_where_it_should_come_is_looked_for_further_on():
    first, label = Token('{"'), Token("True", -0.1)
    first.top_logprobs = [Token('{"', -0.01), Token("True", -9.0)]
    label.top_logprobs = [Token("False", -2.4)]
    logprobs = type("Logprobs", (), {"content": [first, label]})
    assert labels.shares(logprobs, verdict.LABELS) == pytest.approx([0.091, 0.909], abs=1e-3)


@pytest.mark.parametrize(
    "top, shares",
    [
        ([("True", -1.0), ("False", -1.0)], [0.5, 0.5]),
        ([(' "True', -0.1)], [0.0952, 0.9048]),  # at most what is left
        ([("True", -0.1), ("x", -7.0), ("y", -8.0)], [0.0004, 0.9996]),  # or the least listed
        ([("T", -1.0), ("F", -2.0)], [0.2689, 0.7311]),
        ([("False", -1.0), ("Fal", -1.0), ("True", -1.0)], [0.5, 0.5]),  # whole words first
    ],
)
def test_shares_by_hand(top, shares):
    tokens = [Token(t, p) for t, p in top]
    tokens[0].top_logprobs = tokens[1:]
    logprobs = type("Logprobs", (), {"content": [Token('{"hate'), Token('":'), tokens[0]]})
    assert labels.shares(logprobs, verdict.LABELS) == pytest.approx(shares, abs=1e-3)


@pytest.mark.parametrize(
    "text, shares", [('{"hate_speech": "False", "True', [1, 0]), ("", []), ("I see", [])]
)
def test_what_is_said_first_counts(text, shares):
    assert labels.said(text, verdict.LABELS) == shares


@pytest.mark.parametrize(
    "text, anew",
    [
        ('vermin","explanation":"Calls them vermin."}]}', False),
        ('vermin","explanation":"Why."}]}\n{"hate_speech":"True"}', False),  # runs on
        ('{\n  "hate_speech": "False"}', True),
        ('Sure:\n```json\n{"hate_speech":"True"}', True),
    ],
)
def test_what_begins_anew(text, anew):
    assert labels.anew(text) == anew
