"""The detector with a toy engine: every row of the input is accounted for, whatever is in it."""

import csv
import json
from pathlib import Path

import pandas as pd
import pytest
from detected import ASKED, Toy
from fakes import FakeEngine

from hsd_utils import detect, engines, prompts
from hsd_utils.detect import Detector, main
from hsd_utils.engines import Answer
from hsd_utils.paths import Run


def write(path, texts, **columns):
    pd.DataFrame({"text": texts, **columns}).to_csv(path, index=False)
    return path


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_three_lines_of_python(toy):
    detector = Detector.of_run("demo")
    for verdict in detector.read(["an awful thing", "a good thing"]):
        assert verdict["label"] in (0, 1) and verdict["explanations"][0]["explanation"]
    ((name, model, settings),) = toy.opened
    adapter = Run("demo").student("joint-0")
    assert (name, model, settings) == ("toy", "toy", {"adapter": adapter})


def test_what_is_no_text_is_noted_and_order_is_kept(toy):
    texts = ["awful", "", "good", float("nan"), None, " \u200b\n ", 7, "so awful"]
    found = list(Detector.of_run("demo").read(texts))
    assert [v["label"] for v in found] == [1, None, 0, None, None, None, None, 1]
    assert [v["p_hate"] for v in found] == [0.9, None, 0.1, None, None, None, None, 0.9]
    assert all((v["note"] == "no text") == (v["label"] is None) for v in found)
    assert list(Detector.of_run("demo").read([])) == []


def test_a_very_long_post_is_judged_by_its_beginning(toy):
    beginning, end = "awful " + "x" * 100_000, "x" * 100_000 + " awful"
    spaces = "awful" + " " * 5000 + "end"  # short once it is cleaned
    found = list(Detector.of_run("demo").read([beginning, end, spaces]))
    assert [v["label"] for v in found] == [1, 0, 1]
    assert [v["note"] for v in found] == ["judged by its beginning"] * 2 + [""]
    assert max(map(len, toy.asked)) <= prompts.MAX_CHARS


def test_offsets_are_those_of_the_text_as_given(toy):
    text = "  @some_one:\n\n  so   awful! https://example.org/x"
    (found,) = Detector.of_run("demo").read([text])
    (told,) = found["explanations"]
    assert text[told["start"] : told["end"]] == told["input"] == "awful!"
    assert "@some_one" not in toy.asked[0] and "example.org" not in toy.asked[0]


def test_a_post_that_does_not_fit_the_engine_is_told_apart(toy, monkeypatch):
    def too_long(requests):
        return (Answer(r.key, "", 9000, 0, 0.1, "too long") for r in requests)

    monkeypatch.setattr(engines, "load", lambda *_, **__: engine)
    engine = Toy()
    monkeypatch.setattr(Toy, "__call__", lambda self, requests: too_long(requests))
    (found,) = Detector.of_run("demo").read(["some post"])
    assert found["label"] is None and found["note"].startswith("no answer: too long")


def test_posts_that_look_alike_each_get_an_answer(toy, monkeypatch):
    monkeypatch.setattr(detect, "CHUNK", 3)
    texts = ["awful"] * 7 + ["good"] * 2
    assert [v["label"] for v in Detector.of_run("demo").read(texts)] == [1] * 7 + [0] * 2
    assert len(toy.asked) == 4  # two texts, a label and an explanation each


def test_a_file_gets_a_row_a_post(toy, tmp_path, capsys):
    posts = write(tmp_path / "posts.csv", ["awful", "", 'good, "quoted"\nsecond line'], id="abc")
    out = tmp_path / "verdicts.csv"
    assert main([str(posts), "-o", str(out)]) == 0
    found = rows(out)
    assert list(found[0]) == list(detect.COLUMNS)
    assert [(r["row"], r["label"], r["note"]) for r in found] == [
        ("1", "1", ""),
        ("2", "", "no text"),
        ("3", "0", ""),
    ]
    assert found[0]["quotes"] == "awful" and found[0]["explanation"] == "it says so"
    assert "3 rows, 2 with a verdict" in capsys.readouterr().out


