"""Files of one's own: every format, damaged rows, and files that cannot be used."""

import json

import pandas as pd
import pytest

from hsd_utils import readers


@pytest.fixture
def data(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_own_files_of_every_kind_agree(tmp_path):
    rows = [{"post": "kind, and long", "y": 0, "group": "t1"}, {"post": "unkind", "y": 1}]
    frame = pd.DataFrame(rows)
    frame.to_csv(tmp_path / "mine.csv", index=False)
    frame.to_csv(tmp_path / "mine.tsv", sep="\t", index=False)
    frame.to_parquet(tmp_path / "mine.parquet")
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, rows)))
    names = {"text_column": "post", "label_column": "y"}
    tables = [
        readers.read(tmp_path / f"mine.{ending}", **names)[0]
        for ending in ("csv", "tsv", "parquet", "jsonl")
    ]
    for table in tables:
        pd.testing.assert_frame_equal(table, tables[0])
    assert list(tables[0]["group"]) == ["mine-t1", "mine-1"]
    with pytest.raises(ValueError, match="no column text, label; found: post, y, group"):
        readers.read(tmp_path / "mine.csv")


def test_damaged_rows_are_counted_not_fatal(data):
    own = data(
        "own.csv", b"\xef\xbb\xbftext;label\nfine;0\nbad \xff byte;1\nnul \x00 in;1\na;b;1\n;0\n"
    )
    table, counts = readers.read(own)
    assert list(table["text"]) == ["fine", "bad \ufffd byte", "nul \x00 in", ""]
    assert counts["own"]["undecodable"] == 1
    assert counts["own"]["dropped"] == {"wrong number of cells": 1}
    own = data(
        "own.jsonl", b'{"text": "a", "label": 0}\n{"text": "b", "la\n{"text": null, "label": 1}\n'
    )
    table, counts = readers.read(own)
    assert list(table["text"]) == ["a", ""] and counts["own"]["read"] == 3


LINES = ["fine,0", '"he said it,1', "other,0", 'he said "it",1', "more,0"]


@pytest.mark.parametrize("lines", [LINES, LINES[:3], [*LINES[:3], '"last",1']])
def test_a_quotation_mark_that_is_not_closed_takes_no_posts_in(data, lines):
    with pytest.raises(ValueError, match=r"own.csv, line 3: a quotation .* not closed and would"):
        readers.read(data("own.csv", "\n".join(["text,label", *lines, ""])))


def test_quoted_posts_of_several_lines_and_loose_quotation_marks_are_read(data):
    rows = ['"one, two\nthree, four\n""five"", 0",1', 'six "seven",0', '"eight" nine,1']
    table, counts = readers.read(data("own.csv", "\r\n".join(["text,label", *rows, ""])))
    texts = ['one, two\nthree, four\n"five", 0', 'six "seven"', "eight nine"]
    assert list(table["text"]) == texts and counts["own"]["dropped"] == {}


def test_a_file_named_like_a_reader_keeps_its_language(data):
    own = data("ethos.csv", "text,label,language\na,1,de\nb,0,fr\n")
    assert list(readers.read(own)[0]["language"]) == ["de", "fr"]


def test_class_words_follow_the_mapping(data):
    own = data("own.csv", "text,label\na,Hate\nb,offensive\nc,normal\n")
    assert list(readers.read(own, "toxic")[0]["label"]) == [1, 1, 0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("own.csv", "", "is empty"),
        ("own.csv", "text,label\n", "no usable rows"),
        (
            "own.csv",
            "text,label\na,yes\nb,1\n",
            r"own.csv: the label is not 0 or 1 in row 1 \('yes'",
        ),
        ("own.csv", "tweet,class\na,1\n", "no column text, label; found: tweet, class"),
        ("own.jsonl", "[]\n", "no JSON object"),
        ("own.parquet", "junk", "not a Parquet file"),
        ("own.xlsx", "junk", "no source is called"),
    ],
)
def test_unusable_files_are_refused(data, name, content, message):
    with pytest.raises(ValueError, match=message):
        readers.read(data(name, content))


def test_unknown_and_repeated_sources(data):
    with pytest.raises(ValueError, match="did you mean 'ethos'"):
        readers.read("ethso")
    with pytest.raises(FileNotFoundError, match="is not there"):
        readers.read("nothing.csv")
    own = data("own.csv", "text,label\na,1\n")
    with pytest.raises(ValueError, match="two sources are called 'own'"):
        readers.read([own, own])
    with pytest.raises(ValueError, match="no source named"):
        readers.read([])


def test_texts_in_bytes_are_read_and_lists_of_tokens_refused(tmp_path):
    path = tmp_path / "own.parquet"
    pd.DataFrame({"text": [b"kind", b"bad \xff", None], "label": [0, 1, 1]}).to_parquet(path)
    table, counts = readers.read(path)
    assert list(table["text"]) == ["kind", "bad \ufffd", ""]
    assert counts["own"]["undecodable"] == 1
    pd.DataFrame({"text": [["so", "kind"]], "label": [0]}).to_parquet(path)
    with pytest.raises(ValueError, match=r"own.parquet: the text is a list in row 1: join"):
        readers.read(path)


def test_a_label_that_is_no_word_beside_others_is_named(data):
    with pytest.raises(ValueError, match=r"own.csv: the label is none of hate, .* in row 3 \(''\)"):
        readers.read(data("own.csv", "text,label\na,hate\nb,normal\nc,\n"))


def test_a_blank_id_takes_none_that_is_given(data):
    table, _ = readers.read(data("own.csv", "id,text,label\n1,a,0\n,b,1\n3,c,0\n"))
    assert list(table["id"]) == ["own-1", "own-row1", "own-3"]
