"""The table of posts: what is filled in, what is refused, what comes back from disk."""

import pandas as pd
import pytest

from hsd_utils import posts

ROWS = [
    {"source": "toy", "text": "kind words", "label": 0},
    {"source": "toy", "text": "unkind words", "label": "1", "rationale": [[0, 6]], "target": "men"},
]


def test_make_fills_what_is_missing():
    table = posts.make(ROWS)
    assert list(table.columns) == list(posts.COLUMNS)
    assert list(table["id"]) == ["toy-0", "toy-1"] == list(table["group"])
    assert list(table["label"]) == [0, 1] and table["label"].dtype == "int64"
    assert list(table["rationale"]) == [[], [[0, 6]]]
    assert table["target"].isna().tolist() == [True, False]
    assert posts.make([ROWS[0] | {"label": True}]).loc[0, "label"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "maybe"}, r"not 0 or 1 in row 2 \('maybe'\).*1 for hate"),
        ({"label": None}, "not 0 or 1 in row 2"),
        ({"text": None}, "'text' is missing in row 2"),
        ({"id": "toy-0"}, r"used twice in row 2 \('toy-0'\)"),
        ({"rationale": [[5, 99]]}, "outside the text in row 2"),
        ({"agreement": 1.5}, "not between 0 and 1 in row 2"),
    ],
)
def test_bad_rows_are_named(change, message):
    rows = [{**ROWS[0], "id": "toy-0"}, {**ROWS[1], "id": "toy-1", **change}]
    with pytest.raises(ValueError, match=message):
        posts.make(rows)


def test_posts_of_named_sources_and_a_source_without_any():
    table = posts.make([ROWS[0], {**ROWS[1], "source": "other"}])
    assert posts.of_sources(table, ["other"])["text"].tolist() == ["unkind words"]
    assert posts.of_sources(table, None) is table
    with pytest.raises(ValueError, match="no post is of othr; the sources are other, toy"):
        posts.of_sources(table, ["othr", "toy"])


def test_wrong_columns_and_empty_tables_are_refused():
    with pytest.raises(ValueError, match="missing: text, label; found: source, tweet, class"):
        posts.make(pd.DataFrame({"source": ["x"], "tweet": ["a"], "class": [1]}))
    with pytest.raises(ValueError, match="no posts"):
        posts.make(pd.DataFrame({"source": [], "text": [], "label": []}))


def test_many_bad_labels_are_cut_short():
    with pytest.raises(ValueError, match="and 3 more"):
        posts.make([ROWS[0] | {"label": 7}] * 8)


def test_files_round_trip_with_the_same_bytes(tmp_path):
    odd = [{"source": "toy", "text": "line\u2028sep \u05e9\u05dc\u05d5\u05dd 🙂 \x00", "label": 0}]
    table = posts.make(ROWS + odd)
    posts.write_jsonl(table, tmp_path / "a.jsonl")
    again = posts.read_jsonl(tmp_path / "a.jsonl")
    pd.testing.assert_frame_equal(table, again)
    posts.write_jsonl(again, tmp_path / "b.jsonl")
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert b"NaN" not in (tmp_path / "a.jsonl").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jsonl", "b.jsonl"]


def test_a_cut_off_or_missing_file_says_what_to_do(tmp_path):
    path = tmp_path / "a.jsonl"
    with pytest.raises(FileNotFoundError, match="run the notebook"):
        posts.read_jsonl(path)
    posts.write_jsonl(posts.make(ROWS), path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="line 2 is not a JSON object"):
        posts.read_jsonl(path)
    path.write_text("")
    with pytest.raises(ValueError, match="is empty"):
        posts.read_jsonl(path)


def test_lone_surrogates_do_not_crash():
    assert posts.make([ROWS[0] | {"text": "a\ud800b"}]).loc[0, "text"] == "a?b"


def test_mask_keeps_the_length_and_the_first_letters():
    text = "They a1ways ate it, \u0928\u092e\u0938\u094d\u0924\u0947 🙂 42"
    masked = posts.mask(text)
    assert len(masked) == len(text)
    assert masked.startswith("T••• a••••• a•• it, \u0928•••••")
    assert masked.endswith("🙂 42")


def test_show_escapes_and_masks():
    table = posts.make([ROWS[0] | {"text": "<script>alert(1)</script> $x$ " + "word " * 200}])
    hidden, shown = posts.show(table).data, posts.show(table, reveal=True).data
    assert "alert" not in hidden and "a••••" in hidden
    assert "<script>" not in shown and "&lt;script&gt;alert" in shown
    assert "tex2jax_ignore" in shown and len(shown) < 1500


def test_a_joiner_hides_no_word_from_the_mask():
    masked = posts.mask("wo\u200crd f\u200dub")
    assert masked[0] == "w" and set(masked.split()[0][1:]) == set(masked.split()[1][1:]) == {"•"}
