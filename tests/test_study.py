"""The study: its grid as data, what it refuses, and that a killed one repeats nothing."""

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from studied import GRID, RUN

from hsd_utils import (
    analysis_plan,
    metrics,
    pipeline,
    predictions,
    prompts,
    provenance,
    study,
    trial,
)


@pytest.fixture
def grid(tmp_path):
    def made(text=GRID):
        (tmp_path / "study.yaml").write_text(text)
        return study.read(tmp_path / "study.yaml")

    return made


def order(cells):
    return [f"{cell['name']}-{cell['seed']}" for cell in cells]


def test_the_grid_of_the_project_can_be_read_and_asks_for_what_the_plan_tests():
    grid, plan = study.read(), analysis_plan.read()
    names = [cell["name"] for cell in grid["cells"]]
    assert names[:4] == ["soft labels", "the teacher", "label_only", "gold"]
    assert set(grid["beside"]["training size"]) == {"gold", "soft labels", "the teacher"}
    claims = {pair.get("plan"): pair for pair in grid["finals"]}
    assert {"C2", "C4"} <= set(claims) and set(claims) - {None} <= set(plan["confirmatory"])
    for pair in grid["finals"]:
        trained = {name: names.count(name) for name in (pair["a"], pair["b"])}
        once = {c["name"] for c in grid["cells"] if c["changes"]["model"] == "teacher"}
        once.add("weighted x4")  # of four times the posts, exploratory
        assert all(n == (1 if name in once else 5) for name, n in trained.items()), trained
    factors = {cell["factor"] for cell in grid["cells"]}
    assert {"label source", "objective", "teacher errors", "shots", "balance"} <= factors
    assert {"training size", "recipe", "human rationales", "alpha"} <= factors
    taught = {cell["changes"]["objective"] for cell in grid["cells"]}
    assert taught == {"label_only", "joint", "weighted", "task_prefix"}
    reference = pipeline.plan("reference", "reference")["08_ablations"]
    assert reference["posts_of_a_cell"] == grid["posts"] and not reference["trained_here"]
    assert set(provenance.defaults("08_ablations")["trained_here"]) <= set(names)


def test_cells_of_one_seed_come_first_and_the_final_ones_come_again(grid):
    made = grid()
    wanted = "label_only-0 soft-0 the teacher-0 weighted-0 soft-1 weighted-1 label_only-1 2 shots-0"
    assert " ".join(order(made["cells"])) == wanted
    early = GRID.replace(
        "  - factor: objective", "  - {factor: seeds, of: [soft]}\n  - factor: objective"
    )
    wanted = "label_only-0 soft-0 the teacher-0 soft-1 weighted-0 weighted-1 label_only-1 2 shots-0"
    assert " ".join(order(grid(early)["cells"])) == wanted
    assert made["cells"][3]["changes"]["alpha"] == 0.3
    assert made["cells"][3]["differs"] == {"objective": "weighted", "alpha": 0.3}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("objective: weighted", "objective: wieghted", "'wieghted'.*did you mean 'weighted'"),
        ("label_source: teacher_soft", "label_source: sof", "'sof' is not a label_source"),
        ("objective: weighted", "objective: [weighted]", r"\['weighted'\] is not a objective"),
        ("alpha: 0.3", "alhpa: 0.3", "'alhpa' is not a setting; did you mean 'alpha'"),
        ("{shots: 2}", "{shot: 2}", "2 shots: .*argument 'shot'"),
        ("{shots: 2}", "{shots: 40}", "2 shots: 20 demonstrations"),
        ("alpha: 0.3", "label_source: teacher_median", "weighted: teacher_median goes with"),
        ("alpha: 0.3", "rationales: human", "weighted: marked words go with"),
        ("label_source: teacher_soft", "disagreement: rationalise", "soft: rationalise goes with"),
        ("name: soft,", "name: label_only,", "two cells are called 'label_only'"),
        (
            "factor: shots",
            "factor: shots\n    beside: [sofd]",
            "'sofd' is not a cell; did you mean",
        ),
        ("further seeds", "seeds\n    of: [2 shots]", "'2 shots' is not a cell that waits"),
        ("a: soft,", "a: sotf,", "'sotf' is not a final cell; did you mean 'soft'"),
    ],
)
def test_what_is_misspelt_is_refused_with_the_nearest_name(grid, old, new, message):
    assert old in GRID
    with pytest.raises(ValueError, match=message):
        grid(GRID.replace(old, new))


