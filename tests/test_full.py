"""What only make test-full has the time for: real servers, real engines and training, killed."""

import collections
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import FULL, SMALL

from hsd_utils import engines, paths, prompts, verdict
from hsd_utils.engines import Request
from hsd_utils.store import Store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FULL, reason="minutes: part of make test-full"),
]
POSTS = [
    f"The {colour} {thing} came late today."
    for colour in ("red", "blue", "old", "new")
    for thing in ("bus", "train", "letter", "cat", "friend")
]
TESTS = Path(__file__).parent
PYTHON = {"PYTHONPATH": os.pathsep.join([str(paths.REPOSITORY), str(TESTS)])}


def asked() -> list[Request]:
    """Each post twice: for its label alone, and for a whole answer."""
    label = {"prefill": prompts.prefill(), "choices": verdict.LABELS}
    whole = {"schema": verdict.json_schema(), "max_tokens": 120}
    return [
        Request(f"{kind} {n}", prompts.student(text), **how)
        for n, text in enumerate(POSTS)
        for kind, how in (("label", label), ("whole", whole))
    ]


def test_a_real_server_answers_every_post_and_holds_to_the_schema(small, tmp_path, monkeypatch):
    from hsd_utils.bench.inference import llama_server

    monkeypatch.setenv("HSD_CACHE", str(paths.cache()))
    with llama_server(SMALL, slots=4) as address:
        engine = engines.load("openai", SMALL, base_url=address, concurrency=4)
        store = Store(tmp_path / "answers.jsonl")
        with store:
            answers = store.collect(engine, asked())
            again = store.collect(engines.load("openai", SMALL, base_url=address), asked())
    assert again == answers and len(answers) == 2 * len(POSTS)
    local = {a.key: a for a in engines.load("openvino", SMALL)(asked()[::2])}
    for key, answer in answers.items():
        assert answer.prompt_tokens > 20
        if key in local:
            assert sum(answer.probabilities) == pytest.approx(1)
            assert answer.probabilities == pytest.approx(local[key].probabilities, abs=0.2)
        elif answer.finish == "stop":
            assert verdict.parse(answer.text).label in (0, 1)


# The same requests with the real engine; what is stored is printed by a last, whole life.
LABEL = """
from hsd_utils import engines
from hsd_utils.store import Store
from conftest import SMALL
from test_full import asked
engine = engines.load("openvino", SMALL)
with Store.open(engine.identity) as store:
    store.collect(engine, asked())
"""


def lives(script, words, folder, kills, seen, draw, within=2.0, **environment) -> int:
    """Run a script and kill it at random, ``within`` seconds after ``seen`` changes; then let it.

    Returns how many of the lives were ended by a kill, not by the end of the work.
    """
    killed = 0
    command = [sys.executable, "-c", script, *map(str, words)]
    places = os.environ | PYTHON | environment
    with open(folder / "log", "w") as log:
        for _ in range(kills):
            process, before = subprocess.Popen(command, env=places, stdout=log, stderr=log), seen()
            while seen() == before and process.poll() is None:
                time.sleep(0.01)
            time.sleep(draw.uniform(0, within))
            process.kill()
            killed += process.wait() == -signal.SIGKILL
        subprocess.run(command, env=places, stdout=log, stderr=log, check=True)
    return killed


def test_the_real_engine_killed_loses_no_answer(small, tmp_path, faults):
    cache = tmp_path / "cache"
    (cache / "answers").mkdir(parents=True)
    (cache / "models").symlink_to(paths.cache() / "models")

    def written():
        return sum(file.stat().st_size for file in (cache / "answers").glob("*.jsonl"))

    kills = lives(LABEL, [], tmp_path, 4, written, random.Random(), HSD_CACHE=str(cache))
    (file,) = (cache / "answers").glob("*.jsonl")
    records = [json.loads(line) for line in file.read_text().splitlines() if line.endswith("}")]
    stored = collections.Counter(record["key"] for record in records if "key" in record)
    faults["real_engine"] = {"kills": kills, "lost": 2 * len(POSTS) - len(stored)}
    assert len(stored) == 2 * len(POSTS) and set(stored.values()) == {1}
    assert kills > 1


DISK = """
from test_store import REQUESTS, FakeEngine, ask, opened
with opened() as store:
    store.collect(FakeEngine(), [ask(f"post {n} " + "long " * 9) for n in range(2000)])
"""


def test_a_disk_that_fills_up_keeps_what_was_stored(tmp_path, faults):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk can be mounted by root only")
    try:
        run = [sys.executable, "-c", DISK]
        places = os.environ | PYTHON | {"HSD_CACHE": str(disk)}
        for _ in range(2):
            done = subprocess.run(run, env=places, capture_output=True, text=True)
            assert done.returncode == 1 and "free some space and rerun" in done.stderr
        (file,) = (disk / "answers").glob("*.jsonl")
        whole = [json.loads(line) for line in file.read_text().splitlines()]
        assert len(whole) > 100 and file.read_text().endswith("\n")
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        subprocess.run(run, env=places, check=True, capture_output=True)
        keys = [json.loads(line).get("key") for line in file.read_text().splitlines()]
        faults["full_disk"] = {"answers": 2000, "lost": 2001 - len(set(keys))}
        assert len(keys) == 2001 == len(set(keys))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


TRAIN = """
import sys
from pathlib import Path
import test_training as t
from hsd_utils import checkpoints, training
folder = Path(sys.argv[1])
loaded = t.untaught()
trainer = t.start(loaded, folder, num_train_epochs=6)
checkpoints.train(trainer, folder, "one")
loaded[0].save_pretrained(folder)
log = [(r["step"], round(r.get("loss", r.get("dev_loss")), 3)) for r in training.log(trainer)]
(folder / "log.json").write_text(str(log))
"""


def test_a_training_killed_five_times_ends_as_if_it_had_not_been(small, tmp_path, faults):
    from safetensors.torch import load_file

    whole, killed, draw = tmp_path / "whole", tmp_path / "killed", random.Random()
    lives(TRAIN, [whole], tmp_path, 0, dict, draw)

    def checkpoints():
        return sorted(killed.glob("checkpoints/checkpoint-*/trainer_state.json"))

    kills = lives(TRAIN, [killed], tmp_path, 5, checkpoints, draw, within=0.3)
    assert (killed / "log.json").read_text() == (whole / "log.json").read_text()
    one, other = (load_file(f / "adapter_model.safetensors") for f in (whole, killed))
    for name in one:
        assert (one[name] - other[name]).norm() <= 0.02 * one[name].norm() + 1e-6
    assert kills >= 4  # the last may come too late
    faults["training_kills"] = kills
