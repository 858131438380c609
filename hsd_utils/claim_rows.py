"""A claim's row: what was measured, as {value, low, high}, its verdict, and where it stands.

row = claim_rows.as_row("F1 against 0.85", {"value": 0.78, "low": 0.75, "high": 0.81})
"""

from collections.abc import Mapping
from typing import Any

from hsd_utils import analysis_plan, bootstrap


def verdict(found: Mapping[str, Any], null: float = 0.0) -> str:
    """The verdict on {value, low, high}; more is what the claim says, a value alone is both ends.

    "supported" where the interval lies above ``null`` and ``p_holm``, if there is one, below the
    plan's alpha, "not supported" where it lies below, else "inconclusive".
    """
    if found["value"] is None:
        return "not testable here"
    low, high = (found["value"] if found[end] is None else found[end] for end in ("low", "high"))
    if high < null:
        return "not supported"
    p_holm = found.get("p_holm")
    certain = p_holm is None or p_holm < analysis_plan.read()["alpha"]
    return "supported" if low > null and certain else "inconclusive"


def compared(row: Mapping[str, Any], experiment: str, supervision, file, note: str) -> dict:
    """A row from a comparison: difference, low, high, p_value and, where corrected, p_holm."""
    ps = {"p": row.get("p_value"), "Holm": row.get("p_holm")}
    told = [f"{k} {p:.3f}" if p >= 0.001 else f"{k} <0.001" for k, p in ps.items() if p is not None]
    return as_row(experiment, valued(row), None, supervision, file, "; ".join([note, *told]))


def valued(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "value": row["difference"]}


def as_row(experiment, found, judged=None, supervision=None, file=None, note="") -> dict[str, Any]:
    numbers = {key: found[key] for key in ("value", "low", "high")}
    told = {"supervision": supervision, "file": file, "note": found.get("reason") or note}
    return {"experiment": experiment, **numbers, "verdict": judged or verdict(found), **told}


def untested(experiment: str, reason: str, file: str | None = None) -> dict[str, Any]:
    return as_row(experiment, bootstrap.absent(reason), file=file)