def test_a_block_of_further_seeds_may_name_seeds_and_cells_that_are_not_final(grid):
    more = GRID.replace("2 shots, model: teacher, prompts: [{shots: 2}]", "joint, objective: joint")
    block = "  - {factor: further seeds, of: [joint], seeds: [3, 5]}\nfinals:"
    cells = grid(more.replace("finals:", block))["cells"]
    assert order(cells) == [*order(grid(more)["cells"]), "joint-3", "joint-5"]
    assert not cells[-1]["final"] and cells[-1]["factor"] == "shots"


def test_a_killed_study_goes_on_and_repeats_nothing(lab, grid, monkeypatch):
    made, fit = grid(), lab.fit

    def killed(*arguments):
        if len(lab.fitted) == 2:
            raise KeyboardInterrupt
        return fit(*arguments)

    monkeypatch.setattr(trial, "fit", killed)
    with pytest.raises(KeyboardInterrupt):
        list(study.execute(RUN, made, 16))
    with open(RUN.study("results.jsonl"), "a") as file:
        file.write('{"key": "cut o')  # as a kill in mid-line leaves it
    done, left = study.finished(RUN, made, 16)
    assert (
        order(done) == ["label_only-0", "soft-0", "the teacher-0"]
        and order(left)[0] == "weighted-0"
    )
    monkeypatch.setattr(trial, "fit", fit)
    assert len(list(study.execute(RUN, made, 16))) == 5
    assert lab.fitted == "label_only-0 soft-0 weighted-0 soft-1 weighted-1 label_only-1".split()
    assert list(study.execute(RUN, made, 16)) == [] and len(lab.fitted) == 6
    done, left = study.finished(RUN, made, 16)
    assert order(done) == order(made["cells"]) and not left
    assert not [place for place in RUN.study("x").parent.iterdir() if place.is_dir()]


def test_a_cell_without_what_its_student_said_is_left(lab, grid):
    made = grid()
    list(study.execute(RUN, made, 16))
    RUN.study(f"{study.finished(RUN, made, 16)[0][1]['key']}.jsonl").unlink()
    assert order(study.finished(RUN, made, 16)[1]) == ["soft-0"]


def test_a_result_says_what_was_measured(lab, grid):
    made = grid()
    list(study.execute(RUN, made, 16))
    done, _ = study.finished(RUN, made, 16)
    dev, cal = lab.samples["dev"], lab.samples["cal"]
    for row in done:
        said = predictions.load(RUN.study(f"{row['key']}.jsonl")).set_index("split")
        on = {split: said.loc[split, "p_hate"].to_numpy() for split in ("dev", "cal")}
        expected = roc_auc_score(dev["label"], on["dev"])
        assert row["metrics"]["roc_auc"]["value"] == pytest.approx(expected)
        expected = metrics.best_threshold(cal["label"], on["cal"])
        assert row["threshold"] == pytest.approx(expected)
        assert ("eval" in said.index) == (row["name"] != "2 shots")
    by = {row["name"]: row for row in done}
    assert by["soft"]["supervision"] == "teacher"
    assert by["2 shots"]["supervision"] == by["the teacher"]["supervision"] == "none"
    assert by["soft"]["n"] == 16 and by["2 shots"]["n"] == 0
    assert not RUN.ledger.exists()  # no label of eval was looked at
    lines = RUN.study("results.jsonl").read_text()
    lines += "".join(RUN.study(f"{row['key']}.jsonl").read_text() for row in done)
    assert not [text for text in lab.table["text"] if text[:25] in lines]


