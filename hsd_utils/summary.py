"""results.md of a run, and the README's tables: made from the run's files, never typed.

summary.write(Run("demo"))
"""

import json
import math
import os
from collections.abc import Mapping
from typing import Any

import pandas as pd

from hsd_utils import ablations, tables
from hsd_utils.paths import Run

MEASURES = {"macro_f1": "macro-F1", "f1": "F1 (hate)", "accuracy": "accuracy", "roc_auc": "ROC-AUC"}
EXPLAINED = {
    "quotes_found": "quotes found",
    "comprehensiveness": "comprehensiveness",
    "random_comprehensiveness": "that of as many words by chance",
    "token_f1": "token-F1 with people's words",
}


def write(run: Run) -> str:
    """Write and return results.md: the tables of ``describe`` and the figures of the run."""
    metrics = json.loads(run.metrics.read_text(encoding="utf-8"))
    manifest = json.loads(run.manifest.read_text(encoding="utf-8"))
    stages = [manifest, *manifest["stages"].values()]  # not all at once, nor on one machine
    commits = dict.fromkeys(stage["commit"] for stage in stages)
    machines = dict.fromkeys(
        f"{on['processor']}, {on['cores']} cores, {on['gpu'] or 'no GPU'}"
        for on in (stage["hardware"] for stage in stages)
    )
    figures = sorted(run.figure("f1", "png").parent.glob("*.png"))
    shown = "\n\n".join(f"![{file.stem}]({os.path.relpath(file, run.folder)})" for file in figures)
    seconds = ", ".join(f"{stage} {spent:.0f} s" for stage, spent in manifest["seconds"].items())
    text = f"""# Results of run `{run.name}`

Commits {", ".join(commits)}; {"; ".join(machines)}. Seconds of each notebook's last execution,
which takes up answers and checkpoints kept from before: {seconds}.

{describe(metrics)}

## Figures

{shown}
"""
    run.summary.write_text(text, encoding="utf-8")
    return text


def describe(metrics: Mapping[str, Any]) -> str:
    """The tables of a run as Markdown; parts that were not run are left out."""
    parts, study = [headline(metrics)], metrics.get("study", {})
    if "comparisons" in metrics:
        elsewhere = {row["claim"]: None for row in study.get("finals", [])}  # of another pair
        family = study.get("p_holm", {}) | elsewhere
        parts.append(tables.markdown(paired(metrics["comparisons"], family)))
    if tested := study.get("finals"):
        parts.append(tables.markdown(ablations.final_table(tested)))
    if "explanations" in metrics:
        explained = pd.DataFrame(metrics["explanations"]["measures"]).rename_axis("explanations")
        explained.index = explained.index.str.replace("_", " ")
        parts.append(tables.markdown(explained.reset_index()))
    if "efficiency" in metrics:
        saved = pd.DataFrame(metrics["efficiency"]["savings"]).T
        saved.index += " saved"
        parts.append(tables.markdown(saved.rename_axis("student against teacher").reset_index()))
    if "prevalence" in metrics and "hatecheck" in metrics:
        parts.append(tables.markdown(_further(metrics["hatecheck"], metrics["prevalence"])))
    return "\n\n".join(part.strip() for part in parts).strip()


def evaluated_on(sampled: Mapping[str, Any]) -> list[str]:
    """The sources of ``eval``, of 01's results: those that were read unless ``only`` names some."""
    drawn = sampled.get("draw", {}).get("drawn", {}).get("eval", {})
    return [source for source in sampled["read"] if source in drawn or not drawn]


def headline(metrics: Mapping[str, Any]) -> str:
    """The samples and the table of models, as Markdown."""
    parts = []
    if "sampling" in metrics:
        sizes = ", ".join(f"{split} {n}" for split, n in metrics["sampling"]["sizes"].items())
        sources = ", ".join(evaluated_on(metrics["sampling"]))
        parts.append(f"Posts: {sizes}; eval is balanced over {sources}. 95% intervals over posts.")
    if "models" in metrics:
        rows = [
            {"model": name, "labels from": found["supervision"]}
            | {title: found[measure] for measure, title in MEASURES.items()}
            | {"parse rate": found["parse_rate"]}
            for name, found in metrics["models"].items()
        ]
        parts.append(tables.markdown(pd.DataFrame(rows)).strip())
    return "\n\n".join(parts)


def paired(
    comparisons: list[Mapping[str, Any]], family: Mapping[str, float | None] | None = None
) -> pd.DataFrame:
    """Comparisons of two models on the same posts, a row a pair; tests are those of macro-F1.

    family: claim -> p of Holm's correction with the study's pairs, in place of 04's without them;
    None where the claim is tested on a pair of the study's.
    """
    valued = {(f["b"], f["metric"]): f | {"value": f["difference"]} for f in comparisons}
    rows = [
        (
            f"{found['a']} - {found['b']}",
            valued[found["b"], "macro_f1"],
            valued.get((found["b"], "roc_auc")),
            found["p_value"],
            found["mcnemar"]["p_value"],
            found["claim"],
            (family or {}).get(found["claim"], found["p_holm"]),
        )
        for found in comparisons
        if found["metric"] == "macro_f1"
    ]
    names = ["pair", "macro-F1 difference", "ROC-AUC difference", "p (bootstrap)"]
    names += ["p (McNemar, first training)", "claim", "p (Holm, of the claim)"]
    return pd.DataFrame(rows, columns=names)


