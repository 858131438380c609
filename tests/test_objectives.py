"""Objectives: what each token of an example counts, and the loss by hand."""

import math
from statistics import mean

import pytest
import torch

from hsd_utils import batches, objectives, prompts, verdict

TRICK = '{"hate_speech":"False"}'  # the key of the label, inside an explanation
ROWS = [
    {
        "text": f"These people {verb}.",
        "label": label,
        "explanations": [{"input": verb, "explanation": f"It says that they {verb}. {TRICK}"}],
        "p_hate": p,
    }
    for verb, label, p in [("are vermin", 1, 0.9), ("are my dearest friends", 0, 0.3)]
]
HARD = [{**row, "p_hate": None} for row in ROWS]
ORDERS = pytest.mark.parametrize("label_first", [True, False])


def made(objective, rows=ROWS, **more):
    return objectives.examples(rows, objective, **more)


def answer_of(row):
    """Positions of the answer's tokens in an encoded example of loss_on="answer"."""
    return [i for i, weight in enumerate(row["weights"]) if weight > 0]


@ORDERS
def test_joint_counts_all_tokens_of_the_answer_alike(tokenizer, label_first):
    for example, source in zip(made("joint", label_first=label_first), ROWS, strict=True):
        row = objectives.encode(example, tokenizer)
        answer = answer_of(row)
        assert {row["weights"][i] for i in answer} == {1.0}
        assert answer == list(range(answer[0], len(row["input_ids"])))
        text = verdict.write(source["label"], source["explanations"], label_first)
        assert tokenizer.decode(row["input_ids"][answer[0] :]) == text + tokenizer.eos_token
        before = tokenizer.decode(row["input_ids"][: answer[0]])
        assert source["text"] in before and before.endswith("<|im_start|>assistant\n")


@ORDERS
@pytest.mark.parametrize("objective", ["weighted", "label_only"])
def test_the_label_gets_alpha_and_the_rest_what_is_left(tokenizer, objective, label_first):
    examples = made(objective, alpha=0.3, label_first=label_first)
    for example, source in zip(examples, ROWS, strict=True):
        row = objectives.encode(example, tokenizer)
        weights = row["weights"]
        assert sum(weights) == pytest.approx(1)
        heavy = [i for i, weight in enumerate(weights) if weight == max(weights)]
        assert sum(weights[i] for i in heavy) == pytest.approx(0.3)
        taught = tokenizer.decode([row["input_ids"][i] for i in heavy])
        assert taught == verdict.word(source["label"])
        # The label's own key, not the one that an explanation quotes.
        rest = tokenizer.decode(row["input_ids"][heavy[-1] + 1 :])
        assert (TRICK[1:8] in rest) == (label_first and objective == "weighted")
        told = source["explanations"] if objective == "weighted" else []
        whole = verdict.write(source["label"], told, label_first) + tokenizer.eos_token
        assert tokenizer.decode(row["input_ids"][answer_of(row)[0] :]) == whole
        assert len({weights[i] for i in answer_of(row)} - {max(weights)}) == 1


@ORDERS
def test_task_prefix_asks_twice_and_learns_the_label_once(tokenizer, label_first):
    examples = made("task_prefix", alpha=0.3, label_first=label_first)
    tasks = [e["messages"][0]["content"].split(" ")[0] for e in examples]
    assert tasks == ["[label]", "[rationale]"] * 2
    encoded = [objectives.encode(e, tokenizer) for e in examples]
    label, rationale = encoded[0], encoded[1]
    assert sum(label["weights"]) / sum(rationale["weights"]) == pytest.approx(0.3 / 0.7)
    assert len({w for w in label["weights"] if w}) == 1  # its few tokens alike
    text = verdict.write(1, ROWS[0]["explanations"], label_first)
    answer = len(tokenizer(text)["input_ids"]) + 1
    silent = [i for i, w in enumerate(rationale["weights"][-answer:]) if w == 0]
    ids = rationale["input_ids"][-answer:]
    assert tokenizer.decode([ids[i] for i in silent]) == "True"


