"""Timing, with a clock made by hand; costs and savings by hand; one small model for real."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
from cells import code

from hsd_utils import engines, int8, prompts, timing

SPEC = {
    "engine": "openvino",
    "model": "SmolLM2-135M-Instruct",
    "engine_settings": {"batch": 2, "cache_gb": 1},
    "prompt": {},
    "trained": {"objective": "joint", "label_first": True},
    "constrained": False,
    "max_tokens": 40,
    "posts": {"1": 1, "2": 2},
}


@pytest.fixture
def clock(monkeypatch):
    """Time passes only where a test says so."""
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now.seconds)
    return now


def asker(clock, seconds):
    """Answers chunks, each in the next of ``seconds``; remembers them."""
    left, chunks = iter(seconds), []

    def ask(texts):
        clock.seconds += next(left)
        chunks.append(texts)
        return [SimpleNamespace(prompt_tokens=10, answer_tokens=len(text)) for text in texts]

    return ask, chunks


def test_batches_by_hand(clock):
    ask, chunks = asker(clock, [2.0, 4.0, 12.0])
    found = timing.batches(ask, ["aa", "bbbb"] * 3, 2)
    assert chunks == [["aa", "bbbb"]] * 3
    assert found == {
        "batch": 2,
        "posts": 6,
        "batches": 3,
        "p50": 2.0,  # seconds a post: 1, 2 and 6
        "p95": None,  # three batches have no 95th percentile
        "posts_per_second": 6 / 18,
        "prompt_tokens": 10.0,
        "answer_tokens": 3.0,
    }


def test_a_last_batch_that_is_not_full_counts_for_what_it_is(clock):
    ask, chunks = asker(clock, [4.0, 1.0])
    found = timing.batches(ask, list("abcde"), 4)
    assert [len(chunk) for chunk in chunks] == [4, 1]
    assert found["posts_per_second"] == pytest.approx(5 / 5.0) and found["p50"] == 1.0


def test_a_batch_that_no_posts_fill_is_refused():
    with pytest.raises(ValueError, match="batches of 32 take as many posts at least: raise posts"):
        timing.measure({"model": "m", "posts": {"1": 8, "32": 8}}, ["a post"] * 99)


def test_a_95th_percentile_needs_twenty_batches(clock):
    seconds = [1.0] * 19 + [100.0]
    assert timing.batches(asker(clock, seconds)[0], ["x"] * 20, 1)["p95"] == pytest.approx(5.95)
    assert timing.batches(asker(clock, seconds)[0], ["x"] * 19, 1)["p95"] is None


def test_costs_and_break_even_by_hand():
    found = timing.costs({"teacher": 3.6, "student": 0.36, "base": 0.36}, 2.0, 1800.0)
    assert found["per_1000_posts"] == pytest.approx({"teacher": 2.0, "student": 0.2, "base": 0.2})
    assert found["fixed"] == pytest.approx(1.0)
    volume = found["break_even_posts"]
    assert volume == pytest.approx(1000 / 1.8)
    assert volume * 3.6 == pytest.approx(1800 + volume * 0.36)
    slow = timing.costs({"teacher": 1.0, "student": 1.0}, 2.0, 1800.0)
    assert slow["break_even_posts"] is None


def test_savings_are_shares_of_what_the_teacher_takes():
    found = timing.savings({"teacher": 4.0, "student": 1.0}, {"teacher": 1000, "student": 140})
    assert found["time"] == {"here": 0.75, "paper": 0.54}
    assert found["memory"]["here"] == pytest.approx(0.86) and found["cost per post"]["here"] == 0.75
    alone = timing.savings({"student": 1.0}, {"student": 140})  # restored: no teacher to time
    assert all(saved["here"] is None for saved in alone.values())
    assert timing.costs({"student": 1.0}, 2.0, 1800.0)["break_even_posts"] is None
    apart = timing.savings({"teacher": 4.0, "student": 1.0}, {"teacher": None, "student": 140})
    assert apart["memory"]["here"] is None and apart["time"]["here"] == 0.75


def test_too_few_posts_are_said_before_anything_is_loaded():
    with pytest.raises(ValueError, match="7 posts, 8 needed to time SmolLM2-135M.*: lower posts"):
        timing.measure(SPEC, ["a post"] * 7)


def test_a_measurement_that_fails_says_why():
    with pytest.raises(RuntimeError, match="(?s)timing SmolLM2-135M.*unknown engine 'abacus'"):
        timing.measure(SPEC | {"engine": "abacus"}, ["a post"] * 8)


def test_a_model_is_timed_as_it_was_taught(monkeypatch):
    asked = []

    class Fake:
        batch, files, constrained, finish = 1, [], False, "stop"

        def __call__(self, requests):
            asked.extend(requests)
            answer = SimpleNamespace(prompt_tokens=1, answer_tokens=1, finish=self.finish)
            return [answer] * len(requests)

    monkeypatch.setattr(engines, "load", lambda *_, **settings: Fake())
    texts = [f"post number {n}" for n in range(8)]
    halves = SPEC | {"trained": {"objective": "task_prefix", "label_first": True}, "adapter": "s"}
    assert len(timing._main(halves, texts)["rows"]) == 4
    for request, text, task in zip(asked, texts, ["label"] * 4 + ["rationale"] * 4, strict=True):
        assert request.messages == prompts.student(text, task)
    last = SPEC | {"trained": {"objective": "joint", "label_first": False}}
    assert {row["mode"] for row in timing._main(last, texts)["rows"]} == {"with explanation"}
    for engine in timing.ELSEWHERE:
        assert timing._main(SPEC | {"engine": engine}, texts)["peak_bytes"] is None
    monkeypatch.setattr(Fake, "finish", "failed")
    with pytest.raises(RuntimeError, match="1 of 1 posts had no answer"):
        timing._main(SPEC, texts)


def test_a_model_that_runs_elsewhere_is_not_timed_in_the_common_engine():
    (cell,) = (source for source in code("05_efficiency") if "common = {" in source)
    known = {"timing": timing, "common_engine": "openvino", "common_settings": {}}
    known |= {"models": {e: {"engine": e} for e in ("openvino", "openai", "ray", "transformers")}}
    exec(cell[cell.index("common = {") :], known | {"common_posts": {}}, found := {})
    assert list(found["common"]) == ["transformers (openvino)"]


def test_a_process_has_a_peak_of_its_own_and_not_that_of_the_one_that_started_it():
    held = b"x" * 300_000_000
    code = "from hsd_utils import timing; print(timing.peak_bytes())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0 < int(told.stdout) < len(held) < timing.peak_bytes()


@pytest.mark.slow
def test_a_small_model_is_measured_in_a_process_of_its_own(small):
    found = timing.measure(SPEC, [f"post number {n}" for n in range(8)])
    kinds = [(r["mode"], r["batch"], r["posts"], r["batches"]) for r in found["rows"]]
    label, explained = timing.MODES
    assert kinds == [(label, 1, 1, 1), (label, 2, 2, 1), (explained, 1, 1, 1), (explained, 2, 2, 1)]
    weights = sum(file.stat().st_size for file in int8.of_gguf(small).iterdir())
    assert found["disk_bytes"] == weights < found["peak_bytes"]
    by = {(r["mode"], r["batch"]): r for r in found["rows"]}
    assert by[explained, 1]["answer_tokens"] > by[label, 1]["answer_tokens"] == 2
    assert by[explained, 1]["p50"] > by[label, 1]["p50"] > 0 and found["load_seconds"] > 0
