"""Batches: what all examples begin with is left out, labels spread evenly where asked."""

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
        ([row([1, 2, 3, 4], 0)] * 2, [1, 2]),  # alpha 0: nothing is learned of labels alone
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


def test_a_gradient_is_the_same_whether_the_beginning_is_read_once_or_for_each():
    from transformers import LlamaConfig, LlamaForCausalLM  # see test_objectives

    torch.manual_seed(0)
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "vocab_size": 20}
    model = LlamaForCausalLM(LlamaConfig(**small, num_attention_heads=2, num_key_value_heads=1))
    rows, found = [*ROWS, row([1, 2, 3, 5, 5, 9, 2, 8], 3)], {}
    for share in (True, False):
        batch = batches.collate(rows, 0, share)
        model.zero_grad()
        logits = model(**batches.read(model, batch)).logits
        objectives.weighted_loss(logits, batch).backward()
        found[share] = torch.cat([weight.grad.flatten() for weight in model.parameters()])
    assert found[False].norm() > 0
    assert (found[True] - found[False]).norm() < 1e-5 * found[False].norm()


@pytest.mark.parametrize("hateful, harmless", [(6, 6), (9, 3), (2, 10)])
def test_labels_are_spread_evenly_in_an_order_that_is_drawn_anew(hateful, harmless):
    labels = [1] * hateful + [0] * harmless
    sampler = batches.Alternating(labels)
    torch.manual_seed(0)
    first, second = list(sampler), list(sampler)
    assert len(sampler) == 12 and first != second
    for order in (first, second):
        assert sorted(order) == list(range(12))
        halves = [sum(labels[i] for i in half) for half in (order[:6], order[6:])]
        assert abs(halves[0] - halves[1]) <= 1
