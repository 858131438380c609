"""What endpoints of other makes refuse, and log-probabilities that say nothing."""

import pytest
from endpoint import FaultyServer, open_, requests, weighing
from endpoint import quick as quick  # a fixture, for all

from hsd_utils import verdict

FILTERED = [
    (400, "Input data may contain inappropriate content. (data_inspection_failed)"),
    (403, "Your chosen model requires moderation and your input was flagged"),
    (422, "the content filter kept it out"),
]


@pytest.mark.parametrize("fault", FILTERED)
def test_a_post_that_a_filter_keeps_out_costs_that_post_alone(fault):
    with FaultyServer({"post 1": [fault]}) as server:
        answers = {answer.key: answer.finish for answer in open_(server)(requests(5))}
    assert answers.pop("1") == "failed" and set(answers.values()) == {"stop"}


def test_a_field_refused_as_unprocessable_is_left_out():
    with FaultyServer(schemas=False, status=422) as server:
        assert len(list(open_(server)(requests(3, schema=verdict.json_schema())))) == 3
        assert [a.probabilities[1] for a in open_(server)(weighing())] == pytest.approx([0.8] * 2)


@pytest.mark.parametrize("top", [("x", -9999.0), ("True", None)])
def test_log_probabilities_that_tell_nothing_leave_what_is_said(monkeypatch, top):
    monkeypatch.setattr(FaultyServer, "_top", staticmethod(lambda: [top]))
    with FaultyServer() as server:
        assert [answer.probabilities for answer in open_(server)(weighing())] == [[0, 1]] * 2


def test_a_token_without_its_rivals_has_what_it_tells():
    with FaultyServer(logprobs="alone") as server:
        found = [answer.probabilities[1] for answer in open_(server)(weighing())]
    assert found == pytest.approx([0.8] * 2)


def test_where_none_are_given_a_label_is_asked_for_once():
    with FaultyServer(begins=True, logprobs=False) as server:
        engine = open_(server, concurrency=1)
        assert len(list(engine(weighing(5)))) == 5
    assert sum(server.asked.values()) == 6  # the first one both ways


def test_an_empty_key_is_none(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "")
    with FaultyServer() as server:
        assert len(list(open_(server)(requests(1)))) == 1
