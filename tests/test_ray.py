"""The ray engine: two workers on this machine against an endpoint; vLLM's side without vLLM."""

import json

import pytest
from endpoint import FaultyServer

from hsd_utils import engines, prompts, verdict
from hsd_utils.engines import Request, openai

pytest.importorskip("ray", reason="make test-full installs requirements-ray.txt")


def ask(number: int) -> Request:
    """Every other one is asked for its label alone."""
    messages = [{"role": "user", "content": f"post {number}"}]
    if number % 2:
        return Request(str(number), messages, prompts.prefill(), verdict.LABELS)
    return Request(str(number), messages, schema=verdict.json_schema(), max_tokens=50)


@pytest.mark.slow
def test_two_workers_answer_all_but_the_poison_post():
    faults = {
        "post 3": [429],
        "post 4": [500] * 40,
        "post 5": ["garbage"],
        "post 6": ["half"],
        "post 7": ["cut"],
        "post 8": ["none"],
    }
    asked = [ask(number) for number in range(20)]
    with FaultyServer(faults) as server:
        engine = engines.load("ray", "m", base_url=server.url, workers=2, batch=5, retries=2)
        answers = {answer.key: answer for answer in engine(asked)}
        assert list(engine([])) == []
    assert set(answers) == {request.key for request in asked}
    assert {key for key, answer in answers.items() if answer.finish == "failed"} == {"4"}
    # Each is what the openai engine makes of the same endpoint.
    with FaultyServer() as server:
        plain = engines.load("openai", "m", base_url=server.url)
        for same in plain(asked):
            if same.key != "4":
                found = answers[same.key]
                assert (found.text, found.finish) == (same.text, same.finish)
                assert found.probabilities == pytest.approx(same.probabilities)
    assert server.url in plain.identity["weights"] and engine.identity["engine"] == "ray"


@pytest.mark.slow
def test_an_endpoint_that_answers_nothing_is_an_error():
    asked = [ask(number) for number in range(4)]
    with FaultyServer({f"post {number}": [500] * 9 for number in range(4)}) as server:
        engine = engines.load("ray", "m", base_url=server.url, batch=2, retries=0)
        with pytest.raises(ConnectionError, match="none of 4 requests got through"):
            list(engine(asked))


def test_vllm_is_asked_for_what_an_endpoint_is_and_read_alike():
    from hsd_utils.engines import ray

    request = ask(1)
    row = ray._for_vllm({"key": "1", "body": json.dumps(openai.body(request, "m"))})
    assert row["messages"] == request.messages
    sampling = row["sampling_params"]
    assert sampling["logprobs"] == 20 and sampling["temperature"] == 0
    assert json.loads(sampling["structured_outputs"]["json"])["required"] == ["hate_speech"]
    # Ids of tokens come back as text and with gaps, as Arrow keeps maps.
    generated = {
        "generated_text": '{"hate_speech": "True"}',
        "generated_tokens": [5, 6],
        "num_input_tokens": 9,
        "num_generated_tokens": 2,
        "logprobs": [
            {"5": {"logprob": -0.1, "decoded_token": '{"'}, "7": None},
            {
                "8": {"logprob": -2.0, "decoded_token": "False"},
                "6": {"logprob": -0.2, "decoded_token": "True"},
            },
        ],
    }
    told = ray._of_vllm(row | generated)
    answer = openai.read(request, ray.ChatCompletion.model_validate_json(told["completion"]))
    assert answer.probabilities == pytest.approx([0.1419, 0.8581], abs=1e-4)
    assert (answer.prompt_tokens, answer.answer_tokens) == (9, 2)
    assert ray._of_vllm({"key": "1", "__inference_error__": "x"})["completion"] == ""


def test_vllm_s_processor_is_built_without_vllm(monkeypatch):
    from hsd_utils.engines import ray

    engine = ray.load("owner/model", workers=2, tensor_parallel=4, engine_kwargs={"dtype": "auto"})
    assert engine.config.engine_kwargs["tensor_parallel_size"] == 4
    assert engine.identity["weights"] and '"dtype": "auto"' in engine.identity["vllm"]
    built = ray.build_processor(engine.config, **engine.steps)
    assert "vLLMEngineStage" in built.list_stage_names()
