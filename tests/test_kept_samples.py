"""Notebook 01 on top of an earlier run: its samples are taken over, `eval` alone is new."""

import cells
import pytest

from hsd_utils import paths, posts, provenance, sampling
from hsd_utils.paths import Run

SIZES = {"distil_size": 24, "dev_size": 8, "cal_size": 8, "eval_size": 12}


@pytest.fixture
def first(tmp_path, monkeypatch):
    monkeypatch.setenv("HSD_OUTPUTS", str(tmp_path))
    cells.execute("01_sampling", run="first", **SIZES)
    return Run("first")


def ids(run, split):
    return set(posts.read_jsonl(run.sample(split))["id"])


def listed(folder, name, known):
    (folder / name).write_text("\n".join(sorted(known)))
    return str(folder / name)


def test_only_eval_is_drawn_and_nothing_in_it_is_like_an_earlier_post(first, tmp_path):
    cells.execute("01_sampling", run="other", **SIZES, seed=5)
    drawn, read = ids(Run("other"), "distil"), ids(Run("other"), "eval")
    asked = {"run": "second", "kept_from": "first", "eval_size": 14, "seed": 1, "looked_at": 30}
    asked |= {"drawn_before": listed(tmp_path, "drawn", drawn)}
    cells.execute("01_sampling", **asked, read_before=listed(tmp_path, "read", read))
    second = Run("second")
    for split in ("distil", "dev", "cal"):
        assert second.sample(split).read_bytes() == first.sample(split).read_bytes()
    known = {split: posts.read_jsonl(first.sample(split)) for split in paths.SPLITS}
    known |= {f"other {s}": posts.read_jsonl(Run("other").sample(s)) for s in ("distil", "eval")}
    new = posts.read_jsonl(second.sample("eval"))
    for sample in known.values():
        assert not sampling.overlap({"known": sample, "new": new})
    assert new["label"].tolist().count(1) == 7 == len(new) / 2 and not ids(second, "eval") & ids(
        first, "eval"
    )
    assert provenance.stale(second, "01_sampling", second.parameters("01_sampling")) is None
    first.sample("cal").write_text("")
    assert "changed" in provenance.stale(second, "01_sampling", second.parameters("01_sampling"))


def test_what_is_left_out_is_not_drawn(first, tmp_path):
    asked = {"run": "second", "kept_from": "first", "eval_size": 14, "looked_at": 30}
    cells.execute("01_sampling", **asked)
    again = listed(tmp_path, "left", ids(Run("second"), "eval"))
    cells.execute("01_sampling", **asked | {"run": "third"}, left_out=again)
    assert ids(Run("third"), "eval") and not ids(Run("third"), "eval") & ids(Run("second"), "eval")
