"""What a run showed, in words that look up in its files what was measured.

The words fit one run's outcome, so they stand beside it: ``README.md.j2`` in its folder, a Jinja
template.  It becomes that folder's README.md; its block ``summary`` goes into the project's, too.

A template has ``metrics`` (metrics.json), ``at(table, column, column=value, ...)`` for a value of
``tables/`` or ``claims.json``, and the filters ``two`` (0.77), ``ci`` (0.77 (0.74–0.80)) and
``percent`` (77%).
"""

import json
from typing import Any

import jinja2

from hsd_utils import claims, tables
from hsd_utils.paths import Run

TEMPLATE, PAGE = "README.md.j2", "README.md"
MADE = "<!-- Made by python -m hsd_utils.pages {} from README.md.j2: write there. -->\n"


def render(run: Run) -> tuple[str, str]:
    """The run's README.md and its summary.

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
        "at": lambda name, column, **where: _at(run, name, column, where),
    }
    summary = "".join(template.blocks["summary"](template.new_context(known)))
    return MADE.format(run.name) + template.render(known) + "\n", summary


def _value(found: dict[str, Any] | float) -> float:
    return float(found["value"] if isinstance(found, dict) else found)


def _at(run: Run, name: str, column: str, where: dict[str, Any]) -> Any:
    path = run.folder / claims.FILE if name == "claims" else run.table(name, "json")
    rows = json.loads(path.read_text(encoding="utf-8"))
    fit = [row for row in rows if where.items() <= row.items()]
    if len(fit) != 1:
        raise LookupError(f"{len(fit)} rows of {path.name} fit {where}: name one")
    return fit[0][column]
