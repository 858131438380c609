"""What a run says of the machine and the commit it ran on."""

from types import SimpleNamespace

import pytest
import torch

from hsd_utils import machine


def test_the_environment_says_when_the_commit_is_not_all(monkeypatch):
    said = {"rev-parse": "abc", "status": " M file", "--query-gpu=name,memory.total": None}
    monkeypatch.setattr(machine, "_output_of", lambda *command: said[command[1]])
    machine.environment.cache_clear()
    try:
        found = machine.environment()
    finally:
        machine.environment.cache_clear()
    assert found["commit"] == "abc+" and found["hardware"]["gpu"] is None
    assert set(machine.PACKAGES) == set(found["packages"])


@pytest.mark.parametrize(
    "slow, gpu, wide",
    [(torch.bfloat16, 0, True), (torch.float32, 0, False), (torch.bfloat16, 1, False)],
)
def test_a_cpu_multiplies_in_what_is_faster_there(monkeypatch, slow, gpu, wide):
    def timer(_, globals):
        took = SimpleNamespace(median=2.0 if globals["a"].dtype == slow else 1.0)
        return SimpleNamespace(blocked_autorange=lambda: took)

    monkeypatch.setattr("torch.utils.benchmark.Timer", timer)
    monkeypatch.setattr("torch.cuda.is_available", lambda: bool(gpu))
    assert machine.in_float32.__wrapped__() is wide
