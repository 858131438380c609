"""The answer: written and read back, hostile answers, and quotes found in the post."""

import json

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsd_utils import prompts, verdict

phrases = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
explanations = st.lists(st.fixed_dictionaries({"input": phrases, "explanation": phrases}))
GOOD = '{"hate_speech": "True", "explanations": [{"input": "a", "explanation": "b"}]}'
PAIR = [{"input": "a", "explanation": "b"}]


@given(st.sampled_from([0, 1]), explanations, st.booleans())
def test_what_is_written_is_read_back(label, given_explanations, label_first):
    text = verdict.write(label, given_explanations, label_first)
    assert verdict.parse(text) == verdict.Parsed(label, given_explanations)
    assert (text.index("hate_speech") == 2) == label_first


@pytest.mark.parametrize("label_first", [True, False])
def test_schema_takes_what_is_written_and_bounds_it(label_first):
    schema = verdict.json_schema(label_first)
    assert (list(schema["properties"])[0] == "hate_speech") == label_first
    jsonschema.validate(json.loads(verdict.write(1, PAIR, label_first)), schema)
    for bad in (PAIR * 4, [{"input": 201 * "x", "explanation": "b"}], []):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(json.loads(verdict.write(1, bad)), schema)
    assert verdict.json_schema(label=0)["properties"]["hate_speech"]["enum"] == ["False"]
    one = verdict.json_schema(label_first, 1, PAIR[0]["input"])
    jsonschema.validate(json.loads(verdict.write(1, PAIR[:1], label_first)), one)
    for bad in (PAIR[:1] * 2, [PAIR[0] | {"input": "other words"}]):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(json.loads(verdict.write(1, bad, label_first)), one)


def test_one_key_alone_and_labels_that_are_none():
    assert verdict.parse(verdict.write(0, None)) == verdict.Parsed(0)
    only = verdict.parse(verdict.write(None, PAIR))
    assert (only.label, only.explanations, only.reason) == (None, PAIR, "no label")
    with pytest.raises(ValueError, match="-1"):
        verdict.write(-1, [])


@pytest.mark.parametrize(
    "text",
    [
        f"Sure! Here it is:\n```json\n{GOOD}\n``` Hope this {{helps}}.",
        GOOD.replace('"True"', "true"),
        GOOD.replace('"True"', '"true"'),
        GOOD.replace('"', "'"),
        GOOD[:-1],
        GOOD[:-2] + ", ",
        GOOD[:-2] + ', {"input": "c", "expl',
        GOOD[:-2] + ', {"input": "c", "explanation": "cut in the midd',
        GOOD[:-2] + ', {"input": "c", "explanation": "cut in an escape \\u00',
        GOOD[:-1] + ', "confidence": 0.9}',
        GOOD.replace('"b"', '"b", "severity": "high"'),
        GOOD + "\n" + GOOD,
        GOOD.replace('"True",', '"True", "hate_speech": "True",'),
        "[" + GOOD + "]",
    ],
)
def test_harmless_forms_are_repaired_and_counted(text):
    assert verdict.parse(text) == verdict.Parsed(1, PAIR, repaired=True)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "empty"),
        (" \n", "empty"),
        ("True", "not json"),
        ("I cannot help with that.", "not json"),
        ('"' * 5000, "not json"),
        ("[" * 100_000, "not json"),
        ("{}", "no label"),
        ('{"explanations": [{"input": "a", "expl', "no label"),
        ('{"label": "True"}', "no label"),
        ('{"answer": ' + GOOD + "}", "no label"),
        ('{"hate_speech": ', "bad label"),
        ('{"hate_speech": "Tru', "bad label"),
        ('{"hate_speech": "True', "bad label"),
        ('{"hate_speech": True or False, "explanations": []}', "bad label"),
        (GOOD.replace("True", "True or False"), "bad label"),
        (GOOD.replace("True", "maybe"), "bad label"),
        (GOOD.replace('"True"', "1"), "bad label"),
        (GOOD.replace('"True"', "null"), "bad label"),
        (GOOD.replace('"True"', '["True"]'), "bad label"),
        (GOOD + GOOD.replace("True", "False"), "contradiction"),
        (GOOD.replace('"True"', '"True", "hate_speech": "False"'), "contradiction"),
        (GOOD + '{"hate_speech": "Fal', "contradiction"),
    ],
)
def test_no_label_is_guessed(text, reason):
    parsed = verdict.parse(text)
    assert parsed.label is None
    assert parsed.reason == reason and reason in verdict.REASONS


