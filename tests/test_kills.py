"""Killed at random moments, a run ends with every answer once, and pays for few of them twice."""

import collections
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import FULL

from hsd_utils import paths

POSTS, BATCH, KILLS = 600, 8, 20 if FULL else 6

# Pays for a batch at once, as an engine does, and gives its answers one by one.
RUN = """
import itertools, random, sys, time
from fakes import FakeEngine
from hsd_utils import store
from hsd_utils.engines import Request
from hsd_utils.store import Store

store.ALONE = 99  # the kills are no post's doing

class Batched(FakeEngine):
    def __call__(self, requests):
        requests, paid = iter(requests), open(sys.argv[1], "ab", buffering=0)
        while batch := list(itertools.islice(requests, BATCH)):
            paid.write("".join(r.key + "\\n" for r in batch).encode())
            for request in batch:
                time.sleep(random.uniform(0.001, 0.004))
                yield self.answer(request)

requests = [
    Request(str(n), [{"role": "user", "content": f"<post>post {n}</post>"}]) for n in range(POSTS)
]
engine = Batched()
with Store.open(engine.identity) as store:
    assert len(store.collect(engine, requests)) == POSTS
""".replace("POSTS", str(POSTS)).replace("BATCH", str(BATCH))


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.jsonl"))


@pytest.mark.slow
def test_killed_at_random_moments_nothing_is_lost_and_little_paid_twice(tmp_path, faults):
    paid, answers = tmp_path / "paid", tmp_path / "answers"
    path = os.pathsep.join([str(paths.REPOSITORY), str(Path(__file__).parent)])
    places = {"HSD_CACHE": str(tmp_path), "PYTHONPATH": path}
    command, draw = [sys.executable, "-c", RUN, str(paid)], random.Random(0)
    whole = POSTS * 260 // (3 * KILLS)  # bytes a life may write: slow to be killed, all see work
    for _ in range(KILLS):
        process = subprocess.Popen(command, env=os.environ | places, stderr=subprocess.DEVNULL)
        enough = size(answers) + draw.uniform(0, whole)
        while size(answers) < enough and process.poll() is None:
            time.sleep(0.0005)
        time.sleep(draw.uniform(0, 0.004))
        assert process.poll() is None, "it ended before it could be killed"
        process.kill(), process.wait()
    subprocess.run(command, env=os.environ | places, check=True, stderr=subprocess.DEVNULL)

    (file,) = answers.glob("*.jsonl")
    records = [json.loads(line) for line in file.read_bytes().splitlines() if line.endswith(b"}")]
    stored = collections.Counter(record["key"] for record in records if "key" in record)
    times = collections.Counter(paid.read_text().split())
    twice = sum(times.values()) - POSTS
    faults |= {"kills": KILLS, "posts": POSTS, "lost": POSTS - len(stored)}
    faults |= {"paid_twice": twice, "paid_twice_at_most": KILLS * BATCH}
    assert len(stored) == len(times) == POSTS and set(stored.values()) == {1}
    assert 0 <= twice <= KILLS * BATCH


POISONED = """
import itertools, os, sys
from test_store import FakeEngine, ask, opened

class Fragile(FakeEngine):
    def __call__(self, requests):
        requests = iter(requests)
        while batch := list(itertools.islice(requests, 4)):
            if any("poison" in request.key for request in batch):
                if sys.argv[1] == "raise":
                    raise RuntimeError("the engine broke")
                os._exit(9)
            yield from map(self.answer, batch)

with opened() as store:
    posts = ["poison" * (n in (5, 9)) + f" post {n}" for n in range(12)]
    found = store.collect(Fragile(), [ask(post) for post in posts])
print(*(answer.finish for answer in found.values()))
"""


@pytest.mark.parametrize("end", ["raise", "exit"])
def test_posts_that_break_the_engine_are_left_out_after_some_tries(tmp_path, end):
    path = os.pathsep.join([str(paths.REPOSITORY), str(Path(__file__).parent)])
    places = os.environ | {"HSD_CACHE": str(tmp_path), "PYTHONPATH": path}
    command, lives = [sys.executable, "-c", POISONED, end], []
    while len(lives) < 12 and (not lives or lives[-1].returncode):
        lives.append(subprocess.run(command, env=places, capture_output=True, text=True))
    assert [life.returncode != 0 for life in lives] == [True] * 8 + [False]
    assert sorted(lives[-1].stdout.split()) == ["failed"] * 2 + ["stop"] * 10
    assert "ended the process several times" in lives[-1].stderr
    # It stays left out, and is tried again when somebody wants it.
    assert subprocess.run(command, env=places).returncode == 0
    (record,) = (tmp_path / "answers").glob("*.asked")
    record.unlink()
    assert subprocess.run(command, env=places, capture_output=True).returncode != 0
