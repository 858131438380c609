"""Readers: each source's rules on toy files, what is refused, and the real counts."""

import json
import os
import shutil
import zipfile

import pandas as pd
import pytest
from conftest import FOLDER, real_posts

from hsd_utils import paths, readers
from hsd_utils.readers import files, public


@pytest.fixture
def data(tmp_path, monkeypatch):
    """An empty data folder, an empty cache and no network."""
    monkeypatch.setenv("HSD_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("HSD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))

    def write(name, content):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


DAVIDSON = """,count,hate_speech,offensive_language,neither,class,tweet
0,3,0,1,2,2,"good
morning"
7,3,0,3,0,1,rude words
8,4,3,1,0,0,unkind words
"""


def test_label_mapping_and_agreement(data):
    data("davidson/labeled_data.csv", DAVIDSON)
    strict, counts = readers.read("davidson")
    assert list(strict["id"]) == ["davidson-0", "davidson-7", "davidson-8"]
    assert list(strict["label"]) == [0, 0, 1]
    assert strict.loc[0, "text"] == "good\nmorning"
    assert strict["agreement"].tolist() == pytest.approx([2 / 3, 1, 3 / 4])
    assert counts["davidson"]["kept"] == {"0": 2, "1": 1}
    assert list(readers.read("davidson", "toxic")[0]["label"]) == [0, 1, 1]
    clear, counts = readers.read("davidson", "clear")
    assert list(clear["id"]) == ["davidson-0", "davidson-8"]
    assert counts["davidson"]["dropped"] == {"offensive": 1}
    with pytest.raises(ValueError, match="strict, toxic, clear"):
        readers.read("davidson", "lenient")


def stormfront_files(tmp_path):
    folder = tmp_path / "made" / "hate-speech-dataset-1"
    (folder / "all_files").mkdir(parents=True)
    (folder / "annotations_metadata.csv").write_text(
        "file_id,user_id,subforum_id,num_contexts,label\n"
        "1_1,7,1,0,noHate\n1_2,7,1,0,hate\n2_1,8,1,0,idk/skip\n2_2,8,1,0,relation\n3_1,9,1,0,hate\n"
    )
    for name in ("1_1", "1_2", "2_1", "2_2"):
        (folder / "all_files" / f"{name}.txt").write_bytes(b"sentence " + name.encode() + b" \xff")
    return folder


@pytest.mark.parametrize("packed", [False, True])
def test_stormfront_from_folder_or_zip(data, tmp_path, packed):
    folder = stormfront_files(tmp_path)
    data("stormfront/readme", "")
    if packed:
        archive = tmp_path / "data" / "stormfront" / "hate-speech-dataset"
        shutil.make_archive(str(archive), "zip", folder.parent)
    else:
        shutil.copytree(folder, tmp_path / "data" / "stormfront" / "hate-speech-dataset")
    table, counts = readers.read("stormfront")
    assert list(table["group"]) == ["stormfront-user-7"] * 2
    assert list(table["label"]) == [0, 1]
    counts = counts["stormfront"]
    assert counts["read"] == 5 and counts["undecodable"] == 4
    dropped = {"label idk/skip": 1, "label relation": 1, "text file missing": 1}
    assert counts["dropped"] == dropped


def test_a_downloaded_zip_with_other_texts_is_refused(data, tmp_path):
    cached = tmp_path / "cache" / "data" / "stormfront"
    cached.mkdir(parents=True)
    archive = shutil.make_archive(
        str(cached / "hate-speech-dataset"), "zip", stormfront_files(tmp_path).parent
    )
    with pytest.raises(FileNotFoundError, match="not the published data set"):
        readers.read("stormfront")
    assert not os.path.exists(archive)


def hatexplain_post(labels, marks=(), targets=(("None",), ("None",), ("None",))):
    notes = [{"label": a, "target": list(t)} for a, t in zip(labels, targets, strict=True)]
    tokens = ["they", "say", "bad", "words", "often"]
    return {"annotators": notes, "rationales": list(marks), "post_tokens": tokens}


def test_hatexplain_majority_target_and_rationale(data):
    marks = [[0, 0, 1, 1, 0], [1, 0, 1, 1, 0], [0, 0, 0, 1, 0]]
    targets = (("Women", "Men"), ("Women",), ("None",))
    posts = {
        "a": hatexplain_post(["hatespeech", "hatespeech", "offensive"], marks, targets),
        "b": hatexplain_post(["hatespeech", "normal", "offensive"]),
        "c": hatexplain_post(["normal"] * 3),
    }
    data("hatexplain/dataset.json", json.dumps(posts))
    table, counts = readers.read("hatexplain")
    assert list(table["id"]) == ["hatexplain-a", "hatexplain-c"]
    row = table.iloc[0]
    assert [row["text"][s:e] for s, e in row["rationale"]] == ["bad words"]
    assert row["target"] == "Women" and row["agreement"] == pytest.approx(2 / 3)
    assert table.loc[1, "rationale"] == [] and pd.isna(table.loc[1, "target"])
    assert counts["hatexplain"]["dropped"] == {"no majority": 1}
    data("hatexplain/dataset.json", json.dumps(posts)[:-30])
    with pytest.raises(ValueError, match="is not JSON"):
        readers.read("hatexplain")


def test_spans_need_half_of_those_who_marked():
    assert public.spans(["a", "bc", "d"], [[1, 1, 0], [1, 0, 0], [0, 1, 1]]) == [[0, 4]]
    assert public.spans(["a", "bc", "d"], [[1, 0, 0], [0, 0, 1]]) == [[0, 1], [5, 6]]
    assert public.spans(["a", "bc"], []) == []


