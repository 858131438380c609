"""The openai engine against a server that fails in every way there is."""

import random

import pytest
from conftest import FULL
from endpoint import FaultyServer, open_, requests, weighing
from endpoint import quick as quick  # a fixture, for all

from hsd_utils import engines, prompts, verdict
from hsd_utils.engines import openai
from hsd_utils.engines.budget import OverBudget
from hsd_utils.store import Store

FAULTS = [408, 409, 429, 500, 502, 503, "cut", "garbage", "half", "none", "two"]


def test_answers_come_with_counts_and_time(capsys):
    with FaultyServer() as server:
        schema = verdict.json_schema()
        answers = {a.key: a for a in open_(server)(requests(9, schema=schema, max_tokens=50))}
    assert set(answers) == set("012345678") and server.most <= 4
    for key, answer in answers.items():
        assert verdict.parse(answer.text).label == 1 and answer.finish == "stop"
        assert f"post {key}"[:5] in answer.text
        assert (answer.prompt_tokens, answer.answer_tokens) == (10, 5) and answer.seconds > 0
    body = server.bodies[0]
    assert body["temperature"] == 0 and body["max_tokens"] == 50
    assert body["response_format"]["json_schema"]["schema"] == schema
    said = capsys.readouterr().err
    assert f"9 requests go to {server.url}: about 13 tokens there, at most 450 back, 0.0 m" in said
    assert server.keys == {"Bearer secret-key"} and "secret-key" not in said


def test_an_engine_is_asked_again_and_again():
    with FaultyServer() as server:
        engine = open_(server)
        assert len(list(engine(requests(2)))) == len(list(engine(requests(2)))) == 2
        assert list(engine([])) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_passes_costs_nothing(fault):
    with FaultyServer({"post 1": [fault, fault]}) as server:
        answers = {a.key: a for a in open_(server)(requests())}
    assert {a.finish for a in answers.values()} == {"stop"} and len(answers) == 6
    assert server.asked["post 1"] == 3 and set(server.paid.values()) == {1}


@pytest.mark.parametrize("fault", [408, 429, 500, "cut", "garbage", "half", "none"])
def test_a_post_that_always_fails_is_counted_and_left(fault, tmp_path):
    with FaultyServer({"post 1": [fault] * 99}) as server, Store(tmp_path / "s.jsonl") as store:
        answers = store.collect(open_(server), requests())
        assert server.asked["post 1"] == 4  # once and three retries
        assert answers.pop("1").finish == "failed" and len(answers) == 5
        assert {a.finish for a in answers.values()} == {"stop"}
        server.faults.clear()
        assert store.collect(open_(server), requests())["1"].finish == "stop"
        assert set(server.paid.values()) == {1}  # a rerun pays for what is missing only


@pytest.mark.parametrize("begins", [False, True])
@pytest.mark.parametrize("said", ["maximum context length is 8", "content_filter: left out"])
def test_a_post_that_is_refused_for_itself_costs_the_others_nothing(said, begins):
    with FaultyServer({"post 1": [(400, said)] * 99}, begins=begins) as server:
        more = {"prefill": prompts.prefill(1)} if begins else {}
        answers = {a.key: a for a in open_(server)(requests(**more))}
    assert answers.pop("1").finish == "failed" and server.asked["post 1"] == 1
    assert len(answers) == 5 and {a.finish for a in answers.values()} == {"stop"}


def test_every_post_comes_through_a_storm_of_faults(faults):
    posts, draw = 300 if FULL else 40, random.Random(1)
    kinds = [*FAULTS, "hang"]
    plan = {f"post {i}": draw.choices(kinds, k=draw.randint(1, 3)) for i in range(posts)}
    with FaultyServer(plan) as server:
        engine = open_(server, concurrency=16, timeout=2, retries=4, deadline=60)
        answers = list(engine(requests(posts)))
    assert len(answers) == posts and {a.finish for a in answers} == {"stop"}
    assert len(server.paid) == posts and set(server.paid.values()) == {1}
    tried = sum(len(planned) for planned in plan.values())
    left = sum(len(planned) for planned in server.faults.values())
    faults["endpoint_faults"] = {"tried": tried, "survived": tried - left}


def test_a_request_that_hangs_ends_at_its_deadline():
    with FaultyServer({"post 0": ["hang"] * 9}) as server:
        answers = {a.key: a for a in open_(server, timeout=1, deadline=3)(requests(3))}
    assert answers["0"].finish == "failed" and answers["2"].finish == "stop"


def test_an_endpoint_where_nothing_gets_through_stops_the_run():
    faults = {f"post {i}": [500] * 9 for i in range(40)}
    with FaultyServer(faults) as server:
        with pytest.raises(ConnectionError, match="12 requests in a row failed"):
            list(open_(server, retries=0)(requests(40)))
        assert len(server.asked) < 25


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_no_retry_can_mend_is_raised_at_once(status):
    with FaultyServer({"post 0": [status] * 9}) as server:
        with pytest.raises(RuntimeError, match=f"the endpoint refuses: .*fault {status}"):
            list(open_(server)(requests(1)))
        assert server.asked["post 0"] == 1


def test_a_server_that_is_not_there_is_said(caplog):
    with FaultyServer() as server:
        pass
    engine = open_(server, retries=0)
    answers = list(engine(requests(2)))
    assert [a.finish for a in answers] == ["failed", "failed"]
    assert "0: no answer (Connection error.)" in caplog.text
    with pytest.raises(ConnectionError):
        list(engine(requests(40)))


