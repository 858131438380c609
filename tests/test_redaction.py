"""Words of a post become places in it, and nothing that tells them gets through."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsd_utils import redaction

TEXTS = {"a": "one two three four five six", "b": "kind"}


@pytest.mark.parametrize(
    "told, text, quotes, expected",
    [
        ("Nothing of it.", "some other words here", [], ["Nothing of it."]),
        ("Says a b c d e f!", "x a b c d e f y", [], ["Says ", [2, 13], "!"]),
        ("Says a b c d only", "x a b c d e f y", [], ["Says a b c d only"]),
        ("Says A b C d e", "a b c d e", [], ["Says ", [0, 9, 0, 4]]),
        ("A, b: c", "a b c", [], [[0, 1, 0], ", ", [2, 3], ": ", [4, 5]]),
        ("All of it: be kind.", "Be kind", [], ["All of it: ", [0, 7, 0], "."]),
        ("The rat is low.", "they are rats to us all", [(9, 12)], ["The ", [9, 12], " is low."]),
        ("Us all, us.", "to us all, us too", [(3, 5), (3, 9)], [[3, 9, 0], ", ", [3, 5], "."]),
        ("他说你好世界吧", "你好世界吧", [], ["他说", [0, 5]]),
        ("", "a", [], []),
        ("Smiles.", "🙂", [(0, 1)], ["Smiles."]),
        ("Says 🙂🙁, 🙂!", "a 🙂🙁", [(2, 3), (2, 4)], ["Says ", [2, 4], ", ", [2, 3], "!"]),
        ("All is 🙂.", "🙂", [], ["All is ", [0, 1], "."]),
    ],
)
def test_words_of_the_post_become_places(told, text, quotes, expected):
    assert redaction.strip(told, text, quotes) == expected
    assert redaction.fill(expected, text) == told


def test_a_long_copy_with_other_spaces_comes_back():
    told = "Word,  WORD " * 3000
    parts = redaction.strip(told, "word word " * 3000)
    assert redaction.fill(parts, "word word " * 3000) == told
    assert not [part for part in parts if isinstance(part, str) and part.strip(" ,")]


def test_letters_that_are_more_than_another_case_come_back_as_the_post_has_them():
    parts = redaction.strip("Says ſo", "so")  # a long s
    assert parts == ["Says ", [0, 2]] and redaction.fill(parts, "so") == "Says so"


@pytest.mark.parametrize(
    "quote, how, literal",
    [
        ("they are rats", "exact", None),
        ("they  ARE rats", "normalised", [[5, 9], "  ", [10, 13, 0, 1, 2], " ", [14, 18]]),
        ("they was rats", "fuzzy", [[5, 9], " was ", [14, 18]]),
        ("THEY, these rats", None, [[5, 9, 0, 1, 2, 3], ", these ", [14, 18]]),
        ("nowhere at all", None, ["nowhere at all"]),
        ("", None, []),
    ],
)
def test_a_quote_comes_back_as_it_was_said(quote, how, literal):
    post = SimpleNamespace(id="a", text="Now, they are rats", label=1)
    place = {"start": 5, "end": 18} if how else {"start": None, "end": None}
    told = {"input": quote, "explanation": f"So {quote}.", **place, "how": how, "whole": False}
    row = {"id": "a", "explanations": [told]}
    made = redaction.stripped(row, post)
    assert made["explanations"][0].get("input") == literal
    said = redaction.strip(f"So {quote}.", post.text, [(5, 18)] * bool(how), [quote])
    assert made["explanations"][0]["explanation"] == said
    assert redaction.filled(made, post) == row


def test_a_copy_with_slips_leaves_no_word_of_the_post_and_comes_back():
    text = "our new neighbours never greet anyone and park their old car on our lawn"
    slips = "our new neighbors never greet anyone and parked their old car on our lawn"
    post, nothing = SimpleNamespace(id="a", text=text, label=0), dict.fromkeys(("start", "end"))
    said = f"Tells that “{slips}”, so the old car is on their mind."
    told = {"input": slips, "explanation": said, **nothing, "how": None, "whole": False}
    row = {"id": "a", "explanations": [told]}
    made = redaction.stripped(row, post)
    assert redaction.filled(made, post) == row
    (listed,) = made["explanations"]
    assert [p for p in listed["input"] if isinstance(p, str)] == [" neighbors ", " parked "]
    # Where the explanation repeats it, too; shared by chance a few words may stay.
    kept = [p for p in listed["explanation"] if isinstance(p, str)]
    assert kept == [
        *("Tells that “", " neighbors ", " parked "),
        "”, so the old car is on their mind.",
    ]
    texts = {redaction.digest(post): text}
    redaction.refuse_text({"f": [made]}, {}, texts)
    listed["input"] = [*listed["input"][:-1], "on our lawn"]
    with pytest.raises(ValueError, match="^f, row 1: it would tell words of a post"):
        redaction.refuse_text({"f": [made]}, {}, texts)


@given(
    post=st.lists(st.sampled_from("Sun sun MOON star 🙂 月 sea, (sky)".split()), max_size=9),
    said=st.lists(st.sampled_from("sun Moon STAR 🙂 月 sea wind! sky".split()), max_size=9),
)
def test_whatever_was_copied_comes_back_and_keeps_no_word_of_the_post(post, said):
    post, copy = SimpleNamespace(id="a", text=" ".join(post), label=0), " ".join(said)
    told = {"input": copy, "explanation": f"It says {copy} today.", "how": None, "whole": False}
    row = {"id": "a", "explanations": [told | {"start": None, "end": None}]}
    made = redaction.stripped(row, post)
    assert redaction.filled(made, post) == row
    redaction.refuse_text({"f": [made]}, {}, {redaction.digest(post): post.text})


def test_what_is_said_of_a_post_is_looked_at_word_by_word():
    row = {"id": "b", "explanations": [{"explanation": ["said ", [0, 4]], "input": ["four"]}]}
    redaction.refuse_text({"f": [row]}, {"about": "two three four five"}, TEXTS)
    row["explanations"][0]["input"] = ["a KIND word"]
    with pytest.raises(ValueError, match="^f, row 1: it would tell words of a post"):
        redaction.refuse_text({"f": [row]}, {}, TEXTS)
    redaction.refuse_text({"f": [{"id": "b", "written": ["no more than ", [0, 4]]}]}, {}, TEXTS)
    with pytest.raises(ValueError, match="^f, row 1: it would tell words of a post"):
        redaction.refuse_text({"f": [{"id": "b", "written": ["a Kind word"]}]}, {}, TEXTS)


def test_a_run_of_another_post_is_veiled_for_good():
    texts = {"a": "They come and they take it all.", "c": "Send them home!", "d": "Go now"}
    known = redaction.runs(texts.values())
    said = "Says as learned: come and they take it, and come and they; send THEM home. Go now!"
    assert redaction.strip(said, "a kind word", known=known) == [
        "Says as learned: █, and come and they; █. Go now!"  # two words are shared by chance
    ]
    with pytest.raises(ValueError, match="row 1: it would tell words of a post"):
        redaction.refuse_text({"f": [{"id": "b", "written": [said]}]}, {}, texts)
    assert redaction.strip("Wait… …what", "a kind word", known=known) == ["Wait… …what"]


def test_a_veil_brings_no_words_together():
    texts = {"a": "one two three four five", "b": "go home"}
    said = "One two one two three four five three four five; go one two three four five home."
    parts = redaction.strip(said, texts["b"], known=redaction.runs(texts.values()))
    assert parts == ["One two █ three four five; go █ home."]
    row = {"id": "b", "explanations": [{"explanation": parts}]}
    redaction.refuse_text({"f": [row]}, {}, texts)


def test_a_short_post_is_looked_for_elsewhere_from_three_words_on():
    redaction.refuse_text({"f": [{"note": "a kind word"}]}, {}, {"a": "Kind word"})
    with pytest.raises(ValueError, match="would tell words of a post"):
        redaction.refuse_text({"f": [{"note": "a kind word"}]}, {}, {"a": "A kind word!"})


@pytest.mark.parametrize("told", ["Two, three FOUR five-six", {"one two three four five": 1}])
def test_so_is_everything_else(told):
    for files, about in (({"f": [{"note": told}]}, {}), ({}, {"stages": [told]})):
        with pytest.raises(ValueError, match="would tell words of a post"):
            redaction.refuse_text(files, about, TEXTS)


@pytest.mark.parametrize("style", [0xFEE0, 0x1D400 - 0x41])  # full width, mathematical bold
def test_styled_letters_hide_no_shared_words(style):
    words = "those people all must go now"
    styled = "".join(chr(ord(c.upper()) + style) if c != " " else c for c in words)
    parts = redaction.strip(f"Says that {words}.", styled)
    assert "people" not in "".join(part for part in parts if isinstance(part, str))
    assert redaction.fill(parts, styled) == f"Says that {styled}."
