"""Label Studio's own SDK takes configuration, tasks and answers: ``make test-label-studio``.

Skipped where the SDK (requirements-label-studio.txt) is missing.
"""

import json
import os
import random

import pytest
from pandas.testing import assert_frame_equal
from rated import HOSTILE
from test_ratings_forms import exported
from test_ratings_forms import given as given  # the fixtures
from test_ratings_forms import items as items

from hsd_utils.ratings import ANSWERS, QUESTIONS, SIDES, label_studio, sheet

if not os.environ.get("HSD_LABEL_STUDIO"):  # by make test-label-studio: then nothing is skipped
    pytest.importorskip("label_studio_sdk", reason="make test-label-studio installs it")
from label_studio_sdk.label_interface import LabelInterface  # noqa: E402
from label_studio_sdk.label_interface.objects import AnnotationValue, TaskValue  # noqa: E402

# The SDK makes its regions by a call that pydantic would have it replace.
pytestmark = pytest.mark.filterwarnings("ignore:The `dict` method is deprecated")
USER = 7


@pytest.fixture
def written(items, tmp_path):
    """Configuration, as the SDK reads it, and tasks, from the files that go there."""
    files = tmp_path / "tasks.json", tmp_path / "config.xml"
    label_studio.write(items, *files)
    tasks, config = (file.read_text(encoding="utf-8") for file in files)
    return LabelInterface(config), json.loads(tasks)


@pytest.fixture
def read(items, tmp_path):
    """Reads an export of these tasks back."""

    def back(tasks):
        file = tmp_path / "export.json"
        file.write_text(json.dumps(tasks), encoding="utf-8")
        return label_studio.read(file, items)

    return back


def answered(given):
    """What is expected back: the rater is known by the number in Label Studio only."""
    return given.assign(kind="human", rater=f"rater-ls{USER:03}").astype(object)


def annotation(config, item, given):
    """What one rater said of an item, in regions that the SDK itself makes."""
    said = given[given["item"] == item]
    regions = [
        config.get_control(f"{row['side']}_{question}").label(row[question])
        for row in said.to_dict("records")
        for question in QUESTIONS
    ]
    return AnnotationValue(completed_by=USER, result=regions).model_dump()


def test_the_configuration_is_valid_and_asks_what_the_rubric_asks(written):
    config, _ = written
    config.validate()
    assert {tag.name: tag.tag for tag in config.objects} == dict.fromkeys(SIDES, "HyperText")
    asked = {f"{side}_{question}": side for side in SIDES for question in QUESTIONS}
    assert {tag.name: tag.to_name for tag in config.controls} == {
        name: [side] for name, side in asked.items()
    }
    schema = config.to_json_schema()
    assert schema["required"] == list(asked)
    assert {tuple(answer["enum"]) for answer in schema["properties"].values()} == {ANSWERS}


def test_every_task_is_valid_and_shows_its_cards_whatever_the_post_holds(written, items):
    config, tasks = written
    assert len(tasks) == len(items) and set(HOSTILE) <= {item["text"] for item in items}
    for task, item in zip(tasks, items, strict=True):
        assert config.validate_task(task) and TaskValue(**task).data == task["data"]
        shown = {tag.name: tag.value for tag in config.load_task(task["data"]).objects}
        assert shown == {side: sheet.card(item, side) for side in SIDES}


def test_answers_in_the_sdk_s_own_form_are_read_back(written, read, given):
    config, tasks = written
    for number, task in enumerate(tasks):
        task |= {"id": number, "annotations": [annotation(config, task["data"]["item"], given)]}
        assert config.validate_annotation(task["annotations"][0])
    assert_frame_equal(read(tasks), answered(given))


def test_an_export_as_the_other_tests_write_it_is_valid(written, read, items, given):
    config, _ = written
    tasks = exported(items, given, USER)
    for task in tasks:
        assert config.validate_annotation(task["annotations"][0])
        assert config.validate_prediction(task["predictions"][0], return_errors=True) == []
        assert TaskValue(**task).annotations[0].completed_by == USER
    assert_frame_equal(read(tasks), answered(given))


def test_any_answers_that_the_configuration_allows_are_read_back(written, read):
    config, tasks = written
    random.seed(0)  # from which the SDK draws its examples
    drawn = {}
    for task in tasks:
        made = config.generate_sample_annotation()  # None where its own example is not valid
        task["annotations"] = [made | {"completed_by": USER}]
        drawn |= {
            (task["data"]["item"], region["from_name"]): region["value"]["choices"]
            for region in made["result"]
        }
    found = read(tasks).to_dict("records")
    assert len(found) == len(SIDES) * len(tasks)
    for row in found:
        for question in QUESTIONS:
            assert [row[question]] == drawn[row["item"], f"{row['side']}_{question}"]


def test_a_skipped_task_is_valid_and_skipped_in_all_questions(written, read):
    config, tasks = written
    skipped = AnnotationValue(completed_by=USER, was_cancelled=True, result=[]).model_dump()
    assert config.validate_annotation(skipped)
    tasks[0]["annotations"] = [skipped]
    found = read([*tasks[:1], *(task | {"annotations": []} for task in tasks[1:])])
    assert found[list(QUESTIONS)].to_numpy().tolist() == [["skip"] * len(QUESTIONS)] * len(SIDES)


def test_what_does_not_fit_is_refused(written, items, given):
    """Else the checks above would say nothing."""
    config, (task, *_) = written
    assert not LabelInterface(label_studio.config().replace('"B_', '"A_')).is_valid
    assert not LabelInterface(label_studio.config().replace('toName="B"', 'toName="C"')).is_valid
    for side in SIDES:
        rest = {name: value for name, value in task["data"].items() if name != side}
        assert not config.validate_task({"data": rest})
    changes = (
        {"value": {"choices": ["perhaps"]}},
        {"value": {"choices": "yes"}},
        {"value": {}},
        {"from_name": "A_beauty"},
        {"to_name": "B"},
        {"type": "labels"},
    )
    for change in changes:
        result = exported(items, given)[0]["annotations"][0]["result"]
        assert config.validate_annotation({"result": result})
        result[0] |= change
        assert not config.validate_annotation({"result": result}), change
