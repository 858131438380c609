"""The whole pipeline as people start it, on a handful of posts: some minutes on two cores.

Weights come from the user's cache and are fetched if they are not there; answers, the student
and everything else are made anew in a temporary folder.
"""

import json
import re
import subprocess
import sys
import time
from types import SimpleNamespace

import nbformat
import pandas as pd
import pytest
from conftest import POSTS_AT_HAND

from hsd_utils import paths
from hsd_utils.paths import Run
from hsd_utils.provenance import STAGES

pytestmark = pytest.mark.slow
FIGURES = "sampling rationales f1 confusion reliability roc latency memory cost faithfulness "
FIGURES += "explanations risk_coverage functional prevalence simulator robustness breadth ratings "
FIGURES += "study_label_source study_learning_curve pairs"
TABLES = "teacher_agreement evaluation comparisons per_source efficiency savings calibration seeds "
TABLES += "quotes explanation_text plausibility faithfulness reasons hatexscore explanations_by "
TABLES += "transfer functional targets groups prevalence robustness left_out contamination "
TABLES += "per_target agreement ceiling languages functional_teacher policies breadth "
TABLES += "study study_together study_copied study_finals ratings ratings_agreement "
TABLES += "ratings_equivalence fresh study_finals_fresh"
REAL = ["-p", "01.sources=[davidson, ethos]"]
MODELS = ("teacher", "base", "student")
BASELINES = ("majority", "tfidf_svm", "tfidf_lr", "teacher_platt", "base_few_shot")


def python(*words, seconds=2400):
    return subprocess.run(
        [sys.executable, "-m", *map(str, words)], capture_output=True, text=True, timeout=seconds
    )


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Outputs and cache of this file's own, but for the weights."""
    folder = tmp_path_factory.mktemp("smoke")
    weights = paths.cache() / "models"
    weights.mkdir(parents=True, exist_ok=True)
    (folder / "cache").mkdir()
    (folder / "cache" / "models").symlink_to(weights.resolve(), target_is_directory=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HSD_OUTPUTS", str(folder / "outputs"))
        patch.setenv("HSD_CACHE", str(folder / "cache"))
        yield folder


@pytest.fixture(scope="module")
def done(places):
    """A finished run: on public posts where they are on disk, else on the embedded ones."""
    real = REAL if POSTS_AT_HAND else []
    words = ["hsd_utils.pipeline", "smoke", "--run", "smoke", *real]
    clock = time.perf_counter()
    made = python(*words)
    assert made.returncode == 0, made.stdout + made.stderr[-3000:]
    seconds = time.perf_counter() - clock
    return SimpleNamespace(run=Run("smoke"), words=words, seconds=seconds, said=made.stdout)


def strict(path):
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)


def student(done):
    return strict(done.run.metrics)["student"]["folder"]


def is_measure(value):
    return value["low"] <= value["value"] <= value["high"]


def test_metrics_have_their_shape(done):
    metrics = strict(done.run.metrics)
    assert set(metrics["models"]) == {*MODELS, *BASELINES}
    for found in metrics["models"].values():
        for name in ("macro_f1", "f1", "accuracy", "roc_auc"):
            assert is_measure(found[name]) and 0 <= found[name]["value"] <= 1, name
        assert found["ece"].keys() >= {"value", "low", "high"}
        assert 0 <= found["threshold"] <= 1
    assert all(0 <= metrics["models"][m]["parse_rate"] <= 1 for m in MODELS)
    # 02 rewrites what differs from gold: whatever the labels are called, they are gold ones.
    assert [metrics["models"][m]["supervision"] for m in MODELS] == ["none", "none", "gold"]
    assert metrics["sampling"]["sizes"] == dict.fromkeys(paths.SPLITS, 12)
    assert set(metrics["efficiency"]["savings"]) == {"time", "memory", "cost per post"}
    assert all(row["p50"] > 0 for row in metrics["efficiency"]["rows"])
    assert {row["model"] for row in metrics["efficiency"]["rows"]} == set(MODELS)
    assert [c["b"] for c in metrics["comparisons"][::2]] == ["teacher", "base", *BASELINES]
    assert [row["seed"] for row in metrics["seeds"]] == [0, 1]
    (cell,) = metrics["study"]["cells"]
    assert cell["name"] == "gold" and all(map(is_measure, cell["metrics"].values()))
    assert metrics["hatecheck"]["functionalities"] and metrics["prevalence"]["rates"]
    assert metrics["student"]["log"] and metrics["teacher"]["ledger"]["answers"] == 24


def test_explanations_have_their_shape(done):
    found = strict(done.run.folder / "explanations.json")
    assert set(found) == set(MODELS)
    for measures in found.values():
        assert len(measures) == 9
        for measure in measures.values():
            assert measure["reason"] if measure["value"] is None else is_measure(measure)


def test_the_manifest_has_its_shape(done):
    manifest = strict(done.run.manifest)
    assert manifest["packages"]["torch"] and manifest["hardware"]["cores"]
    assert "commit" in manifest and set(manifest["stages"]) == set(STAGES)
    assert set(manifest["seeds"]) == set(manifest["seconds"]) == set(STAGES)
    assert sum(manifest["seconds"].values()) < done.seconds
    for stage in manifest["stages"].values():
        assert stage["parameters"]["run"] == done.run.name and stage["outputs"]
        digests = (stage["inputs"] | stage["outputs"]).values()
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests)
    assert len(manifest["stages"]["04_evaluation"]["inputs"]) == 9


