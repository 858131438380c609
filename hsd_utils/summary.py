"""results.md of a run, and the README's numbers: made from metrics.json, never typed.

python -m hsd_utils.summary demo            # writes outputs/demo/results.md
python -m hsd_utils.summary demo --readme   # and the table in README.md
"""

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from hsd_utils import paths, tables
from hsd_utils.paths import Run

MEASURES = {"macro_f1": "macro-F1", "f1": "F1 (hate)", "accuracy": "accuracy", "roc_auc": "ROC-AUC"}


def write(run: Run) -> str:
    """Write and return results.md: main table, comparisons, efficiency, figures of the run."""
    metrics = json.loads(run.metrics.read_text(encoding="utf-8"))
    manifest = json.loads(run.manifest.read_text(encoding="utf-8"))
    machine = manifest["hardware"]
    figures = sorted(run.figure("f1", "png").parent.glob("*.png"))
    shown = "\n\n".join(f"![{file.stem}]({os.path.relpath(file, run.folder)})" for file in figures)
    seconds = ", ".join(f"{stage} {spent:.0f} s" for stage, spent in manifest["seconds"].items())
    text = f"""# Results of run `{run.name}`

Commit {manifest["commit"]}; {machine["processor"]}, {machine["cores"]} cores,
{machine["gpu"] or "no GPU"}; {seconds}.

{describe(metrics)}

## Figures

{shown}
"""
    run.summary.write_text(text, encoding="utf-8")
    return text


def describe(metrics: Mapping[str, Any]) -> str:
    """The tables of a run as Markdown; parts that were not run are left out."""
    parts = []
    if "sampling" in metrics:
        sizes = ", ".join(f"{split} {n}" for split, n in metrics["sampling"]["sizes"].items())
        sources = ", ".join(metrics["sampling"]["read"])
        parts.append(f"Posts: {sizes}, balanced over {sources}. 95% intervals over posts.")
    if "models" in metrics:
        parts.append(tables.markdown(_main(metrics["models"])))
    if "comparisons" in metrics:
        parts.append(tables.markdown(paired(metrics["comparisons"])))
    if "efficiency" in metrics:
        parts.append(tables.markdown(_savings(metrics["efficiency"])))
    if "prevalence" in metrics and "hatecheck" in metrics:
        parts.append(tables.markdown(_further(metrics["hatecheck"], metrics["prevalence"])))
    return "\n\n".join(part.strip() for part in parts)


def _main(models: Mapping[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"model": name, "labels from": found["supervision"]}
            | {title: found[measure] for measure, title in MEASURES.items()}
            | {"parse rate": found["parse_rate"]}
            for name, found in models.items()
        ]
    )


def paired(comparisons: list[Mapping[str, Any]]) -> pd.DataFrame:
    """Comparisons of two models on the same posts, a row a pair; p_holm where it was corrected."""
    held = any("p_holm" in found for found in comparisons)
    return pd.DataFrame(
        [
            {
                "pair": f"{found['a']} - {found['b']}",
                "macro-F1 difference": {"value": found["difference"], **found},
                "p (bootstrap)": found["p_value"],
                "p (McNemar)": found["mcnemar"]["p_value"],
            }
            | ({"claim": found["claim"], "p (Holm)": found["p_holm"]} if held else {})
            for found in comparisons
        ]
    )


def _further(cases: Mapping[str, Any], rare: Mapping[str, Any]) -> pd.DataFrame:
    """Functional tests, and what an alert is worth where hate is rarest of those looked at."""
    least = min(row["prevalence"] for row in rare["rates"])
    return pd.DataFrame(
        [
            {
                "model": row["model"],
                f"right on functional tests ({cases['posts_of']})": cases["overall"][row["model"]],
                f"precision at {least:.0%} hate": row["precision"],
                "false positive rate": row["fpr"],
            }
            for row in rare["rates"]
            if row["prevalence"] == least and row["rule"] == "as it is"
        ]
    )


def _savings(efficiency: Mapping[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "student against teacher": f"{what} saved",
                "here": found["here"],
                "paper": found["paper"],
            }
            for what, found in efficiency["savings"].items()
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m hsd_utils.summary", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("run")
    parser.add_argument("--readme", action="store_true", help="put the tables into README.md too")
    options = parser.parse_args()
    run = Run(options.run)
    write(run)
    print(run.summary)
    if options.readme:
        metrics = json.loads(run.metrics.read_text(encoding="utf-8"))
        readme = Path(paths.REPOSITORY / "README.md")
        tables.insert(readme, "results", f"Run `{run.name}`. {describe(metrics)}")


if __name__ == "__main__":
    main()
