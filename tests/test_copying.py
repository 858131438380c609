"""A grammar that lets a model quote nothing but the post, checked against a reader of its own."""

import json
import re

import pytest

from hsd_utils import copying, verdict

POSTS = [
    "Such people, they say, are all alike.",
    "one",
    'He said "go\\away"\n\tand left \u2013 twice.',
    "no no no no",
    "🙂🙂 caf\u00e9 #tag @user <b>",
]


def rules(grammar):
    """Word rules: number -> (word, gap to the next or None), and where a quote may begin."""
    found = dict(re.findall(r"^(w\d+) ::= (.*)$", grammar, re.M))
    said = {}
    for name, right in found.items():
        literals = [json.loads(one) for one in re.findall(r'"(?:[^"\\]|\\.)*"', right)]
        goes_on = re.search(r"\(.*(w\d+)\)\?$", right)
        gap = literals[1] if len(literals) > 1 else ""
        said[name] = (literals[0], gap, goes_on and goes_on[1])
    begins = re.search(r"^quote ::= (.*)$", grammar, re.M)[1].split(" | ")
    return said, begins


def quotes(grammar):
    """All that the grammar lets a model quote, as it reads once the JSON is."""
    said, begins = rules(grammar)
    for name in begins:
        text = ""
        while name:
            word, gap, following = said[name]
            text += word
            yield json.loads(f'"{text}"')
            text, name = text + gap, following


@pytest.mark.parametrize("text", POSTS)
def test_every_quote_stands_in_the_post_and_the_whole_post_is_one(text):
    made = list(quotes(copying.grammar(text, 1)))
    assert all(quote in text for quote in made)
    assert all(verdict.locate(quote, text).how == "exact" for quote in made)
    units = len(copying._UNIT.findall(text))
    assert text in made and len(made) == units * (units + 1) / 2


@pytest.mark.parametrize("label", [0, 1])
def test_the_answer_begins_as_one_that_is_written(label):
    begun = json.loads(copying.grammar("one", label).split(" ")[2])
    written = verdict.write(label, [{"input": "one", "explanation": "why"}])
    assert written.startswith(begun) and begun.endswith("[")


def test_it_grows_with_the_post():
    short, long = (copying.grammar("word " * n, 0) for n in (100, 400))
    assert 3.5 < len(long) / len(short) < 4.5


def test_a_post_without_words_and_a_label_that_is_none_are_refused():
    with pytest.raises(ValueError, match="nothing can be quoted"):
        copying.grammar(" \n", 1)
    with pytest.raises(ValueError, match="label 2"):
        copying.grammar("one", 2)
