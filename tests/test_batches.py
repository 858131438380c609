"""Batches: what all examples begin with is left out, and labels take turns where that is asked."""

import pytest
import torch

from hsd_utils import batches, objectives


def row(ids, learned):
    """An encoded example whose last ``learned`` tokens count."""
    weights = [0.0] * (len(ids) - learned) + [1.0] * learned
    shares = [0.0] * (len(ids) - 1) + [0.25]
    about = {"other_id": 9, "label": 1, "total": float(learned)}
    return {"input_ids": ids, "weights": weights, "other_share": shares, **about}


ROWS = [row([1, 2, 3, 4, 5, 6], 2), row([1, 2, 3, 7, 8], 1)]


def test_it_is_given_beside_the_rest_and_nothing_of_the_rest_is_lost():
    batch, whole = batches.collate(ROWS, 0, share=True), batches.collate(ROWS, 0)
    assert batch["prefix"].tolist() == [1, 2, 3] and "prefix" not in whole
    assert batch["input_ids"].tolist() == [[4, 5, 6], [0, 7, 8]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [0, 1, 1]]
    for key in ("weights", "other_share"):
        assert batch[key].sum() == whole[key].sum() and batch[key].shape == (2, 3)
    logits = torch.randn(2, 6, 10)
    expected = objectives.weighted_loss(logits, whole)
    assert objectives.weighted_loss(logits[:, 3:], batch) == pytest.approx(expected.item())
    assert batches.logits_needed(batch) == batches.logits_needed(whole) == 3


@pytest.mark.parametrize(
    "rows, prefix",
    [
        ([row([1, 2, 3, 4], 1)] * 2, [1, 2]),  # 3 is what 4 is predicted from
        ([row([1, 2, 3, 4], 0)] * 2, [1, 2, 3]),  # alpha 0: nothing is learned of labels alone
        ([row([1, 2, 3, 4], 3), row([1, 2, 3, 4], 1)], None),
        ([row([1, 2], 1), row([3, 2], 1)], None),
        ([row([1, 2, 3, 4], 1)], None),  # with nobody to share it
    ],
)
def test_what_is_learned_and_what_it_is_predicted_from_stay(rows, prefix):
    batch = batches.collate(rows, 0, share=True)
    assert (batch["prefix"].tolist() if prefix else batch.get("prefix")) == prefix
    left = [r["input_ids"][len(prefix or []) :] for r in rows]
    assert batch["input_ids"].tolist() == left


def test_labels_take_turns_in_an_order_that_is_drawn_anew():
    labels = [1] * 7 + [0] * 5
    sampler = batches.Alternating(labels)
    torch.manual_seed(0)
    first, second = list(sampler), list(sampler)
    assert len(sampler) == 12 and first != second
    for order in (first, second):
        assert sorted(order) == list(range(12))
        told = [labels[i] for i in order]
        assert all(sum(told[i : i + 2]) == 1 for i in range(0, 10, 2)) and told[10:] == [1, 1]
