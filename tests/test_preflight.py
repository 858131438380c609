"""Every lack is named at once and with its cure, and no token is ever shown."""

import re

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

from hsd_utils import preflight

TOKEN = "hf_thisIsNoRealToken"


def hub_error(kind):
    error = kind.__new__(kind)  # its own __init__ wants a response
    Exception.__init__(error, f"403 for {TOKEN}")
    return error


@pytest.fixture
def hub(monkeypatch):
    """A hub that one is logged in to; answers by repository, and what was asked for."""
    answers, asked = {}, []

    def auth_check(self, repository, *, repo_type):
        asked.append((repository, repo_type))
        if repository in answers:
            raise answers[repository]

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: TOKEN)
    monkeypatch.setattr(huggingface_hub.HfApi, "auth_check", auth_check)
    return answers, asked


def test_nothing_needed_nothing_lacks():
    assert preflight.lacking({}) == []
    assert preflight.lacking({"memory_gb": 0.001, "disk_gb": 0.001}) == []


def test_every_lack_is_named_at_once(hub, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "not" / "made" / "yet"))
    monkeypatch.delenv("HSD_DATA_DIR", raising=False)
    hub[0]["owner/gated"] = hub_error(GatedRepoError)
    found = preflight.lacking(
        {
            "gpu_gb": 47,
            "memory_gb": 1e6,
            "disk_gb": 1e9,
            "hub": ["owner/gated", "owner/open"],
            "data": ["davidson/labeled_data.csv"],
        }
    )
    starts = [
        "GPU: none",
        "memory:",
        "disk:",
        "Hugging Face token",
        "access to owner/gated",
        "data",
    ]
    assert [line.startswith(start) for line, start in zip(found, starts, strict=True)] == [True] * 6
    cures = [
        "environment.yml",
        "needed",
        "HF_HOME",
        "hf auth login",
        "ask for it",
        "HSD_DATA_DIR",
    ]
    assert all(cure in line for line, cure in zip(found, cures, strict=True))


def test_weights_that_are_there_already_need_no_room(hub, monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    usage = preflight.shutil.disk_usage(tmp_path)._replace(free=2e9)
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda folder: usage)
    asked = {"disk_gb": 3, "hub": ["owner/model"]}
    assert preflight.lacking(asked) == ["disk: 2 GB free, 3 GB needed; HF_HOME names another place"]
    (tmp_path / "models--owner--model" / "blobs").mkdir(parents=True)
    with open(tmp_path / "models--owner--model" / "blobs" / "0", "wb") as file:
        file.truncate(int(1e9))  # sparse
    assert preflight.lacking(asked) == []
    (tmp_path / "models--owner--model").rename(tmp_path / "datasets--owner--model")
    assert preflight.lacking(asked) != []
    assert preflight.lacking(asked | {"hub": ["dataset:owner/model"]}) == []
    (lack,) = preflight.lacking({"disk_gb": 3})
    assert "HSD_CACHE" in lack


def test_a_gpu_that_is_too_small(monkeypatch):
    class Small:
        total_memory = 8e9

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: Small)
    assert preflight.lacking({"gpu_gb": 47}) == ["GPU memory: 8 GB found, 47 GB needed"]
    assert preflight.lacking({"gpu_gb": 7}) == []


def test_the_hub_is_asked_for_each_repository_by_its_kind(hub):
    assert preflight.lacking({"hub": ["owner/model", "dataset:owner/data"]}) == []
    assert hub[1] == [("owner/model", "model"), ("owner/data", "dataset")]


@pytest.mark.parametrize(
    "error, said",
    [
        (hub_error(GatedRepoError), "access to owner/model: ask for it"),
        (hub_error(RepositoryNotFoundError), "access to owner/model: it is private or gated"),
        (ConnectionError(f"token={TOKEN}"), r"cannot be reached \(ConnectionError\)"),
        (RuntimeError(f"Bearer {TOKEN}"), r"cannot be reached \(RuntimeError\)"),
    ],
)
def test_whatever_the_hub_answers_is_said_without_the_token(hub, capsys, error, said):
    hub[0]["owner/model"] = error
    found = preflight.lacking({"hub": ["owner/model"]})
    printed = capsys.readouterr()
    assert len(found) == 1 and re.search(said, found[0])
    assert TOKEN not in "".join(found) + printed.out + printed.err


@pytest.mark.parametrize("value, offline", [("1", True), ("true", True), ("0", False), ("", False)])
def test_offline_is_not_asked_and_says_so(hub, monkeypatch, value, offline):
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    found = preflight.lacking({"hub": ["owner/model"]})
    assert found == (["Hugging Face Hub: HF_HUB_OFFLINE is set; unset it"] if offline else [])
    assert bool(hub[1]) is not offline


def test_false_means_online_as_everywhere_else(hub, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "false")
    assert preflight.lacking({"hub": ["owner/model"]}) == []


def test_files_that_should_be_on_disk(monkeypatch, tmp_path):
    monkeypatch.setenv("HSD_DATA_DIR", str(tmp_path))
    (tmp_path / "one.csv").write_text("x")
    found = preflight.lacking({"data": ["one.csv", "two.csv"]})
    assert found == ["data: two.csv is not in HSD_DATA_DIR"]