@pytest.mark.parametrize("ids", [True, False])
def test_rows_are_numbered_as_in_the_input_those_that_cannot_be_read_too(toy, tmp_path, ids):
    said = ["awful one", "two, and more", "so awful"]
    source = tmp_path / "posts.csv"
    lines = [f"p{n},{text}" if ids else f"0,{text}" for n, text in enumerate(said)]
    source.write_text("\n".join(["id,text" if ids else "x,text", *lines]))
    assert main([str(source), "-o", str(tmp_path / "out.csv")]) == 0
    found = [(r["row"], r["id"], r["label"], r["note"]) for r in rows(tmp_path / "out.csv")]
    assert found[1] == ("2", "" if ids else "2", "", "no text")
    assert [f[:3] for f in found[::2]] == [
        ("1", "p0" if ids else "1", "1"),
        ("3", "p2" if ids else "3", "1"),
    ]


def test_own_column_names_and_a_parquet_file(toy, tmp_path):
    frame = pd.DataFrame({"tweet": ["awful", None, "good"], "number": [11, 12, 13]})
    frame.index += 100  # pandas writes an index of its own along: rows count from the file's first
    frame.to_parquet(tmp_path / "posts.parquet")
    words = ["-o", str(tmp_path / "out.csv"), "--text-column", "tweet", "--id-column", "number"]
    assert main([str(tmp_path / "posts.parquet"), *words]) == 0
    assert [(r["id"], r["label"]) for r in rows(tmp_path / "out.csv")] == [
        ("11", "1"),
        ("12", ""),
        ("13", "0"),
    ]


@pytest.mark.parametrize("begin", ["=", "+", "-", "@"])
def test_no_cell_is_a_formula(toy, tmp_path, begin):
    formula = f"{begin}awful(1)"
    toy.reason = "=SUM(A1); =SUM(A2)"  # the second begins a cell where semicolons part them
    posts = tmp_path / "posts.jsonl"
    posts.write_text(json.dumps({"id": formula, "text": f"a {formula}"}) + "\n")
    assert main([str(posts), "-o", str(tmp_path / "out.csv")]) == 0
    (row,) = rows(tmp_path / "out.csv")
    assert row["id"] == "'" + formula and row["explanation"] == "'=SUM(A1);' =SUM(A2)"
    assert row["quotes"][:1] in ("'", "a", "")


