"""Profiles: every name and type is known, and what they ask for can be had."""

import numpy as np
import pytest
import yaml

from hsd_utils import (
    analysis_plan,
    baselines,
    objectives,
    paths,
    pipeline,
    prompts,
    provenance,
    rationales,
    readers,
    sampling,
    study,
)
from hsd_utils.engines import ENGINES
from hsd_utils.models import MODELS, check_licence

NAMES = ("smoke", "demo", "reference", "confirmation", "paper", "paper-as-released")
profiles = pytest.mark.parametrize("name", NAMES)
KINDS = {"gpu_gb": int, "memory_gb": int, "disk_gb": int, "hub": list, "data": list}


def planned(name):
    """The parameters of each stage by its number."""
    return {stage[:2]: values for stage, values in pipeline.plan(name, "test").items()}


def test_these_are_all():
    assert set(pipeline.PROFILES) == set(NAMES)


@profiles
def test_sections_and_parameters_exist_and_fit(name):
    made = planned(name)
    assert len(made) == len(provenance.STAGES)
    text = (paths.PROFILES / f"{name}.yaml").read_text()
    assert text.startswith("# ") and yaml.safe_load(text)["about"]


@profiles
def test_a_profile_holds_only_what_differs(name):
    same = [
        f"{stage}.{parameter}"
        for stage, section in pipeline.read_profile(name)[0].items()
        for parameter, value in (section or {}).items()
        if value == provenance.defaults(stage)[parameter]
    ]
    assert not same


def test_the_demo_is_the_defaults():
    made = pipeline.plan("demo", "demo")
    assert made == {stage: provenance.defaults(stage) for stage in provenance.STAGES}


@profiles
def test_the_words_of_parameters_are_known(name):
    one, two, three, four, five = (planned(name)[n] for n in ("01", "02", "03", "04", "05"))
    assert one["label_mapping"] in readers.LABEL_MAPPINGS
    assert set(one["sources"]) <= set(readers.READERS) and set(one["only"]) <= set(paths.SPLITS)
    engines = (two["engine"], four["student_engine"], five["student_engine"], five["common_engine"])
    assert set(engines) <= set(ENGINES)
    assert two["disagreement"] in rationales.DISAGREEMENT
    assert three["objective"] in objectives.OBJECTIVES
    assert three["label_source"] in objectives.LABEL_SOURCES
    assert three["loss_on"] in objectives.LOSS_ON
    assert three["gradient_checkpointing"] in ("", "unsloth")
    assert {two["teacher"], three["student"]} <= set(MODELS) and two["student"] == three["student"]
    check_licence(two["teacher"], three["student"], two["licence_override"])


@profiles
def test_baselines_and_further_posts_are_known(name):
    four, seven = planned(name)["04"], planned(name)["07"]
    for stage in (four, seven):
        assert set(stage["compared"]) <= {*baselines.BASELINES, "hatesonar"}  # of no hub, no pickle
    further = {seven["functional"], *seven["unused_sources"], *seven["external"]}
    assert further <= set(readers.READERS)
    assert seven["disturbed_posts"] <= seven["unused_posts"] and seven["prevalences"]


def test_the_reference_compares_what_the_plan_names():
    pairs = [p for c in ("C2", "C3") for p in analysis_plan.read()["confirmatory"][c]["pairs"]]
    measured = {"teacher", "base", *planned("reference")["04"]["compared"]}
    assert {b for _, b in pairs} <= measured


def test_the_confirmation_is_of_the_reference_and_the_study():
    one, other = planned("reference"), planned("confirmation")
    assert other["01"]["kept_from"] == "reference" and other["01"]["seed"] != one["01"]["seed"]
    assert other["02"] == one["02"] | {"run": "test"} and other["03"] == one["03"]
    grid = study.read(paths.NOTEBOOKS / other["08"]["grid_file"])
    known = {(c["name"], c["seed"]): c["changes"] for c in study.read()["cells"]}
    assert all(cell["changes"] == known[cell["name"], cell["seed"]] for cell in grid["cells"])
    assert {pair.get("plan") for pair in grid["finals"]} == {"C2", "C4", None}


@profiles
def test_the_prompt_can_be_made(name):
    two = planned(name)["02"]
    words = ("shots", "balance", "order", "definition", "label_first", "seed")
    messages = prompts.teacher("a post", **{word: two[word] for word in words})
    assert len(messages) == 2 + 2 * two["shots"]


@profiles
def test_the_samples_can_be_drawn_and_are_enough_to_time(name):
    made = planned(name)
    one, five = made["01"], made["05"]
    sizes = {split: one[f"{split}_size"] for split in paths.SPLITS}
    sampling.quotas(sizes, sorted(one["sources"]), one["only"])
    for posts in (five["teacher_posts"], five["student_posts"], five["common_posts"]):
        assert 2 * (1 + sum(posts.values())) <= sum(sizes.values()), posts  # see timing.measure
        assert all(int(batch) <= count for batch, count in posts.items() if int(batch) > 1)


@profiles
def test_needs_are_of_known_kinds(name):
    _, needs = pipeline.read_profile(name)
    assert all(isinstance(value, KINDS[kind]) for kind, value in needs.items())
    assert bool(needs) == name.startswith("paper")


@pytest.mark.parametrize("name", ["paper", "paper-as-released"])
def test_the_paper_needs_its_models_and_data(name):
    (_, needs), made = pipeline.read_profile(name), planned(name)
    repositories = {
        MODELS[made["02"]["teacher"]].repository,
        MODELS[made["03"]["student"]].repository,
    }
    assert repositories == set(needs["hub"]) and needs["gpu_gb"] >= 40
    assert needs["data"] == [readers.metahate.LOCAL]
    one = made["01"]
    assert one["only"]["eval"] == ["paper_eval"]
    sizes = {split: one[f"{split}_size"] for split in paths.SPLITS}
    asked = sampling.quotas(sizes, sorted(one["sources"]), one["only"]).sum(axis=1)
    released = np.array([1150, 1146, 1001, 1000])  # posts without and with hate; some are alike
    assert (asked <= 0.97 * released).all() and (asked > 0.9 * released).all()


def test_as_released_differs_from_the_paper_only_where_it_says():
    one, other = planned("paper"), planned("paper-as-released")
    differs = {f"{s}.{k}" for s in one for k in one[s] if one[s][k] != other[s][k]}
    said = {"02.balance", "02.shots", "03.recipe", "03.loss_on", "03.patience"}
    assert differs <= said and {"02.balance", "03.loss_on"} <= differs
