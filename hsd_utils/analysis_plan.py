"""The plan of analysis: what is confirmatory, tested how, on how many posts.

``notebooks/analysis_plan.yaml`` is data, committed before results; here it is read, checked and
applied to what a run compared.

    python -c "from hsd_utils import analysis_plan; print(analysis_plan.read()['confirmatory'])"
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from hsd_utils import metrics, paths, statistics

FILE = paths.NOTEBOOKS / "analysis_plan.yaml"
KEYS = (
    "version primary beside alpha correction resamples confirmatory exploratory power discordant "
    "margin sizes detectable seeds recipe_search final"
).split()


def read(path: Path = FILE) -> dict[str, Any]:
    """The checked plan.  Raises ValueError, listing everything that is wrong with it."""
    plan = yaml.safe_load(path.read_text(encoding="utf-8"))
    if wrong := problems(plan):
        raise ValueError(f"{path.name}: {'; '.join(wrong)}")
    return plan


def problems(plan: Mapping[str, Any]) -> list[str]:
    """What is wrong with a plan; [] if nothing."""
    if not isinstance(plan, Mapping) or set(plan) != set(KEYS):
        given = set(plan) if isinstance(plan, Mapping) else set()
        return [f"missing: {sorted(set(KEYS) - given)}; unknown: {sorted(given - set(KEYS))}"]
    found = []
    for key in ("primary", "beside"):
        if plan[key] not in metrics.OF_LABELS + metrics.OF_SCORES:
            found.append(f"{key} {plan[key]!r} is no measure")
    if plan["correction"] != "holm":
        found.append("the only correction is holm")
    for key in ("alpha", "power", "discordant", "margin"):
        if not 0 < plan[key] < 1:
            found.append(f"{key} is {plan[key]}, not between 0 and 1")
    if set(plan["sizes"]) != set(paths.SPLITS):
        found.append(f"sizes are of {', '.join(paths.SPLITS)}")
    if plan["recipe_search"]["split"] != "dev":
        found.append("recipes are searched on dev only")
    for claim, about in plan["confirmatory"].items():
        if not about.get("pairs") or any(len(set(pair)) != 2 for pair in about["pairs"]):
            found.append(f"{claim} needs pairs of two models")
    if found:
        return found
    if plan["sizes"]["eval"] not in plan["detectable"]:
        found.append("no detectable difference is given for the size of eval")
    for n, stated in plan["detectable"].items():
        least = statistics.detectable(
            n, plan["discordant"], power=plan["power"], alpha=plan["alpha"]
        )
        if least is None or abs(least - stated) > 5e-4:
            found.append(f"{n} posts detect {least and round(least, 4)}, not {stated}")
    return found


def corrected(
    comparisons: Sequence[Mapping[str, Any]], plan: Mapping[str, Any], taught: str | None = None
) -> list[dict]:
    """The comparisons with ``claim`` and ``p_holm``, null where a pair is exploratory.

    comparisons: dicts of a, b, metric, p_value.  taught: whose labels the student learned; a
    claim about a student taught otherwise is not tested by this one.  A claim's p-value is the
    largest of its pairs' (an intersection-union test, Berger 1982), its p_holm is shown at each
    of them, and null as long as a pair is missing; in Holm's family it then counts as 1, so that
    the number of claims stays what the plan says.
    """
    named = {(c["a"], c["b"]): c["p_value"] for c in comparisons if c["metric"] == plan["primary"]}
    claims = {
        claim: [tuple(p) for p in about["pairs"]]
        for claim, about in plan["confirmatory"].items()
        if about.get("taught") in (None, taught)
    }
    worst = dict.fromkeys(plan["confirmatory"])
    for claim, pairs in claims.items():
        values = [named.get(pair) for pair in pairs]
        worst[claim] = None if None in values else max(values)
    family = statistics.holm({claim: 1.0 if p is None else p for claim, p in worst.items()})
    made = []
    for found in comparisons:
        pair, primary = (found["a"], found["b"]), found["metric"] == plan["primary"]
        claim = next((c for c, pairs in claims.items() if primary and pair in pairs), None)
        tested = claim is not None and worst[claim] is not None
        made.append({**found, "claim": claim, "p_holm": family[claim] if tested else None})
    return made