@pytest.mark.parametrize("bad", ['"because"', '["a"]', '[{"input": "a"}]', '[{"input": 1}]', "{}x"])
def test_a_label_survives_its_explanations(bad):
    parsed = verdict.parse(f'{{"hate_speech": "False", "explanations": {bad}}}')
    assert (parsed.label, parsed.explanations, parsed.repaired) == (0, [], True)
    assert parsed.reason == (None if bad == "{}x" else "bad explanations")  # as good as none


def test_a_quote_that_contains_an_answer_is_no_contradiction():
    text = verdict.write(0, [{"input": '"hate_speech": "True"', "explanation": "an order"}])
    assert verdict.parse(text + " done").label == 0


def test_no_lone_surrogate_reaches_a_file():
    joined = GOOD.replace('"a"', '"\\ud83d\\ude00"')
    assert verdict.parse(joined[:-1]).explanations[0]["input"] == "😀"
    parsed = verdict.parse(GOOD.replace('"a"', '"\\ud83d"'))
    assert parsed.explanations[0]["input"] == "\ufffd" and not parsed.repaired


@given(st.text(max_size=60))
def test_parse_never_raises(text):
    for answer in (text, '{"hate_speech": ' + text, GOOD[:40] + text + GOOD[40:]):
        parsed = verdict.parse(answer)
        assert (parsed.label is None) == (parsed.reason not in (None, "bad explanations"))


@pytest.mark.parametrize(
    ("quote", "text", "found", "how"),
    [
        ("b c", "a b c d", "b c", "exact"),
        ("ass", "a class of ass", "ass", "exact"),
        ("Go  HOME", "👍🏽👍🏽 please go\n home now", "go\n home", "normalised"),
        ("cafe\u0301 \"x\"", "the café “x” y", "café “x”", "normalised"),
        ("i love it", "I ❤️ it, I lo\u00adve it\ufe0f!", "I lo\u00adve it\ufe0f", "normalised"),
        ("naive", "so nai\u0308ve", None, None),
        ("nai\u0308", "so naı, NAI\u0308ve", "NAI\u0308", "normalised"),
        ("STRASSE", "die Straße!", "Straße", "normalised"),
        ("‹b›bold", "a <b>bold", "<b>bold", "normalised"),
        ("they are realy bad", "Oh, they are really bad.", "they are really bad", "fuzzy"),
        ("השכן שלי", "זה השכן שלי כאן", "השכן שלי", "exact"),
        ("short", "shirt", None, None),
        ("women are the problem", "women are not the problem", None, None),
        ("nothing of the kind", "a post about trains", None, None),
        ("a post about trains and then much more", "a post about trains", None, None),
        ("", "a", None, None),
        (" \n", "a \n b", None, None),
        ("\u200b", "a\u200cb", None, None),
        ("a", "", None, None),
    ],
)  # fmt: skip
def test_quotes_are_located_in_the_original(quote, text, found, how):
    place = verdict.locate(quote, text)
    assert place.how == how
    assert (None if how is None else text[place.start : place.end]) == found


def test_the_whole_post_is_flagged():
    assert verdict.locate("go home", " Go home\n").whole
    assert not verdict.locate("go", "go home").whole


@given(st.text(min_size=1, max_size=40), st.data())
def test_what_a_model_saw_is_found_again(text, data):
    start = data.draw(st.integers(0, len(text) - 1))
    seen = prompts.shield(text)[start : data.draw(st.integers(start + 1, len(text)))]
    place = verdict.locate(seen, text)
    if place.how is None:
        assert not verdict._fold(seen)[0].strip()
    else:
        assert verdict._fold(seen)[0].strip() in verdict._fold(text[place.start : place.end])[0]


def test_quotes_lists_every_explanation_with_its_place():
    rows = verdict.quotes(verdict.Parsed(1, PAIR + [{"input": "zz", "explanation": ""}]), "x a")
    assert [(r["start"], r["end"], r["how"]) for r in rows] == [(2, 3, "exact"), (None, None, None)]


def test_a_vowel_sign_belongs_to_its_word():
    text = "\u0939\u092e\u0947\u0902 \u0939\u092e \u091a"
    found = verdict.locate("\u0939\u092e", text)
    assert (found.start, found.end) == (5, 7)
