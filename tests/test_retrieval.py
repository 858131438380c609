"""Demonstrations retrieved for a post: the nearest, the nearest last, with their gold labels."""

import numpy as np
import pandas as pd
import pytest

from hsd_utils import prompts, retrieval, verdict

PROMPT = {"shots": 2, "balance": 0.5, "order": "alternate", "definition": "un"}
PROMPT |= {"label_first": True, "seed": 0}


def embed(texts):
    """A direction on the circle for the number that a text ends in."""
    turns = np.array([float(text.split()[-1]) for text in texts])
    return np.c_[np.cos(turns), np.sin(turns)]


@pytest.fixture
def taught():
    rows = pd.DataFrame({"text": ["a 0.1", "b 0.2", "c 0.3", "d 3"], "gold": [0, 1, 1, 0]})
    rows["label"] = pd.array([0, 1, 0, 0], dtype="Int64")  # c: the teacher insists
    rows["explanations"] = [
        [{"input": t.split()[0], "explanation": "so", "start": 0}] for t in rows["text"]
    ]
    return rows


def test_the_nearest_stand_before_the_post_the_nearest_last(taught):
    converse = retrieval.nearest(taught, PROMPT, embed)
    system, *shown, ask = converse("x 0.25")
    bare = prompts.teacher("x 0.25", **{**PROMPT, "shots": 0})
    assert [system, ask] == bare
    assert [turn["role"] for turn in shown] == ["user", "assistant"] * 2
    assert [turn["content"] for turn in shown[::2]] == ["<post>a 0.1</post>", "<post>b 0.2</post>"]
    told = [verdict.parse(turn["content"]) for turn in shown[1::2]]
    assert [answer.label for answer in told] == [0, 1]
    assert told[1].explanations[0]["input"] == "b"
    assert "d 3" in converse("y 2.9")[-3]["content"]


def test_what_cannot_be_shown_is_refused(taught):
    with pytest.raises(ValueError, match="set shots of 02 above 0"):
        retrieval.nearest(taught, {**PROMPT, "shots": 0}, embed)
    with pytest.raises(ValueError, match="2 demonstrations of 0 with a gold label"):
        retrieval.nearest(taught[taught["text"] == "c 0.3"], PROMPT, embed)
    few = retrieval.nearest(taught, {**PROMPT, "shots": 9}, embed)("x 0.25")
    assert len(few) == 2 + 2 * 3  # no more than there are
