"""What a student should answer: whose label it is taught."""

import numpy as np
import pandas as pd
import pytest

from hsd_utils import objectives


@pytest.mark.parametrize(
    "source, disagreement, labels",
    [
        ("gold", "keep", "gold"),
        ("teacher", "keep", "teacher"),
        ("teacher_soft", "keep", "teacher"),
        ("teacher", "rationalise", "gold"),  # what differed from gold was rewritten
        ("teacher_soft", "drop", "gold"),
    ],
)
def test_whose_labels_a_student_learned(source, disagreement, labels):
    assert objectives.taught_by(source, disagreement) == labels


def test_targets_of_each_label_source():
    table = pd.DataFrame({"text": list("abc"), "label": [1, 0, 1], "gold": [1, 0, 1]})
    table = table.assign(explanations=[[]] * 3, p_hate=[0.8, 0.1, None]).astype({"label": "Int64"})
    soft = objectives.targets(table, "teacher_soft")
    assert [t["p_hate"] for t in soft] == [0.8, 0.1, None]
    assert [t["label"] for t in soft] == [1, 0, 1] and type(soft[0]["label"]) is int
    assert [t["p_hate"] for t in objectives.targets(table, "teacher")] == [None] * 3
    assert objectives.targets(table, "gold") == objectives.targets(table, "teacher")
    with pytest.raises(ValueError, match="'silver': one of gold, teacher, teacher_soft"):
        objectives.targets(table, "silver")
    with pytest.raises(ValueError, match="1 rationales explain a label that is not the gold one"):
        objectives.targets(table.assign(gold=[0, 0, 1]), "gold")
    with pytest.raises(ValueError, match="needs P.hate.: run 02 again with soft_labels=True"):
        objectives.targets(table.assign(p_hate=np.nan), "teacher_soft")
    with pytest.raises(ValueError, match="does not go with the teacher's P.hate."):
        objectives.targets(table.assign(rationalised=[False, True, False]), "teacher_soft")


def test_of_a_post_whose_reason_is_not_known_the_label_alone_is_learned(tokenizer):
    known = {
        "text": "You rot.",
        "label": 1,
        "explanations": [{"input": "rot", "explanation": "it"}],
    }
    both = objectives.examples([known, known | {"explanations": None}], "weighted", alpha=0.3)
    whole, label = (objectives.encode(example, tokenizer) for example in both)
    learned = [i for i, weight in enumerate(label["weights"]) if weight > 0]
    assert tokenizer.decode([label["input_ids"][i] for i in learned]) == "True"
    # Its label counts as much as another's, and what is not known counts nothing.
    assert sum(label["weights"]) == pytest.approx(0.3) and label["total"] == whole["total"] == 1
    with pytest.raises(ValueError, match="go with weighted, not with joint"):
        objectives.examples([known | {"explanations": None}], "joint")
