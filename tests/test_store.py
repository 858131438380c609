"""The store of answers: nothing paid for twice, nothing lost, nothing stale."""

import json
import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import FakeEngine

from hsd_utils import paths, verdict
from hsd_utils.engines import Answer, Request
from hsd_utils.store import Store, key


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HSD_CACHE", str(tmp_path))
    return tmp_path / "answers"


def ask(post: str, key: str | None = None, **more) -> Request:
    return Request(key or post, [{"role": "user", "content": f"<post>{post}</post>"}], **more)


def opened(engine: FakeEngine | None = None) -> Store:
    return Store.open((engine or FakeEngine()).identity)


def lines(cache: Path) -> list[bytes]:
    (file,) = cache.glob("*.jsonl")
    return file.read_bytes().splitlines(keepends=True)


REQUESTS = [ask(f"post {n}") for n in range(6)]


def test_an_interrupted_run_goes_on_without_repeating():
    class Stopped(FakeEngine):
        def answer(self, request):
            return super().answer(request) if len(self.asked) < 4 else sys.exit(1)

    second, third = FakeEngine(), FakeEngine()
    with pytest.raises(SystemExit), opened() as store:
        store.collect(Stopped(), REQUESTS)
    with opened() as store:
        answers = store.collect(second, REQUESTS)
    assert second.asked == REQUESTS[3:]
    assert answers == {r.key: FakeEngine().answer(r) for r in REQUESTS}
    with opened() as store:
        assert store.collect(third, REQUESTS) == answers and third.asked == []
        assert list(store.answers(third, [])) == []


def test_the_header_spells_the_identity_and_comes_once(cache):
    engine = FakeEngine()
    for request in REQUESTS[:2]:
        with opened(engine) as store:
            store.collect(engine, [request])
    assert json.loads(lines(cache)[0]) == {"identity": engine.identity}
    assert len(lines(cache)) == 3
    assert next(cache.glob("*.jsonl")).name.startswith("m-fake-")  # no folder for the hub's owner


@pytest.mark.parametrize("keep", [1, 40, -2, -1])
def test_a_line_cut_by_a_crash_is_set_aside_and_the_next_is_whole(cache, caplog, keep):
    with opened() as store:
        store.collect(FakeEngine(), REQUESTS[:3])
    *whole, last = lines(cache)
    store.path.write_bytes(b"".join(whole) + last[:keep])  # -1: all of it but the line feed
    engine = FakeEngine()
    with opened() as store:
        assert len(store.offsets) == 2 and "1 damaged line(s) skipped" in caplog.text
        store.collect(engine, REQUESTS[:4])
    assert [r.key for r in engine.asked] == ["post 2", "post 3"]
    with opened() as store:
        assert store.collect(engine, REQUESTS[:4]) and len(engine.asked) == 2
    assert lines(cache)[: len(whole)] == whole


def test_garbled_lines_in_the_middle_are_skipped_and_counted(cache, caplog):
    with opened() as store:
        store.collect(FakeEngine(), REQUESTS)
    found = lines(cache)
    garbled = [b"\xff\x00\xfe garbage\n", b'{"key": "a", \n', b"[1, 2]\n", b"7\n", b"\x00" * 8]
    found[2] = b"\x00" * len(found[2][:-1]) + b"\n"  # what a file system may leave of a block
    store.path.write_bytes(b"".join(found[:4] + garbled[:4] + found[4:] + [garbled[4]]))
    engine = FakeEngine()
    with opened() as store:
        assert "6 damaged line(s) skipped" in caplog.text
        assert len(store.collect(engine, REQUESTS)) == 6
    assert [r.key for r in engine.asked] == ["post 1"]


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}
SWAPPED = {**SCHEMA, "properties": dict(reversed(SCHEMA["properties"].items()))}


def test_whatever_shapes_an_answer_shapes_its_key():
    request = ask("a post", schema=SCHEMA)
    others = [
        replace(request, messages=[{"role": "system", "content": "Mind."}, *request.messages]),
        replace(request, messages=[{**request.messages[0], "role": "assistant"}]),
        replace(request, prefill="{"),
        replace(request, choices=verdict.LABELS),
        replace(request, choices=verdict.LABELS[::-1]),  # probabilities come in their order
        replace(request, schema=None),
        replace(request, schema=SWAPPED),  # the order in which a model writes the keys
        replace(request, max_tokens=7),
    ]
    with opened() as store:
        store.put(request, Answer("x", "the text", 1, 2, 3.0, "stop"))
        assert not any(store.get(other) for other in others)
        # Who asks does not shape it: the answer comes back under the asker's key.
        assert store.get(replace(request, key="y")) == Answer("y", "the text", 1, 2, 3.0, "stop")
        for n, other in enumerate(others):
            store.put(other, Answer("x", str(n), 1, 2, 3.0, "stop"))
        assert [store.get(other).text for other in others] == [str(n) for n in range(len(others))]


