"""Words of a post become places in it, and nothing that tells them gets through."""

import re

import pytest

from hsd_utils import redaction

TEXTS = {"a": "one two three four five six", "b": "kind"}


@pytest.mark.parametrize(
    "told, text, quotes, expected",
    [
        ("Nothing of it.", "some other words here", [], ["Nothing of it."]),
        ("Says a b c d e f!", "x a b c d e f y", [], ["Says ", [2, 13], "!"]),
        ("Says a b c d only", "x a b c d e f y", [], ["Says a b c d only"]),
        ("Says A, b: C d-e", "a b c d e", [], ["Says ", [0, 9]]),
        ("All of it: be kind.", "Be kind", [], ["All of it: ", [0, 7], "."]),
        ("The rat is low.", "they are rats to us all", [(9, 12)], ["The ", [9, 12], " is low."]),
        ("Us all, us.", "to us all, us too", [(3, 5), (3, 9)], [[3, 9], ", ", [3, 5], "."]),
        ("他说你好世界吧", "你好世界吧", [], ["他说", [0, 5]]),
        ("", "a", [], []),
        ("Smiles.", "🙂", [(0, 1)], ["Smiles."]),
    ],
)
def test_words_of_the_post_become_places(told, text, quotes, expected):
    assert redaction.strip(told, text, quotes) == expected
    spoken = [
        re.findall(r"\w+", words.casefold()) for words in (told, redaction.fill(expected, text))
    ]
    assert spoken[0] == spoken[1]


def test_what_is_said_of_a_post_is_looked_at_word_by_word():
    row = {"id": "b", "explanations": [{"explanation": ["said ", [0, 4]], "input": ["four"]}]}
    redaction.refuse_text({"f": [row]}, {"about": "two three four five"}, TEXTS)
    row["explanations"][0]["input"] = ["a KIND word"]
    with pytest.raises(ValueError, match="^f: a row would tell words of a post"):
        redaction.refuse_text({"f": [row]}, {}, TEXTS)


@pytest.mark.parametrize("told", ["Two, three FOUR five-six", {"one two three four five": 1}])
def test_so_is_everything_else(told):
    for files, about in (({"f": [{"note": told}]}, {}), ({}, {"stages": [told]})):
        with pytest.raises(ValueError, match="would tell words of a post"):
            redaction.refuse_text(files, about, TEXTS)
