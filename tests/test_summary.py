"""results.md and the README's numbers come from metrics.json, and from nowhere else."""

import json

import pytest
from fakes import CHIP

from hsd_utils import summary
from hsd_utils.paths import Run


def measure(value):
    return {"value": value, "low": value - 0.1, "high": value + 0.1}


def model(value, supervision="none"):
    names = ("macro_f1", "f1", "accuracy", "roc_auc")
    return {n: measure(value) for n in names} | {"supervision": supervision, "parse_rate": 0.95}


METRICS = {
    "sampling": {"sizes": {"distil": 100, "eval": 80}, "read": {"corpus": {}, "ethos": {}}},
    "models": {"teacher": model(0.815), "student": model(0.725, "teacher")},
    "comparisons": [
        {"a": "student", "b": "teacher", "metric": "macro_f1", "difference": -0.09}
        | {"low": -0.19, "high": 0.01, "p_value": 0.034, "mcnemar": {"p_value": None}}
        | {"claim": None, "p_holm": None}
    ],
    "explanations": {
        "measures": {
            "teacher": {"token_f1": measure(0.415), "iou_f1": dict.fromkeys(("value", "low"))},
            "student": {"token_f1": measure(0.325), "iou_f1": measure(0.255)},
        }
    },
    "efficiency": {"savings": {"time": {"here": 0.912, "paper": 0.54}}},
}
MANIFEST = {
    "commit": "abc123+",
    "hardware": CHIP,
    "seconds": {"01_sampling": 9.0, "02_cot_teacher": 5.0},
    "stages": {
        "01_sampling": {"commit": "abc123+", "hardware": CHIP},
        "02_cot_teacher": {"commit": "def456", "hardware": CHIP | {"processor": "Another"}},
    },
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("HSD_OUTPUTS", str(tmp_path / "outputs"))
    made = Run("toy")
    made.figure("f1", "png").parent.mkdir(parents=True)
    made.figure("f1", "png").touch()
    made.metrics.write_text(json.dumps(METRICS))
    made.manifest.write_text(json.dumps(MANIFEST))
    return made


def test_a_corrected_p_value_of_the_whole_family_stands_in_place_of_04_s():
    alone = METRICS["comparisons"][0] | {"claim": "C3", "p_holm": 1.0}
    told = METRICS | {"comparisons": [alone], "study": {"p_holm": {"C3": 0.5}}}
    assert "| C3 | 1.000 |" in summary.describe(told | {"study": {}})
    assert "| C3 | 0.500 |" in summary.describe(told)
    family = {"C3": None}  # tested on a pair of the study's
    assert summary.paired([alone], family)["p (Holm, of the claim)"].tolist() == [None]


def test_everything_measured_is_there(run):
    text = summary.write(run)
    assert run.summary.read_text() == text and text.startswith("# Results of run `toy`")
    for words in (
        "| teacher | none |",
        "| student | teacher | 0.72 (0.62–0.82)",
        "distil 100, eval 80; eval is balanced over corpus, ethos",
        "| student - teacher | -0.09 (-0.19–0.01) | n/a | 0.034 | n/a | n/a | n/a |",
        "| explanations | teacher | student |",
        "| token f1 | 0.41 (0.31–0.52) | 0.33 (0.23–0.43) |",
        "| iou f1 | n/a | 0.26 (0.15–0.35) |",
        "| time saved | 0.912 | 0.540 |",
        "Commits abc123+, def456; A Chip, 2 cores",
        "no GPU; Another, 2 cores, no GPU. Seconds of",
        "kept from before: 01_sampling 9 s, 02_cot_teacher 5 s.",
        "![f1](figures/f1.png)",
    ):
        assert words in text, words


def test_claims_have_their_corrected_p_value_and_rare_hate_its_table():
    compared = METRICS["comparisons"][0] | {"claim": "C2", "p_holm": 0.102}
    rate = {"model": "student", "rule": "as it is", "prevalence": 0.01}
    rate |= {"precision": measure(0.2), "fpr": measure(0.15)}
    rates = [rate, rate | {"prevalence": 0.2}, rate | {"rule": "shifted"}]
    cases = {"posts_of": "hatecheck", "overall": {"student": 0.613, "always hateful": 0.688}}
    text = summary.describe(
        {"comparisons": [compared], "hatecheck": cases, "prevalence": {"rates": rates}}
    )
    assert "| p (Holm, of the claim) |" in text and "| n/a | C2 | 0.102 |" in text
    assert "| student | 0.613 | 0.20 (0.10–0.30) | 0.15 (0.05–0.25) |" in text
    assert "right on functional tests (hatecheck) | precision at 1% hate" in text
    assert text.count("| student |") == 1


def test_parts_that_were_not_run_are_left_out():
    assert summary.describe({}) == ""
    only = summary.describe({"models": METRICS["models"]})
    assert only.count("| model |") == 1 and "pair" not in only and "paper" not in only


MACHINE = {"hardware": {"processor": "A Chip", "cores": 2}}
BENCH = {
    "teacher": {"posts": 192, "seconds_per_post": 0.7, "ratio_to_released_loop": 33.4},
    "training": {"tokens_per_second": 301.0, "ratio_to_plain": 1.25},
    "student": {"posts": 512, "posts_per_second": 61.0, "ratio_to_loop": 4.0},
}
BENCH["teacher"] |= {"tokens_per_second": 80.0, "parse_rate": 1.0, "macro_f1": measure(0.64)}
BENCH["teacher"] |= {"agrees_with_loop": 0.8}
BENCH["student"] |= {"agrees_with_loop": 1.0}


def test_the_benchmarks_tables_are_the_files(run):
    assert summary.benchmarks(run) == ""
    for name, row in BENCH.items():
        engines = [{"name": f"ours {name}", "peak_memory_bytes": 2.5e9, **row}]
        found = {"engines": engines, "roofline_fraction": 0.61, "machine": MACHINE}
        found["profile"] = [
            row | {"answer_tokens": 1.0, "agrees_with_gold": 0.5} for row in engines
        ]
        found["profile"] *= name == "teacher"
        (run.folder / f"bench_{name}.json").write_text(json.dumps(found))
    step = {"seconds": 60.4, "peak_mb": 290.0}
    found = {"answers": 1200000, "append": step | {"file_gb": 0.51}}
    found["resume"] = step | {"open_seconds": 9.0, "peak_mb": 310.0}
    (run.folder / "bench_store.json").write_text(json.dumps(found))
    text = summary.benchmarks(run)
    for words in (
        "| teacher | posts | seconds a post | times the loop |",
        "| ours teacher | 192 | 0.70 | 33.40 | 80.00 | 1.00 | 0.64 (0.54–0.74) | 0.80 | 2.50 |",
        "| ours training | 301.00 | 1.25 | 2.50 |",
        "| ours student | 512 | 61.00 | 4.00 | 1.00 | 2.50 |",
        "Ours reaches 61% of the roofline, on A Chip, 2 cores.",
        "| ours teacher | 0.70 | 1.00 | 0.50 |",
        "1,200,000 answers in one store: 0.5 GB, appended in 60 s, opened again in 9 s, ",
    ):
        assert words in text


def test_the_scale_follows_the_ledger():
    ledger = {"answers": 10, "seconds": 36.0, "prompt_tokens": 800.0, "answer_tokens": 50.0}
    table = summary.scale({"teacher": {"ledger": ledger}}, price_in=0.5, price_out=2.0)
    assert table["posts"].tolist() == ["2,000", "100,000", "1,200,000"]
    assert table["hours on the run's machine"].tolist() == pytest.approx([2, 100, 1200])
    # 2,000 posts: 1.6 million tokens there and 0.1 million back
    assert table.iloc[0].tolist()[1:3] == pytest.approx([1.6, 0.1])
    assert table.iloc[0].tolist()[-1] == pytest.approx(1.6 * 0.5 + 0.1 * 2)


def test_no_pair_is_a_table_all_the_same():
    assert summary.paired([]).empty and "pair" in summary.paired([])
