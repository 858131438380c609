"""Both engines on the smallest model: the same probabilities, and answers that hold."""

import json
import re
from dataclasses import replace
from functools import partial

import pytest
from conftest import SMALL

from hsd_utils import copying, engines, int8, prompts, verdict
from hsd_utils.engines import Request

POSTS = [
    "I love my neighbours.",
    "They are vermin and must go, all of them, before they take what is left of our town.",
    "Lovely weather \U0001f31e today!",
    "What a boring match that was; the second half nearly put me to sleep, honestly.",
    "go back to where you came from",
]


@pytest.fixture(scope="module")
def openvino(small):
    return engines.load("openvino", SMALL, batch=3, cache_gb=1)


@pytest.fixture(scope="module")
def transformers(small):
    return engines.load("transformers", SMALL, batch=3)


@pytest.fixture(params=["openvino", "transformers"])
def engine(request):
    return request.getfixturevalue(request.param)


def weigh(texts=POSTS, converse=prompts.student, **more) -> list[Request]:
    begun = {"prefill": prompts.prefill(), "choices": verdict.LABELS} | more
    return [Request(str(n), converse(text), **begun) for n, text in enumerate(texts)]


def shares(engine, requests) -> dict[str, float]:
    answers = list(engine(requests))
    assert all(a.finish == "choices" and a.text == "" for a in answers)
    assert all(sum(a.probabilities) == pytest.approx(1) for a in answers)
    return {a.key: a.probabilities[1] for a in answers}


def write(texts=POSTS, **more) -> list[Request]:
    return [Request(str(n), prompts.student(t), **more) for n, t in enumerate(texts)]


def test_both_engines_read_like_probabilities_in_the_order_of_the_choices(openvino, transformers):
    # OpenVINO rounds what goes into a matrix to 8 bits.
    one, other = shares(openvino, weigh()), shares(transformers, weigh())
    assert one == pytest.approx(other, abs=0.1) and set(one) == set("01234")
    assert len(set(one.values())) == len(POSTS)  # read from the post
    for request in weigh():
        assert openvino._tokens(openvino._prompt(request)) == transformers._prompt(request)
    # Asked of a nearly certain model, so that order cannot be mixed up unseen.
    sure = [{"role": "user", "content": 'Say "True". Only say "True".'}]
    request = Request("x", sure, prefill='"', choices=("False", "True"))
    swapped = replace(request, choices=("True", "False"))
    for engine in (openvino, transformers):
        ((right,), (wrong,)) = [list(engine([r])) for r in (request, swapped)]
        assert right.probabilities == pytest.approx(wrong.probabilities[::-1], abs=0.02)
        assert right.probabilities[1] > 0.6


def test_the_order_and_the_company_of_requests_do_not_matter(engine):
    requests = weigh()
    together = shares(engine, requests)
    backwards = shares(engine, requests[::-1])
    alone = {r.key: shares(engine, [r])[r.key] for r in requests[:2]}
    # More posts than a batch takes, of one token each: all finish in the same step.
    assert set(together) == set("01234") and engine.batch < len(requests)
    assert together == pytest.approx(backwards, abs=0.05)
    assert {k: together[k] for k in alone} == pytest.approx(alone, abs=0.05)


def test_a_beginning_that_prompts_share_is_computed_once_and_changes_nothing(small, monkeypatch):
    opened = engines.load("transformers", SMALL, batch=2)
    opened.model.float()  # so that a place in a batch is no excuse
    labels = weigh(POSTS[:3], partial(prompts.teacher, shots=2))
    asked = labels, [Request(r.key, r.messages, max_tokens=6) for r in labels]
    lengths, forward = [], opened.model.forward

    def watched(**inputs):
        lengths.append(inputs["input_ids"].shape[1])
        return forward(**inputs)

    monkeypatch.setattr(opened.model, "forward", watched)
    one = shares(opened, asked[0])
    assert lengths[0] > 200 and max(lengths[1:]) < 120  # then the posts alone, twice
    said = {a.key: (a.text, a.prompt_tokens) for a in opened(asked[1])}
    monkeypatch.setattr("hsd_utils.engines.transformers.MIN_PREFIX", 10**6)
    assert one == pytest.approx(shares(opened, asked[0]), abs=1e-4)
    assert said == {a.key: (a.text, a.prompt_tokens) for a in opened(asked[1])}


def test_a_prefill_begins_the_text_and_max_tokens_end_it(engine):
    begun = prompts.prefill(1)
    (answer,) = engine([Request("k", prompts.student(POSTS[0]), prefill=begun, max_tokens=7)])
    assert answer.key == "k" and answer.text.startswith(begun) and len(answer.text) > len(begun)
    assert (answer.finish, answer.answer_tokens, answer.probabilities) == ("length", 7, [])
    assert answer.prompt_tokens > 20 and answer.seconds > 0


def test_both_engines_write_the_same_at_first(openvino, transformers):
    begun = "The capital of France is"  # left alone, its first words are nearly a tie
    asked = [Request("k", [{"role": "user", "content": "Capital of France?"}], prefill=begun)]
    (one,), (other,) = openvino(asked), transformers(asked)
    assert one.text[:30] == other.text[:30] and "Paris" in one.text
    for answer in (one, other):
        assert answer.finish == "stop" and "<|" not in answer.text
    assert one.prompt_tokens == other.prompt_tokens


