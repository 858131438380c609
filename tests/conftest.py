"""What several test files share: the smallest model, a fake classifier, counts of faults."""

import json
import os
from functools import partial
from pathlib import Path

import pytest
from detected import toy as toy  # fixtures, offered to all
from fakes import FakeEngine, P
from tiny_project import project as project

from hsd_utils import machine, models, paths, prompts
from hsd_utils.readers import files
from hsd_utils.scoring import Classifier
from hsd_utils.store import Store

SMALL = "SmolLM2-135M-Instruct"
# A folder of somebody's own data may hold none of the public sets.
FOLDER, SETS = os.environ.get("HSD_DATA_DIR"), ("davidson", "hatexplain", "ethos", "hatecheck")
WANTED = ["stormfront", *(files.FILES[name][0] for name in (*SETS, "metahate_sample"))]
POSTS_AT_HAND = FOLDER and all((Path(FOLDER) / place).exists() for place in WANTED)
real_posts = pytest.mark.skipif(not POSTS_AT_HAND, reason="HSD_DATA_DIR has no public data sets")
FULL = bool(os.environ.get("HSD_FULL"))  # make test-full: as many faults as are reported


# The longest first, so that of two workers none is left alone with one at the end; training some
# files after smoke, so that the two do not train at once.
LONGEST = ["smoke", "engines", "release_notebooks", "explanations_notebook", "training", "trial"]
LONGEST += ["pipeline", "export", "int8", "kills", "evaluation_notebooks", "ablations"]


def pytest_collection_modifyitems(items):
    """In the order of LONGEST, then as they come."""
    place = {f"test_{name}.py": n for n, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.name, len(place)))


@pytest.fixture(scope="session")
def small():
    """The GGUF file of the student; tests that need it are skipped where nothing has it."""
    try:
        return models.fetch(SMALL)
    except (ConnectionError, OSError) as error:
        pytest.skip(f"{SMALL} is neither in the cache nor to be had: {error}")


@pytest.fixture(scope="session")
def tokenizer(small):
    from transformers import AutoTokenizer  # late: Unsloth, in test_training, goes before it

    return AutoTokenizer.from_pretrained(models.torch_weights(SMALL))


@pytest.fixture
def classifier(tmp_path, monkeypatch):
    """Opens a Classifier over a fake engine; its store is closed at the end."""
    monkeypatch.setenv("HSD_CACHE", str(tmp_path))
    stores = []

    def make(engine=None, **settings):
        engine = engine or FakeEngine(P)
        stores.append(Store.open(engine.identity))
        settings = {"converse": partial(prompts.teacher, shots=2)} | settings
        return Classifier(engine, stores[-1], **settings)

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def lab(monkeypatch, tmp_path):
    """A run up to 04 whose models answer by rule."""
    from studied import Lab  # late: it takes torch along, which goes after Unsloth

    return Lab(monkeypatch, tmp_path)


@pytest.fixture
def taught(lab):
    return lab.taught


@pytest.fixture(scope="session")
def faults():
    """What the tests of faults counted; the counts of a full run are kept."""
    counted = {"machine": machine.environment()["hardware"]}
    yield counted
    if FULL:
        file = paths.REPOSITORY / "outputs" / "reference" / "faults.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        before = json.loads(file.read_text()) if file.exists() else {}  # of another part
        file.write_text(json.dumps(before | counted, indent=1) + "\n")
