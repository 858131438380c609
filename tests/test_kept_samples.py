"""Notebook 01 on top of an earlier run: its samples are taken over, `eval` alone is new."""

import shutil

import cells
import pytest

from hsd_utils import earlier, paths, posts, provenance, sampling
from hsd_utils.paths import Run

SIZES = {"distil_size": 24, "dev_size": 8, "cal_size": 8, "eval_size": 12}
KEPT = {"run": "second", "kept_from": "first", "seed": 1, "looked_at": 30}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HSD_OUTPUTS", str(folder := tmp_path_factory.mktemp("drawn")))
        again = listed(folder, "again", ["corpus-from-elsewhere"])
        cells.execute("01_sampling", run="first", **SIZES, drawn_before=again)
    return folder


@pytest.fixture
def first(drawn, tmp_path, monkeypatch):
    monkeypatch.setenv("HSD_OUTPUTS", str(tmp_path))
    shutil.copytree(drawn, tmp_path, dirs_exist_ok=True)
    return Run("first")


def ids(run, split):
    return set(posts.read_jsonl(run.sample(split))["id"])


def listed(folder, name, known):
    (folder / name).write_text("\n".join(sorted(known)))
    return str(folder / name)


def test_only_eval_is_drawn_and_nothing_in_it_is_like_an_earlier_post(first, tmp_path):
    cells.execute("01_sampling", run="other", **SIZES, seed=5)
    read = listed(tmp_path, "read", ids(Run("other"), "distil"))
    cells.execute("01_sampling", **SIZES | KEPT | {"eval_size": 14}, read_before=read)
    second = Run("second")
    for split in ("distil", "dev", "cal"):
        assert second.sample(split).read_bytes() == first.sample(split).read_bytes()
    known = {split: posts.read_jsonl(first.sample(split)) for split in paths.SPLITS}
    known["other"] = posts.read_jsonl(Run("other").sample("distil"))
    new = posts.read_jsonl(second.sample("eval"))
    for sample in known.values():
        assert not sampling.overlap({"known": sample, "new": new})
    assert new["label"].tolist().count(1) == 7 == len(new) / 2
    assert ids(first, "eval") <= set(earlier.known(second)["kept"]["id"])
    parameters = second.parameters("01_sampling")
    assert provenance.stale(second, "01_sampling", parameters) is None
    first.sample("cal").write_text("")
    assert "changed" in provenance.stale(second, "01_sampling", parameters)


def test_what_is_left_out_is_not_drawn_and_what_was_drawn_is_counted(first, tmp_path):
    cells.execute("01_sampling", **SIZES | KEPT)
    again = listed(tmp_path, "again", ids(Run("second"), "eval"))
    cells.execute("01_sampling", **SIZES | KEPT | {"run": "third"}, left_out=again)
    assert ids(Run("third"), "eval") and not ids(Run("third"), "eval") & ids(Run("second"), "eval")
    cells.execute("01_sampling", **SIZES | KEPT | {"run": "fourth"}, drawn_before=again)
    assert ids(Run("fourth"), "eval") == ids(Run("second"), "eval")
    drawn = Run("fourth").measured("01_sampling")["sampling"]["draw"]
    assert drawn["eval_drawn_before"] == SIZES["eval_size"]


def test_samples_that_would_not_go_together_are_refused(first):
    asked = provenance.defaults("01_sampling") | SIZES | KEPT
    kept, known = earlier.samples("first", asked)
    assert "corpus-from-elsewhere" in known and ids(first, "eval") < set(known)
    assert set(kept) == {"distil", "dev", "cal"}
    wrong = {"run": "first", "dev_size": 10, "label_mapping": "toxic", "sources": ["ethos"]}
    wrong["read_before_anywhere"] = False
    said = ("another name", "dev_size is 8", "label_mapping was 'strict'", "corpus", "must be True")
    with pytest.raises(ValueError) as refused:
        earlier.samples("first", asked | wrong)
    assert all(part in str(refused.value) for part in said)
    first.sample("eval").unlink()
    with pytest.raises(FileNotFoundError, match="run first has no samples here; make them"):
        earlier.samples("first", asked)
