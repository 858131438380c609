"""A cell of the study, piece by piece: its size, threshold, epochs, judges and quotes."""

import pandas as pd
import pytest
from fakes import FakeEngine
from studied import GRID, RUN

from hsd_utils import (
    ablations,
    analysis_plan,
    faithfulness,
    metrics,
    posts,
    predictions,
    provenance,
    study,
    trial,
)


@pytest.fixture
def cell(tmp_path):
    (tmp_path / "study.yaml").write_text(GRID)
    return study.read(tmp_path / "study.yaml")["cells"][0]


def test_a_cell_has_its_size_and_its_threshold_and_is_judged_on_dev(lab, cell, monkeypatch):
    sent = []
    monkeypatch.setattr(metrics, "best_threshold", lambda *_: 0.8)
    monkeypatch.setattr(
        trial, "fit", lambda targets, *a: sent.append(targets) or lab.fit(targets, *a)
    )
    row = study._worked(RUN, cell | {"changes": cell["changes"] | {"size": 0.5}}, 16)
    said = predictions.load(RUN.study(f"{row['key']}.jsonl"))
    assert row["n"] == len(sent[0]["distil"]) == 8
    assert 0 < said["predicted"].sum() and (said["predicted"] == (said["p_hate"] >= 0.8)).all()
    dev = set(lab.samples["dev"]["text"])
    assert sent[0]["dev"] and {target["text"] for target in sent[0]["dev"]} <= dev


def test_a_student_of_some_sources_is_chosen_by_those(lab, cell, monkeypatch):
    sent = []
    monkeypatch.setattr(
        trial, "fit", lambda targets, *a: sent.append(targets) or lab.fit(targets, *a)
    )
    study._worked(RUN, cell | {"changes": cell["changes"] | {"sources": ["corpus/chat"]}}, 4)
    known = pd.concat(lab.samples.values()).set_index("text")["source"]
    for split in ("distil", "dev"):
        assert {known[target["text"]] for target in sent[0][split]} == {"corpus/chat"}


def test_epochs_of_a_cell_are_not_overridden_by_the_run_s_steps(lab, cell):
    manifest = RUN.stage_manifest(trial.NOTEBOOK)
    told = provenance.defaults(trial.NOTEBOOK) | {"run": RUN.name, "max_steps": 1000}
    provenance.write_json(manifest, {"parameters": told})
    assert study.settings(RUN, cell)["max_steps"] == 1000
    more = {"differs": {"epochs": 3}, "changes": cell["changes"] | {"epochs": 3}}
    assert study.settings(RUN, cell | more)["max_steps"] == -1


class Whole(FakeEngine):
    """Quotes the whole post, and thinks that what is awful makes it hate."""

    def __init__(self):
        super().__init__(quoted=str)
        self.p_hate = Awful()


class Awful(dict):
    def get(self, text, _=None):
        return 0.9 if "awful" in text else 0.2


def test_quoting_measures_the_quotes_and_their_narrower_halves(classifier):
    text = "they are awful people here now"
    rows = [{"source": "s", "text": text + end, "label": 1} for end in ("", " too")]
    table = posts.make(rows)
    found = faithfulness.quoting(classifier(Whole()), table, 0)
    assert found["whole"] == found["quotes"] == found["found"] == 2
    assert found["comprehensiveness"]["value"] == pytest.approx(0.7)
    assert found["narrowed"]["above"]["value"] > found["above"]["value"] == 0


def test_04_s_pair_with_the_teacher_is_not_the_study_s_c2():
    others = [{"a": "student", "b": "teacher", "metric": "macro_f1", "p_value": 0.001}]
    table, plan = pd.DataFrame({"label": [0, 1]}), analysis_plan.read()
    assert ablations.finals(RUN, [], [], table, others, plan, 0) == ([], {})


def test_errors_that_a_student_repeats_and_those_it_makes_itself():
    dev = pd.DataFrame({"label": [0, 0, 1, 1, 1]})
    verdicts = {"teacher": [[1, 0, 1, 0, 1]], "soft": [[1, 0, 1, 1, 1], [1, 1, 1, 0, None]]}
    said = {name: [pd.DataFrame({"predicted": v}) for v in vs] for name, vs in verdicts.items()}
    once = {"name": "once", "supervision": "teacher", "seeds": [0]}
    rows = [once | {"name": "soft", "seeds": [0, 1]}, once]
    (found,) = ablations.copied(rows, said, dev, "teacher", 50, 0).to_dict("records")
    assert found["cell"] == "soft" and found["seeds"] == 2 and found["labels from"] == "teacher"
    # Wrong are the teacher's first and fourth; the students: three of four times, and two of six.
    values = [found[title]["value"] for title in ablations.COPIED]
    assert values == pytest.approx([7 / 10, 3 / 4, 2 / 6])
    assert ablations.copied(rows, said, dev, "", 50, 0).empty
