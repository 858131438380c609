"""What several test files share: the smallest model, from the cache or fetched once."""

from functools import partial

import pytest
from fakes import FakeEngine, P
from tiny_project import project as project  # a fixture, offered to all

from hsd_utils import models, prompts
from hsd_utils.scoring import Classifier
from hsd_utils.store import Store

SMALL = "SmolLM2-135M-Instruct"


@pytest.fixture(scope="session")
def small():
    """The GGUF file of the student; tests that need it are skipped where nothing has it."""
    try:
        return models.fetch(SMALL)
    except (ConnectionError, OSError) as error:
        pytest.skip(f"{SMALL} is neither in the cache nor to be had: {error}")


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