def test_every_figure_and_table_is_there(done):
    figures, tables = [*FIGURES.split(), f"training_{student(done)}"], TABLES.split()
    files = [*done.run.figures(*figures), *done.run.tables(*tables), done.run.summary]
    assert not [file.name for file in files if not file.stat().st_size]
    there = {file.stem for file in done.run.figure("f1", "pdf").parent.iterdir()}
    assert there == set(figures)
    for file in files:
        if file.suffix == ".json":
            strict(file)
    assert all(f"figures/{name}.png" in done.run.summary.read_text() for name in figures)


def test_samples_and_predictions_are_complete(done):
    for split in paths.SPLITS:
        assert len(done.run.sample(split).read_text().splitlines()) == 12
    for model in MODELS:
        assert len(done.run.predictions(model, "eval").read_text().splitlines()) == 12
    assert (
        (done.run.folder / "students" / student(done) / "README.md").read_text().startswith("---\n")
    )


def phrases(text):
    """Three words in a row, one of them of six letters or more, as a reader would know them."""
    words = re.findall(r"[^\W\d_]+", text.lower())
    rows = zip(words, words[1:], words[2:], strict=False)
    return {" ".join(row) for row in rows if max(map(len, row)) >= 6}


def posts_phrases(run):
    texts = [json.loads(line)["text"] for s in paths.SPLITS for line in run.sample(s).open()]
    own = [*paths.NOTEBOOKS.glob("*.ipynb"), *(paths.REPOSITORY / "hsd_utils").glob("*.py")]
    found = set.union(*map(phrases, texts)) - set.union(*(phrases(f.read_text()) for f in own))
    assert len(found) > 100
    return found


def test_executed_notebooks_show_no_post(done):
    secret = posts_phrases(done.run)
    for stage in STAGES:
        for cell in nbformat.read(done.run.executed(stage), 4).cells:
            for output in cell.get("outputs", []):
                data = output.get("data", {}) | {"stream": output.get("text", "")}
                shown = "\n".join(str(v) for k, v in data.items() if "image" not in k)
                assert not secret & phrases(shown), f"{stage}: {cell.source[:60]}"


def test_nothing_that_is_committed_holds_a_post(done):
    secret, folder = posts_phrases(done.run), done.run.folder
    files = [f for name in ("figures", "tables", "stages") for f in (folder / name).iterdir()]
    files += [done.run.metrics, done.run.manifest, done.run.summary]
    files.append(done.run.folder / "explanations.json")
    texts = [file for file in files if file.suffix in (".json", ".tex", ".md")]
    assert len(texts) > 30
    for file in texts:
        assert not secret & phrases(file.read_text()), file.name
        assert str(paths.outputs()) not in file.read_text(), f"{file.name} names this machine"


def test_the_terminal_shows_no_post_and_where_the_results_are(done):
    assert not posts_phrases(done.run) & phrases(done.said)
    assert str(done.run.summary) in done.said


def test_a_second_call_skips_everything(done):
    again = python(*done.words)
    assert again.returncode == 0 and again.stdout.count("done already") == len(STAGES)


def test_a_release_comes_back_and_the_teacher_counts_as_done(done, tmp_path, monkeypatch):
    package, again = tmp_path / "release.zip", Run("again")
    made = python("hsd_utils.release", done.run.name, "-o", package)
    assert made.returncode == 0, made.stderr[-2000:]
    monkeypatch.setenv("HSD_CACHE", str(tmp_path))  # no answers there, and no weights
    made = python("hsd_utils.release", "--restore", package, again.name)
    assert made.returncode == 0, made.stderr[-2000:]
    for split in paths.SPLITS:
        assert again.sample(split).read_bytes() == done.run.sample(split).read_bytes()
    listed = python(*done.words, "--run", again.name, "--list").stdout
    assert "01_sampling  [done]" in listed and "02_cot_teacher  [done]" in listed


def test_the_detector_answers_every_row(done, tmp_path):
    texts = ["I had a lovely day at the lake.", "", "They should all go away! " * 400]
    pd.DataFrame({"text": texts}).to_csv(tmp_path / "posts.csv", index=False)
    out = tmp_path / "verdicts.csv"
    made = python("hsd_utils.detect", tmp_path / "posts.csv", "-o", out, "--run", done.run.name)
    assert made.returncode == 0, made.stderr[-2000:]
    found = pd.read_csv(out)
    assert list(found["row"]) == [1, 2, 3] and list(found["p_hate"].notna()) == [True, False, True]
    assert found["note"][1] == "no text" and "judged by its beginning" in found["note"][2]


def test_a_notebook_runs_by_papermill_alone(places, tmp_path):
    words = ["papermill", paths.NOTEBOOKS / "01_sampling.ipynb", tmp_path / "out.ipynb"]
    words += ["-p", "run", "alone", "-p", "eval_size", "10", "--no-progress-bar"]
    made = python(*words)
    assert made.returncode == 0, made.stderr[-2000:]
    run = Run("alone")
    assert len(run.sample("eval").read_text().splitlines()) == 10
    assert strict(run.manifest)["stages"]["01_sampling"]["parameters"]["eval_size"] == 10