def test_ethos_and_hatecheck(data):
    data("ethos/Ethos_Dataset_Binary.csv", "comment;isHate\nkind, really;0.1\nunkind;0.5\n")
    data(
        "hatecheck/test_suite_cases.csv",
        ",functionality,case_id,test_case,label_gold,target_ident,templ_id\n"
        "0,negate_neg_nh,5,not unkind to women,non-hateful,women,31\n"
        "1,target_obj_nh,6,awful soup,non-hateful,,32\n0,x_h,7,unkind to men,hateful,men,31\n",
    )
    table, counts = readers.read(["ethos", "hatecheck"])
    assert list(table["label"]) == [0, 1, 0, 0, 1]
    assert table["agreement"].tolist()[:2] == pytest.approx([0.9, 0.5])
    checks = table[table["source"] == "hatecheck"]
    assert list(checks["group"]) == [f"hatecheck-template-{n}" for n in (31, 32, 31)]
    assert checks["target"].isna().tolist() == [False, True, False]
    assert list(counts) == ["ethos", "hatecheck"] and json.dumps(counts)


def test_paper_samples_need_every_label(data):
    data("metahate/metahate.tsv", 'label\ttext\n0\ta\n1\tb\n1\t"c\n""c"""\n0\td\n')
    data("metahate/MiniMetaHateEval.tsv", "id\tlabel\n1\t1\n2\t1\n3\t0\n")
    table, counts = readers.read("paper_eval")
    assert list(table["text"]) == ["b", 'c\n"c"', "d"]
    assert list(table["id"]) == ["paper_eval-1", "paper_eval-2", "paper_eval-3"]
    assert counts["paper_eval"]["read"] == 3
    data("metahate/MiniMetaHateEval.tsv", "id\tlabel\n1\t1\n2\t0\n9\t0\n3\t0\n")
    with pytest.raises(ValueError, match="2 of 4 rows .* full collection of 1,226,202"):
        readers.read("paper_eval")


def test_metahate_without_access_says_how_and_hides_the_token(data, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with pytest.raises(PermissionError, match="accept the terms at .*HF_TOKEN") as caught:
        readers.read("metahate")
    assert "hf_secret" not in str(caught.value)


def test_missing_public_file_says_where_to_put_it(data, monkeypatch):
    with pytest.raises(FileNotFoundError, match="HF_HUB_OFFLINE is set.*davidson/labeled_data.csv"):
        readers.read("davidson")
    monkeypatch.delenv("HF_HUB_OFFLINE")

    def retrieve(address, known_hash, **_):
        assert known_hash.startswith("sha256:") and "/master/" not in address
        raise ValueError("hash of downloaded file does not match")

    monkeypatch.setattr("pooch.retrieve", retrieve)
    with pytest.raises(FileNotFoundError, match="not the published bytes"):
        readers.read("ethos")


def test_a_damaged_copy_is_not_sent_for_when_offline(data, tmp_path, monkeypatch):
    monkeypatch.setattr("pooch.retrieve", lambda *_, **__: pytest.fail("the network was tried"))
    cached = tmp_path / "cache" / "data" / files.FILES["ethos"][0]
    cached.parent.mkdir(parents=True)
    cached.write_text("cut")
    with pytest.raises(FileNotFoundError, match="cache is damaged, and HF_HUB_OFFLINE is set"):
        readers.read("ethos")
    monkeypatch.setitem(files.FILES, "ethos", (*files.FILES["ethos"][:2], paths.sha256(cached)))
    assert files.find("ethos") == cached


def test_files_that_sources_are_read_from(data):
    own, ethos = data("my.csv", "text,label"), data(files.FILES["ethos"][0], "x")
    whole = data("metahate/metahate.tsv", "x")
    assert readers.inputs([str(own), "corpus", "davidson", "ethos"]) == [own, ethos]
    assert readers.inputs(["paper_eval"]) == [whole]


@real_posts
@pytest.mark.parametrize(
    ("name", "read", "kept"),
    [
        ("davidson", 24_783, {"0": 23_353, "1": 1_430}),
        ("stormfront", 10_944, {"0": 9_507, "1": 1_196}),
        ("ethos", 998, {"0": 565, "1": 433}),
        ("hatecheck", 3_728, {"0": 1_165, "1": 2_563}),
        ("metahate_sample", 100, {"0": 80, "1": 20}),
    ],
)
def test_real_files_have_the_published_counts(name, read, kept):
    table, counts = readers.read(name)
    assert (counts[name]["read"], counts[name]["kept"]) == (read, kept)
    if name == "hatecheck":
        assert table["functionality"].nunique() == 29 and table["target"].nunique() == 7
    if name == "davidson":
        hate = table[table["label"] == 1]
        assert (hate["agreement"] == 1).sum() == 263


@real_posts
def test_real_hatexplain_rationales_are_whole_words():
    table, counts = readers.read("hatexplain")
    if counts["hatexplain"]["read"] == 1_922:
        assert counts["hatexplain"]["kept"] == {"0": 1_329, "1": 593}
    hate = table[table["label"] == 1]
    assert hate["rationale"].str.len().gt(0).mean() > 0.99
    for text, spans in zip(hate["text"], hate["rationale"], strict=True):
        for start, end in spans:
            assert f" {text} "[start] == " " == f" {text} "[end + 1]


@real_posts
def test_real_stormfront_is_the_pinned_commit():
    path = os.path.join(FOLDER, "stormfront", "hate-speech-dataset.zip")
    if not os.path.exists(path):
        pytest.skip("no zip there")
    assert files.contents(zipfile.Path(path)) == files.STORMFRONT_CONTENTS
