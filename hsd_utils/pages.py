"""The pages of a run, made from its files: results.md, claims.md and, of a template, README.md.

What a run showed is told in words that fit its outcome alone, so they stand beside it, in a Jinja
template, ``README.md.j2``, that looks up what was measured.  It becomes that folder's README.md;
its block ``summary`` goes into the project's, too.  A template has ``metrics`` (metrics.json),
``at(table, column, column=value, ...)`` for a value of ``tables/`` or ``claims.json`` (of another
run, too: ``of="reference"``),
``claimed(verdict)``, the claims of the paper, C1 to C13, that have it, and the filters ``two``
(0.77), ``ci`` (0.77 (0.74–0.80)) and ``percent`` (77%).

    python -m hsd_utils.pages demo                 # writes them in outputs/demo
    python -m hsd_utils.pages reference --readme   # and what the project's README shows of them
"""

import argparse
import json
from typing import Any

import jinja2

from hsd_utils import claims, paths, summary, tables
from hsd_utils.paths import Run

TEMPLATE, PAGE = "README.md.j2", "README.md"
CLUSTER = "hsd_utils/engines/cluster.md"  # what more posts would take, by the reference run
MADE = "<!-- Made by python -m hsd_utils.pages {} from README.md.j2: write there. -->\n"


def findings(run: Run) -> tuple[str, str]:
    """The run's README.md and its block ``summary``.

    Raises FileNotFoundError without a template, jinja2.UndefinedError where it names what was not
    measured, and LookupError where not exactly one row of a table fits.
    """
    source = run.folder / TEMPLATE
    if not source.exists():
        raise FileNotFoundError(f"write {source.name} in {run.folder.name}: what the run showed")
    made = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True)
    made.filters |= {
        "two": lambda found: tables.interval({"value": _value(found)}),
        "ci": tables.interval,
        "percent": lambda found: f"{_value(found):.0%}",
    }
    template = made.from_string(source.read_text(encoding="utf-8"))
    known = {
        "metrics": json.loads(run.metrics.read_text(encoding="utf-8")),
        "at": lambda name, column, of=run.name, **where: _at(Run(of), name, column, where),
        "claimed": lambda verdict: _claimed(run, verdict),
    }
    part = "".join(template.blocks["summary"](template.new_context(known)))
    return MADE.format(run.name) + template.render(known) + "\n", part


def _value(found: dict[str, Any] | float) -> float:
    return float(found["value"] if isinstance(found, dict) else found)


def _at(run: Run, name: str, column: str, where: dict[str, Any]) -> Any:
    path = run.folder / claims.FILE if name == "claims" else run.table(name, "json")
    rows = json.loads(path.read_text(encoding="utf-8"))
    fit = [row for row in rows if where.items() <= row.items()]
    if len(fit) != 1:
        raise LookupError(f"{len(fit)} rows of {path.name} fit {where}: name one")
    return fit[0][column]


def _claimed(run: Run, verdict: str) -> list[str]:
    rows = json.loads((run.folder / claims.FILE).read_text(encoding="utf-8"))
    return [
        row["claim"] for row in rows if row["verdict"] == verdict and row["claim"][1:].isdigit()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m hsd_utils.pages", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("run")
    parser.add_argument("--readme", action="store_true", help="put them into README.md too")
    parser.add_argument("--price-in", type=float, default=0.6, help="for a million tokens")
    parser.add_argument("--price-out", type=float, default=0.8, help="for a million tokens")
    options = parser.parse_args()
    run, said = Run(options.run), ""
    if not run.metrics.exists():
        parser.error(f"no {run.metrics.name} in {run.folder}: execute the run's notebooks first")
    summary.write(run)
    claimed = claims.write(run)
    made = [run.summary, run.folder / claims.PAGE]
    if (run.folder / TEMPLATE).exists():
        page, said = findings(run)
        made.append(run.folder / PAGE)
        made[-1].write_text(page, encoding="utf-8")
    print(*made, sep="\n")
    if not options.readme:
        return
    metrics = json.loads(run.metrics.read_text(encoding="utf-8"))
    blocks = {
        "findings": said,
        "results": f"Run `{run.name}`. {summary.headline(metrics)}",
        "claims": f"Run `{run.name}`. {claimed}",
        "benchmarks": summary.benchmarks(run),
    }
    if run.name == "confirmation":  # beside the reference run, whose tables stay
        blocks = {run.name: said}
    for marker, text in blocks.items():
        if text:
            tables.insert(paths.REPOSITORY / "README.md", marker, text)
    if run.name == "reference" and "teacher" in metrics:
        scaled = summary.scale(metrics, options.price_in, options.price_out)
        tables.insert(paths.REPOSITORY / CLUSTER, "scale", tables.markdown(scaled, digits=1))


if __name__ == "__main__":
    main()