def test_interrupted_it_leaves_no_output_and_goes_on(toy, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(detect, "CHUNK", 2)
    posts = write(tmp_path / "posts.csv", [f"awful {n}" for n in range(6)])
    out = tmp_path / "out.csv"
    toy.stop_after = 7  # one chunk of two labels and two explanations, and into the next
    assert main([str(posts), "-o", str(out)]) == 130
    assert not out.exists() and "the same command goes on" in capsys.readouterr().err
    toy.stop_after = 10**9
    assert main([str(posts), "-o", str(out)]) == 0
    assert len(rows(out)) == 6 and len(toy.asked) == 12  # nothing was asked twice
    assert {path.name for path in tmp_path.iterdir()} == {
        "posts.csv",
        "out.csv",
        "cache",
        "outputs",
    }


def test_an_earlier_output_stays_until_the_new_one_is_whole(toy, tmp_path):
    posts = write(tmp_path / "posts.csv", ["awful"])
    out = tmp_path / "out.csv"
    out.write_text("earlier")
    toy.stop_after = 1
    assert main([str(posts), "-o", str(out)]) == 130 and out.read_text() == "earlier"


def test_what_is_missing_is_said_with_what_to_do(toy, tmp_path, capsys):
    posts = write(tmp_path / "posts.csv", ["good"])
    words = ["-o", str(tmp_path / "out.csv")]
    assert main([str(posts), *words, "--run", "other"]) == 1
    said = capsys.readouterr().err
    assert "run 'other' has no 03_qlora_distillation and 04_evaluation" in said
    assert "python -m hsd_utils.pipeline demo --run other" in said
    assert main([str(tmp_path / "none.csv"), *words]) == 1
    assert "none.csv is not there" in capsys.readouterr().err
    assert main([str(write(tmp_path / "posts.xlsx", ["good"])), *words]) == 1
    assert "posts.xlsx: the name must end in one of .csv" in capsys.readouterr().err
    assert main([str(posts), *words, "--text-column", "tweet"]) == 1
    assert "no column tweet; found: text" in capsys.readouterr().err
    (Run("demo").student("joint-0") / "adapter_model.safetensors").unlink()
    assert main([str(posts), *words]) == 1  # a run whose measures were kept and weights not
    assert "run 'demo' has no student's weights" in capsys.readouterr().err
    assert not Path(words[1]).exists()


def test_another_engine_than_the_run_s_takes_its_own_settings(toy):
    run = Run("demo")
    evaluated = json.loads(run.results("04_evaluation").read_text())
    evaluated["asked"]["engine_settings"] = {"batch": 48}
    run.results("04_evaluation").write_text(json.dumps(evaluated))
    list(Detector.of_run("demo", "toy").read(["good"]))
    list(Detector.of_run("demo", "transformers").read(["good"]))
    (name, _, own), (other, _, none) = toy.opened
    assert (name, own["batch"]) == ("toy", 48)
    assert (other, set(none)) == ("transformers", {"adapter"})


@pytest.mark.parametrize("model, settings", [("teacher", {"base_url": "x"}), ("base", {})])
def test_teacher_and_base_read_posts_too(toy, monkeypatch, model, settings):
    run, fake = Run("demo"), FakeEngine({"awful people": 0.6}, constrained=True)
    monkeypatch.setattr(engines, "load", lambda *a, **k: toy.opened.append((*a, k)) or fake)
    asked = {"engine": "openai", "model": "far", "engine_settings": {"base_url": "x"}}
    asked |= {"constrained": True, "max_tokens": 9, "prompt": {"label_first": True, "shots": 2}}
    run.results("02_cot_teacher").write_text(json.dumps({"teacher": asked}))
    evaluated = {"asked": ASKED, "models": {m: {"threshold": 0.7} for m in ("teacher", "base")}}
    run.results("04_evaluation").write_text(json.dumps(evaluated))
    (found,) = Detector.of_run("demo", model=model).read(["awful people"])
    assert (found["p_hate"], found["label"]) == (0.6, 0) and toy.opened[0][2] == settings
    assert found["explanations"][0]["explanation"] == "because it is False"


def test_posts_are_not_replaced_by_their_verdicts(toy, tmp_path, capsys):
    posts = write(tmp_path / "posts.csv", ["good"])
    before = posts.read_bytes()
    assert main([str(posts), "-o", f"{tmp_path}/./posts.csv"]) == 1
    assert "would replace the posts" in capsys.readouterr().err and posts.read_bytes() == before


def test_a_second_start_leaves_what_the_first_has_written(toy, tmp_path, monkeypatch):
    posts, part = write(tmp_path / "posts.csv", ["good"]), tmp_path / "out.csv.part"
    part.write_text("rows of the first")
    busy = RuntimeError("the answers are in use by process 1")

    def read(self, texts):
        raise busy
        yield

    monkeypatch.setattr(Detector, "read", read)
    assert main([str(posts), "-o", str(tmp_path / "out.csv")]) == 1
    assert part.read_text() == "rows of the first"


def test_an_id_that_cannot_be_written_stops_nothing(toy, tmp_path):
    posts = tmp_path / "posts.jsonl"
    posts.write_text('{"text": "good", "id": "\\ud83d"}\n')
    assert main([str(posts), "-o", str(tmp_path / "out.csv")]) == 0
    assert rows(tmp_path / "out.csv")[0]["id"] == "?"