def test_another_identity_has_answers_of_its_own(cache):
    engine, other = FakeEngine(), FakeEngine()
    with opened(engine) as store:
        store.collect(engine, REQUESTS[:1])
    other.identity = {**engine.identity, "weights": ["1"]}
    with opened(other) as store:
        assert len(store.offsets) == 0
    # The same said in another order is the same.
    other.identity = dict(reversed(engine.identity.items()))
    with opened(other) as store:
        assert len(store.offsets) == 1 and len(list(cache.glob("*.jsonl"))) == 2


def test_two_requests_that_ask_the_same_are_asked_once_and_paid_once():
    engine = FakeEngine()
    twins = [ask("same", "a"), ask("same", "b"), ask("other", "c"), ask("same", "d")]
    with opened() as store:
        answers = store.collect(engine, twins)
        assert [r.key for r in engine.asked] == ["a", "c"]
        with pytest.raises(ValueError, match="two requests share a key"):
            store.collect(engine, [ask("one", "a"), ask("two", "a")])
    assert {k: v.key for k, v in answers.items()} == {k: k for k in "abcd"}
    assert [answers[k].seconds for k in "abcd"] == [0.5, 0.0, 0.5, 0.0]


def test_a_session_without_them_does_not_forget_which_posts_ended_the_process(cache):
    with opened() as store:
        asked = store.asked
    asked.write_text(f"{key(ask('bad'))}\n" * 2)
    with opened() as store:  # asks about others
        assert store.deaths.total() == 2 and store.collect(FakeEngine(), REQUESTS[:2])
    with opened() as store:
        assert store.deaths.total() == 2 and store.collect(FakeEngine(), [ask("bad")])
    with opened() as store:  # it was asked about, and no harm done
        assert not store.deaths and not store.asked.exists()


def test_what_did_not_fit_is_asked_again_of_a_larger_engine():
    with opened() as store:
        answer = store.collect(FakeEngine(ends={"post 0": "too long"}), REQUESTS[:2])["post 0"]
        assert answer.finish == "too long"
    larger = FakeEngine()  # its cache is no part of its identity
    with opened() as store:
        assert store.collect(larger, REQUESTS[:2])["post 0"].finish == "stop"
    assert [r.key for r in larger.asked] == ["post 0"]


def test_odd_characters_survive():
    odd = "a\0b \u2028 \x85 \r\n \U0001f600 \u202e"
    with opened() as store:
        for text in (odd, "half \ud800"):
            store.put(ask(text), Answer("x", text, 1, 1, 0.0, "stop"))
        assert [store.get(ask(f"half {c}")) for c in "\udfff?"] == [None, None]
    with opened() as store:
        assert len(store.offsets) == 2 and store.get(ask(odd)).text == odd
        assert store.get(ask("half \ud800")).text == "half ?"


@contextmanager
def disk_of(size: int):
    """Lets no file grow beyond ``size``: a write takes what fits, the next one fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_the_file_whole_and_says_what_to_do(cache):
    engine = FakeEngine()
    with opened() as store:
        store.collect(engine, REQUESTS[:2])
        before = b"".join(lines(cache))
        with pytest.raises(OSError, match="free some space and rerun") as caught:
            with disk_of(len(before) + 20):
                store.put(REQUESTS[2], engine.answer(REQUESTS[2]))
        assert caught.value.filename == str(store.path)
        assert b"".join(lines(cache)) == before and store.get(REQUESTS[2]) is None
        store.collect(engine, REQUESTS[:3])
    with opened() as store:
        assert len(store.offsets) == 3 and store.collect(engine, REQUESTS[:3])
    assert len(engine.asked) == 3


WRITER = """
import sys, time
from test_store import REQUESTS, FakeEngine, ask, opened

class Slow(FakeEngine):
    def answer(self, request):
        time.sleep(0.002)
        return super().answer(request)

with opened() as store:
    print("open", flush=True)
    store.collect(Slow(), [ask(f"post {n} " + "long " * 400) for n in range(int(sys.argv[1]))])
    if sys.argv[2:]:
        time.sleep(60)
"""


def writer(*arguments) -> subprocess.Popen:
    """Another process that stores answers; it has the store open when this returns."""
    path = os.pathsep.join([str(paths.REPOSITORY), str(Path(__file__).parent)])
    command = [sys.executable, "-c", WRITER, *map(str, arguments)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": path}, **streams)
    assert process.stdout.readline() == "open\n"
    return process


def test_a_second_process_is_refused_and_told_who_was_first():
    process = writer(0, "stay")
    with pytest.raises(RuntimeError, match=f"in use by process {process.pid}: wait for it or stop"):
        opened()
    process.kill(), process.wait()
    with opened() as store:  # a lock dies with its process
        assert store.owner.read_text() == str(os.getpid())
        with pytest.raises(RuntimeError, match=f"in use by process {os.getpid()}"):
            opened()
    assert not store.owner.exists()