def test_of_students_that_explain_the_quotes_are_judged_on_hateful_posts_of_dev(lab, grid):
    made = grid()
    list(study.execute(RUN, made, 16))
    by = {row["name"]: row for row in study.finished(RUN, made, 16)[0]}
    assert [name for name in by if "quoting" in by[name]] == ["weighted"]
    found = by["weighted"]["quoting"]
    assert found["posts"] == lab.samples["dev"]["label"].sum() == found["quotes"] == found["found"]
    assert "low" in found["comprehensiveness"]
    assert found["narrowed"]["above"] == found["above"]  # a word is quoted: none is narrower


def test_time_that_is_up_begins_no_cell(lab, grid):
    made = grid()
    assert list(study.execute(RUN, made, 16, minutes=0)) == []
    assert len(study.finished(RUN, made, 16)[1]) == len(made["cells"])


@pytest.mark.parametrize("error", [RuntimeError, FileNotFoundError, ConnectionError])
def test_a_cell_that_fails_is_said_and_left_for_the_next_call(lab, grid, monkeypatch, error):
    made, fit = grid(), lab.fit

    def failing(targets, settings, folder):
        if settings["objective"] == "weighted":
            raise error("out of memory")
        return fit(targets, settings, folder)

    monkeypatch.setattr(trial, "fit", failing)
    lines = list(study.execute(RUN, made, 16))
    assert "weighted, seed 0: failed: out of memory" in lines and len(lines) == 8
    assert order(study.finished(RUN, made, 16)[1]) == ["weighted-0", "weighted-1"]


def test_other_settings_posts_sizes_or_prompts_are_other_cells(lab, grid, monkeypatch):
    (first, soft, *_) = grid()["cells"]
    keys = {study.key(RUN, first, 16), study.key(RUN, first, 8), study.key(RUN, soft, 16)}
    keys.add(study.key(RUN, first | {"seed": 1}, 16))
    keys.add(study.key(RUN, first | {"final": False}, 16))  # without eval's P(hate)
    samples = RUN.sample("cal").read_text()
    RUN.sample("cal").write_text(samples + "\n")
    keys.add(study.key(RUN, first, 16))
    assert len(keys) == 6
    told, evaluated = (RUN.measured(s) for s in ("02_cot_teacher", "04_evaluation"))
    shorter = told["teacher"] | {"max_tokens": 40}
    provenance.write_json(RUN.results("02_cot_teacher"), {"teacher": shorter})
    keys.add(study.key(RUN, first, 16))
    other = evaluated | {"asked": {"engine": "another"}}
    provenance.write_json(RUN.results("04_evaluation"), other)
    keys.add(study.key(RUN, first, 16))
    monkeypatch.setattr(prompts, "teacher", lambda text, **_: f"put otherwise: {text}")
    keys.add(study.key(RUN, first, 16))
    assert len(keys) == 9
    manifest = json.loads(RUN.stage_manifest(trial.NOTEBOOK).read_text())
    manifest["parameters"]["further_seeds"] = [8]  # 03's own, which no cell is trained with
    provenance.write_json(RUN.stage_manifest(trial.NOTEBOOK), manifest)
    assert study.key(RUN, first, 16) in keys


def test_what_cannot_be_read_counts_as_half_and_is_counted(lab, grid, monkeypatch):
    made = grid()
    monkeypatch.setattr(
        study.supervision, "teacher_p", lambda run, table, changes: np.full(len(table), np.nan)
    )
    row = study._worked(RUN, made["cells"][-1], 16)
    assert row["unread"] == 48 and row["metrics"]["roc_auc"]["value"] == 0.5


def test_the_command_says_what_is_missing_and_what_is_left(lab, capsys):
    assert study.main([RUN.name, "--minutes", "0", "--posts", "8"]) == 0
    assert "0 cells done" in capsys.readouterr().out
    RUN.stage_manifest("03_qlora_distillation").unlink()
    assert study.main([RUN.name]) == 1
    assert "execute 01 to 04 first" in capsys.readouterr().err
    assert json.loads(RUN.results("04_evaluation").read_text())["asked"] == {"engine": "fake"}
