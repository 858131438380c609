"""Who read the labels of the evaluation posts, and when: one line a read, only ever appended.

A threshold, recipe or prompt chosen after looking at ``eval`` is chosen on it.  The ledger lies
beside the run (``Run.ledger``) and holds no post.

    held_out = ledger.read(stage.run, "04_evaluation", "eval")
"""

import json
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from hsd_utils import paths, posts
from hsd_utils.machine import environment
from hsd_utils.paths import Run


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
    with open(run.ledger, "a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")
    return table


def entries(run: Run, split: str | None = None) -> list[dict[str, Any]]:
    """All reads, oldest first; those of the posts that ``split`` holds now, where it is named."""
    rows = posts.read_rows(run.ledger) if run.ledger.exists() else []
    if split is None:
        return rows
    digest = paths.sha256(run.sample(split))
    return [row for row in rows if (row["split"], row["hash"]) == (split, digest)]