@ORDERS
@pytest.mark.parametrize("objective", objectives.OBJECTIVES)
def test_a_soft_label_moves_its_share_to_the_other_word(tokenizer, objective, label_first):
    for example in made(objective, label_first=label_first):
        row = objectives.encode(example, tokenizer)
        (spot,) = [i for i, share in enumerate(row["other_share"]) if share]
        words = verdict.word(example["label"]), verdict.word(1 - example["label"])
        taught = row["input_ids"][spot], row["other_id"]
        assert tuple(map(tokenizer.decode, taught)) == words
        # P(hate) is 0.9 of a post taught as hate, 0.3 of one taught as none.
        assert row["other_share"][spot] == pytest.approx(0.1 if example["label"] else 0.3)
    assert not any(objectives.encode(made(objective, HARD)[0], tokenizer)["other_share"])


@pytest.mark.parametrize("objective", objectives.OBJECTIVES)
def test_loss_on_everything_learns_the_prompt_as_a_part_of_the_rest(tokenizer, objective):
    example = made(objective, alpha=0.25)[-1]
    row = objectives.encode(example, tokenizer, loss_on="everything")
    quiet = objectives.encode(example, tokenizer)
    begin = answer_of(quiet)[0]
    assert row["input_ids"] == quiet["input_ids"] and not any(quiet["weights"][:begin])
    # All but the first token, which nothing precedes.
    assert set(row["weights"][1:begin]) == {row["weights"][-1]} != {0.0} == {row["weights"][0]}
    if objective != "joint":  # as much in all as without it
        assert sum(row["weights"]) == pytest.approx(sum(quiet["weights"]))


def test_the_label_is_read_where_it_was_taught(tokenizer):
    for example in made("joint"):
        ids = objectives.encode(example, tokenizer)["input_ids"]
        turns = tokenizer.apply_chat_template(
            example["messages"], add_generation_prompt=True, tokenize=False
        )
        begun = tokenizer.encode(turns) + tokenizer.encode(prompts.prefill())
        assert ids[: len(begun)] == begun
        assert tokenizer.decode(ids[len(begun)]) == verdict.word(example["label"])
        under = tokenizer.encode(turns) + tokenizer.encode(prompts.prefill(example["label"]))
        assert ids[: len(under)] == under


def test_what_cannot_be_taught_is_refused(tokenizer):
    with pytest.raises(ValueError, match="unknown objective 'multi': one of joint, weighted"):
        made("multi")
    with pytest.raises(ValueError, match=r"alpha is 1.5; it must lie in \[0, 1\]"):
        made("weighted", alpha=1.5)
    with pytest.raises(ValueError, match="loss_on 'answers': answer or everything"):
        objectives.encode(made("joint")[0], tokenizer, loss_on="answers")


def test_examples_too_long_are_left_out_and_none_left_is_refused(tokenizer):
    lengths = [len(objectives.encode(e, tokenizer)["input_ids"]) for e in made("joint")]
    (kept,) = objectives.encode_all(made("joint"), tokenizer, "answer", max(lengths) - 1)
    assert len(kept["input_ids"]) == min(lengths)
    with pytest.raises(ValueError, match=f"shortest has {min(lengths)} tokens"):
        objectives.encode_all(made("joint"), tokenizer, "answer", min(lengths) - 1)


def batch_of(tokenizer, examples, **more):
    rows = [objectives.encode(e, tokenizer, **more) for e in examples]
    return rows, batches.collate(rows, tokenizer.pad_token_id)


def random_logits(batch, vocabulary, seed=0):
    shape = (*batch["input_ids"].shape, vocabulary)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 2


def cross_entropies(logits, row, n):
    """-log p of every token of row n but the first, by torch; index i is token i."""
    ids = torch.tensor(row["input_ids"])
    losses = torch.nn.functional.cross_entropy(logits[n, -len(ids) : -1], ids[1:], reduction="none")
    return [0.0, *losses.tolist()]


def test_padding_is_not_learned_but_the_end_of_the_answer_is(tokenizer):
    assert tokenizer.pad_token_id == tokenizer.eos_token_id  # hence by position, not by id
    rows, batch = batch_of(tokenizer, made("joint"))
    lengths = [len(row["input_ids"]) for row in rows]
    assert lengths[0] < lengths[1] == batch["input_ids"].shape[1]
    assert batch["attention_mask"].sum(1).tolist() == lengths
    assert batch["input_ids"][0, -1] == tokenizer.eos_token_id and batch["weights"][0, -1] == 1
    assert not batch["weights"][0, : -lengths[0]].any()
    logits = random_logits(batch, len(tokenizer)).requires_grad_()
    objectives.weighted_loss(logits, batch).backward()
    learned = logits.grad.abs().sum(-1) > 0  # the logits before each token that counts
    assert learned[:, :-1].equal(batch["weights"][:, 1:] > 0) and not learned[:, -1].any()