def test_p_hate_is_read_at_the_label_token():
    with FaultyServer() as server:
        answers = list(open_(server)(weighing()))
    for answer in answers:
        assert answer.probabilities == pytest.approx([0.2, 0.8]) and answer.finish == "choices"
    assert server.bodies[0]["top_logprobs"] == 20 and server.bodies[0]["max_tokens"] < 20


def test_p_hate_is_read_where_the_answer_was_begun_if_the_server_goes_on_with_it():
    with FaultyServer(begins=True) as server:
        answers = list(open_(server)(weighing()))
        assert [a.probabilities for a in answers] == [pytest.approx([0.2, 0.8])] * 2
    for body in server.bodies:
        assert body["messages"][-1] == {"role": "assistant", "content": prompts.prefill()}
        assert body["continue_final_message"] and body["max_tokens"] == 1
        assert "response_format" not in body
    assert len(server.bodies) == 2
    with FaultyServer(begins=False) as server:
        engine = open_(server, concurrency=1)
        assert len(list(engine(weighing(6)))) == 6
    assert len(server.bodies) == 7  # it is asked once whether it does


@pytest.mark.parametrize("begins", [True, "anew"])  # anew, it happens to begin so too
def test_an_answer_that_was_begun_is_gone_on_with_and_comes_whole(begins):
    begun = prompts.prefill(1)
    with FaultyServer(begins=begins) as server:
        answers = list(open_(server)(requests(3, prefill=begun, max_tokens=50)))
    assert [a.finish for a in answers] == ["stop"] * 3
    for answer in answers:
        found = verdict.parse(answer.text)
        assert (found.label, found.repaired) == (1, False) and answer.text.startswith(begun)
    for body in server.bodies:
        assert body["messages"][-1] == {"role": "assistant", "content": begun}
        assert body["continue_final_message"] and body["max_tokens"] == 50
        assert "response_format" not in body


@pytest.mark.parametrize("begins", [False, "anew"])
def test_an_answer_that_was_begun_is_refused_where_the_server_begins_another(begins):
    asked = requests(3, prefill=prompts.prefill(0))
    with FaultyServer(begins=begins) as server:
        with pytest.raises(RuntimeError, match="gone on with here: set constrained"):
            list(open_(server)(asked))
    with pytest.raises(RuntimeError, match="gone on with"):  # the ray engine sends no turn
        openai.body(asked[0], "m")


def test_a_completion_of_no_use_is_paid_for_too():
    with FaultyServer(begins="anew") as server:
        engine = open_(server)
        assert [a.probabilities for a in engine(weighing(3))] == [pytest.approx([0.2, 0.8])] * 3
    assert len(server.bodies) == 6 and engine.budget.tokens == [6 * 10, 6 * 5]


def test_without_log_probabilities_p_hate_is_what_is_said(capsys):
    with FaultyServer(logprobs=False) as server:
        assert [a.probabilities for a in open_(server)(weighing())] == [[0.0, 1.0]] * 2
    assert capsys.readouterr().err.count("P(hate) is 0 or 1") == 1


def test_a_server_without_schemas_is_asked_without(capsys):
    with FaultyServer(schemas=False) as server:
        answers = list(open_(server)(requests(6, schema=verdict.json_schema())))
    assert len(answers) == 6 and "response_format" not in server.bodies[-1]
    assert "note: the endpoint refuses JSON schemas" in capsys.readouterr().err


@pytest.mark.parametrize(
    "limit, said",
    [({"max_tokens_total": 45}, "45 tokens used of max_tokens_total 45"),
     ({"max_cost": 3e-5, "price_in": 0.5, "price_out": 1.0}, "0.0000 spent of max_cost 3e-05")],
)  # fmt: skip
def test_a_spent_budget_stops_cleanly_and_goes_on(tmp_path, limit, said):
    with FaultyServer() as server, Store(tmp_path / "s.jsonl") as store:
        with pytest.raises(OverBudget, match=f"{said}.*raise it and rerun"):
            store.collect(open_(server, concurrency=1, **limit), requests(20))
        assert 3 <= len(store.offsets) <= 4
        answers = store.collect(open_(server), requests(20))
        assert len(answers) == 20 and set(server.paid.values()) == {1}


def test_limits_where_no_tokens_are_counted_are_said_to_be_none(capsys, monkeypatch):
    shell, said = (
        FaultyServer._shell,
        "counts no tokens: max_cost and max_tokens_total stop nothing",
    )
    uncounted = staticmethod(lambda post: shell(post) | {"usage": None})
    monkeypatch.setattr(FaultyServer, "_shell", uncounted)
    with FaultyServer() as server:
        assert len(list(open_(server)(requests(3)))) == 3 and said not in capsys.readouterr().err
        assert len(list(open_(server, max_cost=5.0)(requests(3)))) == 3
    assert capsys.readouterr().err.count(said) == 1


NO_ADDRESS = ["localhost:8000", "ftp://x", "https://s3cret@host/v1", "", "http://:s3cret@host"]
NO_ADDRESS += ["http://host/v1?api_key=s3cret", "http://host/v1#s3cret"]


@pytest.mark.parametrize("url", NO_ADDRESS)
def test_an_address_that_is_none_is_refused_and_no_key_repeated(url):
    with pytest.raises(ValueError, match="write it like") as refused:
        engines.load("openai", "m", base_url=url)
    assert "s3cret" not in str(refused.value)


def test_a_caller_that_stops_listening_leaves_nothing_running():
    with FaultyServer() as server:
        answers = open_(server, concurrency=1)(requests(50))
        next(answers)
        answers.close()
        assert sum(server.asked.values()) < 10