def explained(told: Mapping[str, Mapping[str, dict]]) -> str:
    """What 06 measured of student and teacher without people; "" where it did not."""
    pairs = {
        title: [told[model][measure]["value"] for model in ("student", "teacher")]
        for measure, title in EXPLAINED.items()
        if {"student", "teacher"} <= told.keys()
    }
    shown = [f"{t} {a:.2f} and {b:.2f}" for t, (a, b) in pairs.items() if None not in (a, b)]
    return f"; of student and teacher: {', '.join(shown)}" if shown else ""


def _further(cases: Mapping[str, Any], rare: Mapping[str, Any]) -> pd.DataFrame:
    """Functional tests, and what an alert is worth where hate is rarest of those looked at."""
    as_it_is = [row for row in rare["rates"] if row["rule"] == "as it is"]
    least = min(row["prevalence"] for row in as_it_is)
    rows = [
        {
            "model": row["model"],
            f"right on functional tests ({cases['posts_of']})": cases["overall"][row["model"]],
            f"precision at {100 * least:g}% hate": row["precision"],
            "false positive rate, posts as they come": row["fpr"],
        }
        for row in as_it_is
        if row["prevalence"] == least
    ]
    return pd.DataFrame(rows)


# What a benchmark's table shows: field -> title.  The first is what it is about.
BENCHMARKS = {
    "teacher": {
        "posts": "posts",
        "seconds_per_post": "seconds a post",
        "ratio_to_released_loop": "times the loop",
        "tokens_per_second": "answer tokens/s",
        "parse_rate": "parsed",
        "macro_f1": "macro-F1",
        "agrees_with_loop": "labels as the loop's, on its posts",
    },
    "training": {"tokens_per_second": "tokens/s", "ratio_to_plain": "times plain"},
    "student": {
        "posts": "posts",
        "posts_per_second": "posts/s",
        "ratio_to_loop": "times the loop",
        "agrees_with_loop": "labels as the loop's, on its posts",
    },
}


def benchmarks(run: Run) -> str:
    """The tables of a run's bench_*.json as Markdown, with how near ours is to the roofline."""
    parts = []
    for name, titles in BENCHMARKS.items():
        path = run.folder / f"bench_{name}.json"
        if not path.exists():
            continue
        found = json.loads(path.read_text(encoding="utf-8"))
        rows = [
            {name: row["name"]}
            | {title: row[field] for field, title in titles.items()}
            | {"peak memory, GB": (row["peak_memory_bytes"] or math.nan) / 1e9}
            for row in found["engines"]
        ]
        parts.append(
            f"{tables.markdown(pd.DataFrame(rows), digits=2)}\n"
            f"Ours reaches {found['roofline_fraction']:.0%} of the roofline, on "
            f"{found['machine']['hardware']['processor']}, "
            f"{found['machine']['hardware']['cores']} cores."
        )
        if profile := found.get("profile"):
            titles = {"name": "ours, on fewer posts, with", "seconds_per_post": "seconds a post"}
            titles |= {"answer_tokens": "answer tokens", "agrees_with_gold": "right by gold"}
            shown = pd.DataFrame(profile)[[*titles]].rename(columns=titles)
            parts.append(tables.markdown(shown, digits=2))
    if (path := run.folder / "bench_store.json").exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        append, resume = found["append"], found["resume"]
        parts.append(
            f"{found['answers']:,} answers in one store: {append['file_gb']:.1f} GB, appended in "
            f"{append['seconds']:.0f} s, opened again in {resume['open_seconds']:.0f} s, "
            f"at most {max(append['peak_mb'], resume['peak_mb']):.0f} MB of memory."
        )
    return "\n\n".join(parts)


def scale(metrics: Mapping[str, Any], price_in: float, price_out: float) -> pd.DataFrame:
    """What a teacher's answers take for more posts, from the tokens and seconds of a run.

    Prices are for a million tokens.  Hours are those of the run's own machine.
    """
    ledger = metrics["teacher"]["ledger"]
    posts = pd.Series([2_000, 100_000, 1_200_000])
    there, back = (posts * ledger[f"{part}_tokens"] / 1e6 for part in ("prompt", "answer"))
    return pd.DataFrame(
        {
            "posts": posts.map("{:,}".format),
            "prompt tokens, millions": there,
            "answer tokens, millions": back,
            "hours on the run's machine": posts * ledger["seconds"] / ledger["answers"] / 3600,
            f"price at {price_in:g} in, {price_out:g} out": there * price_in + back * price_out,
        }
    )
