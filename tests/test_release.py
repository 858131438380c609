"""A run goes out without a post's text and comes back for who has the posts."""

import json
import os
import re
import shutil
from dataclasses import replace
from difflib import SequenceMatcher

import pandas as pd
import pytest
from fakes import FakeEngine, Letters

from hsd_utils import (
    contamination,
    corpus,
    engines,
    posts,
    predictions,
    provenance,
    rationales,
    redaction,
    release,
    retrieval,
    sampling,
    scoring,
    verdict,
)
from hsd_utils.paths import SPLITS, Run

SIZES = {"distil": 8, "dev": 4, "cal": 4, "eval": 8}
ASKED = {"model": "fake/teacher", "engine": "fake", "engine_settings": {}, "constrained": True}
ASKED |= {"prompt": {"shots": 2, "label_first": True, "definition": "un"}, "max_tokens": 220}
CHANGED = pd.DataFrame({"id": ["x"], "text": ["a post with words left out"]})


class Copier(FakeEngine):
    """Repeats its post in every way there is, in quotes and out; of half a post, the rest."""

    def answer(self, request):
        half = self.post(request)
        whole = next((text for text in self.p_hate if text.startswith(half)), half)
        rest = {"text": f"{whole.removeprefix(half)} end".upper()}
        return replace(super().answer(request), **(rest if len(request.messages) == 1 else {}))

    def _text(self, request, post, p):
        label = verdict.parse(super()._text(request, post, p)).label
        words = post.split()
        told = [
            {"input": words[0], "explanation": f"{words[0]} is said, then {post} again."},
            {"input": words[0].swapcase(), "explanation": " - ".join(words).upper()},
            {"input": " no ".join(words), "explanation": f"Ends in “{words[-1]}”, so {words[-1]}."},
            {"input": " ".join(words[-2:]), "explanation": "Nothing of the post here."},
        ]
        text = verdict.write(label, told)[: -1 if len(post) % 2 else None]  # some are cut off
        return text.replace('"explanation":', '"why":') if len(words) % 5 == 0 else text


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Engines by name, ``fake`` among them; runs, answers and data in folders of the test's."""
    for name in ("HSD_CACHE", "HSD_OUTPUTS", "HSD_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    load = engines.load
    fake = Copier(dict.fromkeys(corpus.build()["text"][::2], 0.9), model=ASKED["model"])
    fake.constrained = True
    monkeypatch.setattr(release, "ENGINES", (*engines.ENGINES, "fake"))
    monkeypatch.setattr(
        engines, "load", lambda name, *a, **k: fake if name == "fake" else load(name, *a, **k)
    )
    return fake


def made(sources=("corpus",)):
    """A run up to what 04 predicts, made by the calls of the notebooks."""
    run = Run("first")
    names = {name: provenance.defaults(name) | {"run": run.name} for name in release.STAGES}
    names["01_sampling"]["sources"] = list(map(str, sources))
    stage = provenance.Stage("01_sampling", names["01_sampling"])
    table = sampling.deduplicate(sampling.clean(release.readers.read(sources)[0])[0])[0]
    samples, _ = sampling.draw(table, SIZES, seed=0)
    for split, sample in samples.items():
        posts.write_jsonl(sample, run.sample(split))
    stage.finish([], map(run.sample, SPLITS), {"sampling": {"read": {}, "sizes": SIZES}})
    stage = provenance.Stage("02_cot_teacher", names["02_cot_teacher"])
    with scoring.teacher(ASKED) as classifier:
        for split in ("distil", "dev"):
            said = classifier.p_hate(samples[split]), classifier.generate(samples[split])
            rows = rationales.read(samples[split], *said)
            rationales.write(rows, run.rationales(split))
        rows = explained(classifier, samples["eval"])
        classifier.p_hate(CHANGED)
        told = further(run, classifier, samples)
    predictions.write(rows, run.predictions("teacher", "eval"))
    predictions.write(rows[["id", "p_hate", "predicted"]], run.predictions("tfidf_lr", "eval"))
    written = [*map(run.rationales, ("distil", "dev"))]
    stage.finish([run.sample("distil")], written, {"teacher": ASKED})
    return run, samples, told


def explained(classifier, sample):
    p = classifier.p_hate(sample)
    # The threshold turns some verdicts, so that explanations are asked for under a label.
    return pd.DataFrame(classifier.explain(sample, p, p >= 0.1, classifier.generate(sample)))


def further(run, classifier, samples):
    """What 04 and 07 ask besides: with retrieved demonstrations, and for halves of posts."""
    taught = rationales.load(run.rationales("distil"), samples["distil"])
    nearest = retrieval.nearest(taught, ASKED["prompt"], Letters())
    p = replace(classifier, converse=nearest).p_hate(samples["eval"])
    completed = contamination.completed(classifier, samples["eval"]["text"])
    return p.tolist(), completed.to_dict("records")


def words(text):
    return re.findall(r"\w+", text.casefold())


def contents(folder):
    files = (f for k in ("samples", "rationales", "predictions") for f in (folder / k).iterdir())
    return {file.relative_to(folder): file.read_bytes() for file in files}


def strings(value):
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [value] if isinstance(value, str) else [s for part in parts for s in strings(part)]


@pytest.mark.parametrize("name", ["package", "package.zip"])
def test_out_without_text_and_back_to_the_same_bytes(opened, tmp_path, monkeypatch, name):
    run, samples, besides = made()
    before = contents(run.folder)
    about = release.pack(run, tmp_path / name)
    assert about["altered"] == 0 and about["rows"]["samples/eval"] == 8
    way, folder = shutil.unpack_archive if ".zip" in name else shutil.copytree, tmp_path / "looked"
    way(tmp_path / name, folder)
    every = {p.id: p for sample in samples.values() for p in sample.itertuples()}
    by_digest = {redaction.digest(post): post for post in every.values()}
    seen, known = 0, [row["own"] == 1 for row in besides[1]]
    for file in folder.rglob("*.json*"):
        text = file.read_text()
        assert not [p.id for p in every.values() if f'"{p.id}"' in text or p.text in text]
        for row in map(json.loads, text.splitlines() if file.suffix == ".jsonl" else []):
            post = by_digest.get(row.get("id"))
            for told in strings(row) if post else []:
                pair = SequenceMatcher(None, words(told), words(post.text), autojunk=False)
                assert pair.find_longest_match().size < min(5, len(words(post.text)))
                seen += 1
            quotes = strings([told.get("input", []) for told in row.get("explanations", [])])
            assert not post or not {*words(" ".join(quotes))} & {*words(post.text)}
    assert seen > 100 and any(known)  # half a post by heart

    monkeypatch.setenv("HSD_CACHE", str(tmp_path / "elsewhere"))  # another machine, other answers
    shutil.rmtree(run.folder)
    asked, again = len(opened.asked), Run("again")
    release.restore(tmp_path / name, again)
    assert contents(again.folder) == before
    for stage in release.STAGES:
        parameters = provenance.defaults(stage) | {"run": "again"}
        assert provenance.stale(again, stage, parameters) is None
    teacher = json.loads(again.results("02_cot_teacher").read_text())["teacher"]
    with scoring.teacher(teacher) as classifier:
        rows = explained(classifier, posts.read_jsonl(again.sample("eval")))
        assert further(again, classifier, samples) == besides
        assert classifier.p_hate(CHANGED)[0] == 0.2
        with pytest.raises(RuntimeError, match="1 answers of fake/teacher are not in the release"):
            classifier.p_hate(CHANGED.assign(text="never asked"))
    predictions.write(rows, again.predictions("teacher", "eval"))
    # 04 asks for the same and gets the same
    assert contents(again.folder) == before and len(opened.asked) == asked


def test_posts_of_ones_own_and_none_that_differ(opened, tmp_path, monkeypatch, capsys):
    table = corpus.build()[["text", "label"]]
    (tmp_path / "mine").mkdir()
    table.to_csv(tmp_path / "mine" / "own.csv", index=False)
    run, samples, _ = made([tmp_path / "mine" / "own.csv"])
    manifest = json.loads((written := run.stage_manifest("01_sampling")).read_text())
    way = os.path.relpath(tmp_path / "mine" / "own.csv", run.folder)
    provenance.write_json(written, manifest | {"inputs": {way: "ab"}})
    package = tmp_path / "package"
    assert release.main([run.name, "-o", str(package)]) == 0
    told = (package / "release.json").read_text()
    assert str(tmp_path) not in told and "mine/own.csv" not in told and '"own.csv": "ab"' in told
    there = tmp_path / "HSD_DATA_DIR"
    there.mkdir()
    texts = set(samples["eval"]["text"][:2])
    other = table.assign(text=[t + "!" if t in texts else t for t in table["text"]])
    other.to_csv(there / "own.csv", index=False)
    assert release.main(["--restore", str(package), "again"]) == 1
    assert "2 of 24 posts of the release are not among those" in capsys.readouterr().err
    assert not Run("again").folder.exists()
    table.to_csv(there / "own.csv", index=False)
    assert release.main(["--restore", str(package), "again"]) == 0
    assert contents(Run("again").folder) == contents(run.folder)


def test_what_would_tell_a_post_is_not_written(opened, tmp_path, monkeypatch):
    run, _, _ = made()
    monkeypatch.setattr(redaction, "strip", lambda told, *_, **__: [told])
    with pytest.raises(ValueError, match="would tell words of a post; nothing was written"):
        release.pack(run, tmp_path / "package")
    assert not (tmp_path / "package").exists()


def test_what_differs_from_the_post_comes_back_as_the_post_and_is_counted(opened, tmp_path):
    run, samples, _ = made()
    path = run.rationales("dev")
    rows = posts.read_rows(path)
    text = samples["dev"].set_index("id")["text"][rows[0]["id"]]
    rows[0]["explanations"][0]["explanation"] = text.replace("s", "ſ")  # no matter of case
    posts.write_rows(rows, path)
    assert release.pack(run, tmp_path / "package")["altered"] == 1
    release.restore(tmp_path / "package", Run("again"))
    (back, *_) = posts.read_rows(Run("again").rationales("dev"))
    assert back["explanations"][0]["explanation"] == text


def test_refused_with_what_to_do(opened, tmp_path, monkeypatch):
    run, _, _ = made()
    package = tmp_path / "package"
    release.pack(run, package)
    with pytest.raises(ValueError, match="there already: name another place"):
        release.pack(run, package)
    with pytest.raises(ValueError, match="run 'first' is there already"):
        release.restore(package, run)
    with pytest.raises(ValueError, match="no release.json in it"):
        release.restore(tmp_path, Run("again"))
    good = json.loads((package / "release.json").read_text())
    engine = good["stages"]["02_cot_teacher"]["results"]["teacher"]["engine_settings"]["identity"]
    named = json.dumps(good["stages"]).replace(json.dumps(engine["engine"]), '"../../x"')
    for wrong, match in (
        ({"format": 1}, "format 1, this code reads 2"),
        ({"rows": good["rows"] | {"predictions/../../x": 1}}, "names files or an engine"),
        ({"rows": {"answers": 1}}, "is no whole release"),
        ({"stages": json.loads(named)}, "names files or an engine"),
        ({"stages": {}}, "is no whole release"),
    ):
        (package / "release.json").write_text(json.dumps(good | wrong))
        with pytest.raises(ValueError, match=match):
            release.restore(package, Run("again"))
    monkeypatch.setenv("HSD_CACHE", str(tmp_path / "empty"))
    with pytest.raises(ValueError, match="no answer of fake/teacher to these posts"):
        release.pack(run, tmp_path / "other")
    path = run.predictions("teacher", "eval")
    posts.write_rows([{"id": "of another sample"}], path)
    with pytest.raises(ValueError, match="teacher-eval.jsonl is of other samples"):
        release.pack(run, tmp_path / "other")