def test_no_request_no_answer_and_one_answer_a_request_when_kinds_are_mixed(engine):
    assert list(engine([])) == []
    mixed = weigh(POSTS[:2]) + [replace(r, key=f"w{r.key}") for r in write(POSTS[:2], max_tokens=3)]
    answers = list(engine(mixed))
    assert sorted(a.key for a in answers) == sorted(r.key for r in mixed)
    assert {a.key for a in answers if a.finish == "choices"} == set("01")


def test_a_schema_holds_and_so_does_a_given_label(openvino, monkeypatch):
    monkeypatch.setattr(verdict, "MAX_LENGTH", 30)
    requests = write(POSTS[:3], schema=verdict.json_schema())
    given = verdict.json_schema(label=1, label_first=False)
    requests += [Request("given", prompts.student(POSTS[0]), schema=given)]
    finished = [a for a in openvino(requests) if a.finish == "stop"]
    assert len(finished) >= 3  # a small model may run on in white space
    for answer in finished:
        found = json.loads(answer.text)
        keys = ["hate_speech", "explanations"]
        assert list(found) == (keys[::-1] if answer.key == "given" else keys)
        assert verdict.parse(answer.text).explanations and not verdict.parse(answer.text).repaired
        assert answer.key != "given" or found["hate_speech"] == "True"


def test_a_grammar_lets_a_model_quote_the_post_alone(openvino):
    requests = [
        Request(str(n), prompts.student(text), schema=copying.grammar(text, 1), max_tokens=90)
        for n, text in enumerate(POSTS[:3])
    ]
    for answer in openvino(requests):  # an untrained model may explain on and on
        assert answer.text.startswith('{"hate_speech":"True","explanations":[{"input":"')
        quotes = re.findall(r'"input":("(?:[^"\\]|\\.)*")', answer.text)
        assert quotes and all(json.loads(quote) in POSTS[int(answer.key)] for quote in quotes)


def test_transformers_refuses_a_schema_and_choices_it_cannot_tell_apart(transformers):
    assert openvino_is_constrained() and not transformers.constrained
    with pytest.raises(ValueError, match="cannot hold an answer to a schema"):
        list(transformers(write(schema=verdict.json_schema())))
    with pytest.raises(ValueError, match="begin with the same token"):
        list(transformers(weigh(choices=("True", "True story"))))


def openvino_is_constrained():
    from hsd_utils.engines.openvino import OpenVINO

    return OpenVINO.constrained


def test_an_interrupted_run_leaves_the_engine_usable(openvino):
    expected = shares(openvino, weigh())
    for stop_after in (1, 2):
        answers = openvino(write(max_tokens=40))
        for _ in range(stop_after):
            next(answers)
        answers.close()
        assert shares(openvino, weigh()) == pytest.approx(expected, abs=0.02)
    answers = list(openvino(write(POSTS[:2], max_tokens=3)))
    assert sorted(a.key for a in answers) == ["0", "1"]


@pytest.fixture(scope="module")
def cramped(small):
    """An engine whose cache takes a few hundred tokens; its setting counts in gigabytes."""
    import openvino_genai

    class Tiny(openvino_genai.SchedulerConfig):
        cache_size = property(lambda _: 0, lambda self, _: setattr(self, "num_kv_blocks", 20))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openvino_genai, "SchedulerConfig", Tiny)
        return engines.load("openvino", SMALL, batch=3)


@pytest.mark.parametrize("kind", ["choices", "text"])
@pytest.mark.parametrize("place", [0, 1])
def test_a_prompt_larger_than_the_cache_is_said_and_the_others_are_answered(cramped, kind, place):
    texts = POSTS[:2]
    requests = weigh(texts) if kind == "choices" else write(texts, max_tokens=3)
    endless = [{"role": "user", "content": "so very " * 1000}]
    requests.insert(place, replace(requests[0], key="endless", messages=endless))
    answers = {a.key: a for a in cramped(requests)}
    assert set(answers) == {"0", "1", "endless"}
    found = answers["endless"]
    assert (found.finish, found.text, found.probabilities) == ("too long", "", [])
    assert found.prompt_tokens > 2000 and found.answer_tokens == 0
    assert all(answers[k].finish in ("choices", "length") for k in "01")


def test_identities_tell_engines_and_weights_apart(openvino, transformers, small):
    for engine in (openvino, transformers):
        assert engine.identity["model"] == SMALL and engine.identity["version"]
        assert all(len(digest) == 64 for digest in engine.identity["weights"])
        json.dumps(engine.identity)
    assert openvino.identity["engine"] == "openvino"
    assert openvino.files == sorted(int8.of_gguf(small).iterdir())
    assert openvino.identity["precision"] == "int8 rows, activations by 0"
    assert transformers.identity["precision"] == "bfloat16"
    assert sum(file.stat().st_size for file in transformers.files) > 200e6


def test_what_cannot_be_opened_is_refused_by_name():
    with pytest.raises(ValueError, match="unknown engine 'abacus': one of openai, openvino"):
        engines.load("abacus", SMALL)
    with pytest.raises(ValueError, match="write it like http://localhost:8000/v1"):
        engines.load("openai", SMALL)
    for engine in ("openvino", "transformers"):
        with pytest.raises(ValueError, match="use one of SmolLM2-135M-Instruct"):
            engines.load(engine, "SmolLM9")
    with pytest.raises(ValueError, match="owner/model has no GGUF weights: use the transformers"):
        engines.load("openvino", "owner/model")
    import torch

    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="four_bit needs a CUDA GPU"):
            engines.load("transformers", SMALL, four_bit=True)
