"""MetaHate: 36 English collections with one binary label (Piot, Martin-Rodilla, Parapar 2024).

The full collection has 1,226,202 posts, the copy on the Hugging Face hub 1,101,165; both need
the authors' consent.  A local file comes first: ``metahate/metahate.tsv`` in the folder named
by ``HSD_DATA_DIR``, with a header and the columns label and text.

The two samples of the distillation paper were released as row numbers of the full collection
and labels, without texts.  They are looked up in whatever collection is at hand, and refused
unless every label is the released one: a different collection would give other posts.

    python -c "from hsd_utils.readers import metahate; print(metahate.paper('paper_eval')[1])"
"""

from pathlib import Path

import numpy as np
import pandas as pd

from hsd_utils import paths
from hsd_utils.readers import files, tables

HUB_NAME = "irlab-udc/MetaHate"
LOCAL = "metahate/metahate.tsv"


def full() -> tuple[pd.DataFrame, dict]:
    """The collection at hand; ids are row numbers, counted from 0.

    Raises PermissionError, saying how to get access, when there is neither file nor consent.
    """
    path = collection()
    frame, counts = tables.load(path, ["label", "text"])
    if counts["dropped"]:
        # Row numbers are ids: a row left out here would shift all that follow.
        raise ValueError(f"{path} has rows with the wrong number of cells: get an intact copy")
    return frame, counts


def sample() -> tuple[pd.DataFrame, dict]:
    """The 100 posts that the authors published openly."""
    return tables.load(files.find("metahate_sample"), ["label", "text"])


def paper(name: str) -> tuple[pd.DataFrame, dict]:
    """``paper_distil`` (2,296 posts) or ``paper_eval`` (2,001), looked up by row number.

    Raises ValueError, saying how many rows differ, unless all labels are as released.
    """
    posts, counts = full()
    path = files.find(name)
    released, _ = tables.load(path, ["id", "label"])
    rows = released["id"].astype(int).to_numpy()
    # Whether rows count from 0 or from 1 was not released; thousands of labels tell.
    wrong = {first: _mismatches(posts, rows - first, released["label"]) for first in (0, 1)}
    first = min(wrong, key=wrong.get)
    if wrong[first]:
        raise ValueError(
            f"{wrong[first]} of {len(rows)} rows of {path.name} are missing or have another label "
            f"than the released one: the MetaHate file, of {len(posts)} rows, is not the one that "
            "these row numbers count in. Ask the authors for the full collection of 1,226,202 "
            f"posts and save it as {LOCAL} in the folder named by HSD_DATA_DIR"
        )
    chosen = posts.iloc[rows - first].assign(id=released["id"].to_numpy())
    repaired = int(chosen["text"].str.contains("\ufffd", regex=False).sum())
    return chosen, {**counts, "read": len(rows), "undecodable": repaired, "rows_from": first}


def collection() -> Path:
    """Path of the local file, or of the hub's copy (downloaded into the hub's own cache)."""
    if paths.data_dir() and (paths.data_dir() / LOCAL).is_file():
        return paths.data_dir() / LOCAL
    from huggingface_hub import snapshot_download

    reason = "no TSV file there"
    try:
        folder = snapshot_download(
            HUB_NAME,
            repo_type="dataset",
            allow_patterns=["*.tsv"],
            etag_timeout=5,
            local_files_only=paths.offline(),
        )
        for found in sorted(Path(folder).rglob("*.tsv")):
            return found
    except Exception as error:
        # The library's message can repeat request headers: only the kind of error is passed on.
        reason = type(error).__name__
    raise PermissionError(
        f"MetaHate is neither on disk nor readable on the hub ({reason}). Either accept the terms "
        f"at https://huggingface.co/datasets/{HUB_NAME}, create a read token in your account's "
        "settings and set it as the environment variable HF_TOKEN (or run 'hf auth login'); or "
        f"save the collection as {LOCAL} in the folder named by HSD_DATA_DIR"
    )


def _mismatches(posts: pd.DataFrame, rows: np.ndarray, labels: pd.Series) -> int:
    inside = (rows >= 0) & (rows < len(posts))
    same = posts["label"].iloc[rows[inside]].to_numpy() == labels[inside].to_numpy()
    return int(len(rows) - same.sum())