@pytest.mark.parametrize("loss_on", ["answer", "everything"])
def test_joint_is_the_plain_cross_entropy_over_tokens(tokenizer, loss_on):
    _, batch = batch_of(tokenizer, made("joint", HARD), loss_on=loss_on)
    logits = random_logits(batch, len(tokenizer))
    labels = batch["input_ids"].masked_fill(batch["weights"] == 0, -100)
    plain = torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100
    )
    assert objectives.weighted_loss(logits, batch).item() == pytest.approx(plain.item(), rel=1e-4)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_weighted_by_hand(tokenizer, alpha):
    rows, batch = batch_of(tokenizer, made("weighted", HARD, alpha=alpha))
    logits = random_logits(batch, len(tokenizer))
    expected = []
    for n, row in enumerate(rows):
        losses = cross_entropies(logits, row, n)
        begin = answer_of(objectives.encode(made("joint", HARD)[n], tokenizer))[0]
        label = begin + len(tokenizer.encode(prompts.prefill()))
        rest = [losses[i] for i in range(begin, len(losses)) if i != label]
        expected.append(alpha * losses[label] + (1 - alpha) * mean(rest))
    found = objectives.weighted_loss(logits, batch).item()
    assert found == pytest.approx(mean(expected), rel=1e-4)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_task_prefix_by_hand_whatever_shares_a_batch(tokenizer, alpha):
    examples = made("task_prefix", HARD, alpha=alpha)
    even = made("task_prefix", HARD, alpha=0.5)
    rows, batch = batch_of(tokenizer, examples)
    logits = random_logits(batch, len(tokenizer))
    expected, alone = [], []
    for n, row in enumerate(rows):
        losses = cross_entropies(logits, row, n)
        counted = answer_of(objectives.encode(even[n], tokenizer))
        share = (1 - alpha) if n % 2 else alpha
        expected.append(share * mean([losses[i] for i in counted]))
        one = batches.collate([row], tokenizer.pad_token_id)
        alone.append(objectives.weighted_loss(logits[n : n + 1, -len(losses) :], one).item())
    # alpha * L_label + (1 - alpha) * L_rationale, means over posts
    found = objectives.weighted_loss(logits, batch).item()
    assert found == pytest.approx(sum(expected) / len(HARD), rel=1e-4)
    assert mean(alone) == pytest.approx(found, rel=1e-4)  # so that batches of one add up to it


@pytest.mark.parametrize("loss_on", ["answer", "everything"])
def test_the_last_logits_are_enough(tokenizer, loss_on):
    _, batch = batch_of(tokenizer, made("weighted", HARD), loss_on=loss_on)
    logits = random_logits(batch, len(tokenizer))
    needed = batches.logits_needed(batch)
    assert 1 < needed <= logits.shape[1] - (loss_on == "answer")
    short = objectives.weighted_loss(logits[:, -needed:], batch)
    assert short.item() == pytest.approx(objectives.weighted_loss(logits, batch).item(), rel=1e-5)
    batch["weights"] = torch.zeros_like(batch["weights"])  # alpha 0: a batch of labels alone
    assert objectives.weighted_loss(logits[:, -batches.logits_needed(batch) :], batch) == 0


def test_a_soft_target_by_hand():
    logits = torch.tensor([[[1.0, 2.0, 0.5], [0.0] * 3]])
    batch = {
        "input_ids": torch.tensor([[0, 1]]),
        "weights": torch.tensor([[0.0, 1.0]]),
        "other_share": torch.tensor([[0.0, 0.25]]),
        "other_id": torch.tensor([2]),
        "total": torch.tensor([1.0]),
    }
    log_sum = math.log(math.e + math.e**2 + math.e**0.5)
    by_hand = -0.75 * (2.0 - log_sum) - 0.25 * (0.5 - log_sum)
    assert objectives.weighted_loss(logits, batch).item() == pytest.approx(by_hand)
