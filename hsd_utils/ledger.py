"""Who read the labels of the evaluation posts, and when: one line a read, only ever appended.

A threshold, recipe or prompt chosen after looking at ``eval`` is chosen on it.  The ledger lies
beside the run (``Run.ledger``) and holds no post.

    held_out = ledger.read(stage.run, "04_evaluation", "eval")
    fresh = ledger.fresh(stage.run, held_out)
"""

import logging
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from hsd_utils import paths, posts
from hsd_utils.machine import environment
from hsd_utils.paths import Run

log = logging.getLogger(__name__)


def read(run: Run, notebook: str, split: str) -> pd.DataFrame:
    """The posts of a sample with their labels; that they were read is written down first."""
    path = run.sample(split)
    table = posts.read_jsonl(path)
    entry = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": environment()["commit"],
        "notebook": notebook,
        "split": split,
        "n": len(table),
        "hash": paths.sha256(path),
    }
    paths.append(run.ledger, entry)
    return table


def fresh(run: Run, table: pd.DataFrame) -> np.ndarray:
    """Which posts of a sample earlier work had not drawn, for whatever purpose; bool, (n,).

    All of them where 01's parameter ``drawn_before`` names no list.
    """
    known = paths.ids(run.parameters("01_sampling").get("drawn_before", ""))
    return ~table["id"].isin(known).to_numpy()


def entries(run: Run, split: str | None = None) -> list[dict[str, Any]]:
    """All reads, oldest first; those of the posts that ``split`` holds now, where it is named.

    Lines that were cut off are left out, and said to be.
    """
    rows = paths.lines(run.ledger)
    if damaged := rows.count(None):
        log.warning("%s: %d damaged line(s), reads that are not listed", run.ledger.name, damaged)
    rows = [row for row in rows if row]
    if split is None:
        return rows
    digest = paths.sha256(run.sample(split))
    return [row for row in rows if (row["split"], row["hash"]) == (split, digest)]
