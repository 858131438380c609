"""The model card: a metadata block the Hub can read, the licence's words, code that is ours."""

import ast
import re

import pytest
import yaml

from hsd_utils import cards, detect

STUDENT = {
    "base": "SmolLM2-135M-Instruct",
    "recipe": "joint",
    "objective": "joint",
    "supervision": "teacher",
    "examples": 96,
    "seconds": 61.7,
    "best_dev_loss": 0.51234,
}
TEACHER = {"model": "Qwen2.5-Coder-1.5B-Instruct", "prompt": {"shots": 6}}
SAMPLING = {"read": {"davidson": {}, "corpus": {}}}
PARAMETERS = {"run": "mine", "student": "x", "reveal": False, "epochs": 3, "learning_rate": 1e-3}


def card(**changed):
    student, teacher = (
        STUDENT | changed,
        TEACHER | {"model": changed.pop("model", TEACHER["model"])},
    )
    return cards.model_card(student, teacher, SAMPLING, PARAMETERS)


def metadata(text):
    assert text.startswith("---\n")
    return yaml.safe_load(text.split("---\n")[1])


def test_metadata_name_the_base_and_its_licence():
    found = metadata(card())
    assert found["license"] == "apache-2.0" and found["library_name"] == "peft"
    assert found["base_model"].endswith("SmolLM2-135M-Instruct-GGUF")


def test_languages_are_those_of_the_posts_and_four_bits_make_it_qlora():
    assert "language" not in metadata(card()) and "languages: not known" in card()
    found = cards.model_card(STUDENT, TEACHER, SAMPLING, PARAMETERS | {"four_bit": False}, ["es"])
    assert metadata(found)["language"] == ["es"] and "languages: es" in found
    assert "English" not in found and "QLoRA adapter" in card() and ", LoRA adapter" in found


def test_it_says_what_was_done():
    text = card()
    for words in ("96 examples from corpus, davidson", "6 demonstrations", "best dev loss 0.512"):
        assert words in text
    assert "| `epochs` | 3 |" in text and "| `learning_rate` | 0.001 |" in text
    assert "`reveal`" not in text and "Content warning" in text and cards.PAPER in text


@pytest.mark.parametrize(
    "changed",
    [
        {"base": "Llama-3-8B-Instruct", "model": "Llama-3-70B-Instruct"},
        {"base": "SmolLM2-135M-Instruct", "model": "Llama-3-70B-Instruct"},  # with a permission
        {"base": "meta-llama/Meta-Llama-3-8B"},
    ],
)
def test_what_comes_from_llama_3_carries_its_name_and_notice(changed):
    text = card(**changed)
    assert metadata(text)["license"] == "llama3" and "Built with Meta Llama 3." in text
    assert re.search(r"^# Llama-3-HSD-", text, re.MULTILINE)


def test_others_do_not():
    text = card()
    assert "Built with" not in text
    assert re.search(r"^# HSD-SmolLM2-135M-Instruct-joint$", text, re.MULTILINE)


def test_a_licence_that_is_not_known_is_other():
    assert metadata(card(base="owner/unknown"))["license"] == "other"


def test_the_code_of_the_card_is_the_project_s():
    (code,) = re.findall(r"```python\n(.*?)```", card(), re.DOTALL)
    tree = ast.parse(code)
    names = [a.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names]
    assert names == ["Detector"] and hasattr(detect.Detector, "of_run")
    assert 'of_run("mine")' in code


def test_no_path_of_this_machine():
    assert not re.search(r"(?<![\w.:/])/(home|root|work|tmp|Users)/", card())
