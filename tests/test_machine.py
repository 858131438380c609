"""What a run says of the machine and the commit it ran on."""

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
