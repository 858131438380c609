"""What a student is taught, and how much each token counts: the four objectives.

They differ only in what an example asks for and in how much each token of its answer counts,
so there is one loss: cross-entropy weighted by token.

- joint: the label and the rationale as one answer (Piot and Parapar 2024).
- weighted: alpha * mean over label tokens + (1 - alpha) * mean over the other tokens; of a post
  whose reason is not known (explanations None) the first part alone.
- task_prefix: two examples a post, one asked for the label, one for the rationale; alpha * mean
  over the first + (1 - alpha) * mean over the second (Hsieh et al. 2023, "Distilling
  Step-by-Step").
- label_only: the single-task control, weighted without the rationale.  Were its tokens to count
  alike, the label would be one of fourteen, the rest known by heart after a few steps, and
  rationales would seem to help where only the label's share of the loss does.

A soft label p spreads the label token's target over "True" (p) and "False" (1 - p).

    examples(targets(rationales.load(path, sample), "teacher"), "weighted", alpha=0.5)
"""

from collections.abc import Iterable
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F

from hsd_utils import prompts, verdict

OBJECTIVES = ("joint", "weighted", "task_prefix", "label_only")
LABEL_SOURCES = ("gold", "teacher", "teacher_soft")
LOSS_ON = ("answer", "everything")


def taught_by(label_source: str, disagreement: str) -> str:
    """Whose labels a student learns, "gold" or "teacher"; disagreement: as in notebook 02.

    Where 02 drops or rewrites what differs from gold, the teacher's labels are gold ones.
    """
    return "gold" if label_source == "gold" or disagreement != "keep" else "teacher"


def targets(rationales: pd.DataFrame, label_source: str) -> list[dict[str, Any]]:
    """What the student should answer to each rationale row (see ``examples``).

    gold: the annotators' label; teacher: the teacher's; teacher_soft: the teacher's, its P(hate)
    spread over the label token.  Raises ValueError where gold is wanted and a rationale explains
    another label (dropping or rationalising those is notebook 02's choice), and where P(hate) is
    wanted and there is none, or it is of a teacher that was then told what to explain.
    """
    if label_source not in LABEL_SOURCES:
        raise ValueError(f"label_source {label_source!r}: one of {', '.join(LABEL_SOURCES)}")
    others = int((rationales["label"] != rationales["gold"]).sum())
    if label_source == "gold" and others:
        raise ValueError(
            f"{others} rationales explain a label that is not the gold one: run 02 again with "
            "disagreement='drop' or 'rationalise'"
        )
    soft = label_source == "teacher_soft"
    if soft and len(rationales) and rationales["p_hate"].isna().all():
        raise ValueError("teacher_soft needs P(hate): run 02 again with soft_labels=True")
    if soft and rationales.get("rationalised", pd.Series(dtype=bool)).any():
        raise ValueError(
            "a rationale that explains the gold label does not go with the teacher's P(hate): run "
            "02 again with disagreement='keep' or 'drop'"
        )
    return [
        {
            "text": row.text,
            "label": int(row.label),
            "explanations": row.explanations,
            "p_hate": row.p_hate if soft and row.p_hate == row.p_hate else None,
        }
        for row in rationales.itertuples()
    ]


def examples(
    rows: Iterable[dict[str, Any]],
    objective: str,
    alpha: float = 0.5,
    label_first: bool = True,
    definition: str = "",
) -> list[dict[str, Any]]:
    """Training examples from rationale rows; definition: of the instruction (``prompts``).

    A row has text, label (0/1), explanations (list of {input, explanation}; None where the reason
    is not known, for weighted alone) and optionally p_hate, a soft label in [0, 1].  An example
    has messages, answer, weight (its share of the loss; None: each of its tokens has one share),
    label_weight (the label's part of that; None: its tokens count alike) and p_hate.
    Raises ValueError for an unknown objective, an alpha outside [0, 1], or a reason that is wanted
    and not known.
    """
    if objective not in OBJECTIVES:
        raise ValueError(f"unknown objective {objective!r}: one of {', '.join(OBJECTIVES)}")
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}; it must lie in [0, 1]")
    made = []
    for row in rows:
        unknown = row["explanations"] is None
        if unknown and objective in ("joint", "task_prefix"):
            raise ValueError(f"posts without a known reason go with weighted, not with {objective}")
        full = verdict.write(row["label"], row["explanations"] or [], label_first)
        short = verdict.write(row["label"], [], label_first)
        asked = {
            "joint": [("both", full, None, None)],
            "weighted": [("both", full, alpha, 1.0) if unknown else ("both", full, 1.0, alpha)],
            # Twice, since the mean is over examples and two of them make a post.
            "task_prefix": [
                ("label", short, 2 * alpha, None),
                ("rationale", full, 2 * (1 - alpha), 0.0),
            ],
            "label_only": [("both", short, 1.0, alpha)],
        }[objective]
        made += [
            {
                "messages": prompts.student(row["text"], task, definition),
                "answer": answer,
                "label": row["label"],
                "label_first": label_first,
                "weight": weight,
                "label_weight": label_weight,
                "p_hate": row.get("p_hate"),
            }
            for task, answer, weight, label_weight in asked
        ]
    return made


def encode_all(examples: list[dict[str, Any]], tokenizer, loss_on: str, max_length: int) -> list:
    """``encode`` of every example that fits into max_length tokens; the others are left out.

    Half an answer would teach half a reason.  Raises ValueError when none fits.
    """
    encoded = [encode(example, tokenizer, loss_on) for example in examples]
    kept = [example for example in encoded if len(example["input_ids"]) <= max_length]
    if encoded and not kept:
        shortest = min(len(example["input_ids"]) for example in encoded)
        raise ValueError(
            f"no example fits max_length={max_length}; the shortest has {shortest} tokens: raise it"
        )
    return kept


def encode(example: dict[str, Any], tokenizer, loss_on: str = "answer") -> dict[str, Any]:
    """Tokens of one example and what each counts.

    Returns input_ids, weights (one a token; 0 is not learned), label, total (what the loss is
    divided by: the shares of the example), and at the label token the other label's id and its
    share of the target (soft labels).  loss_on "everything" also learns the prompt, as the released
    recipe did: its tokens count as those of the answer beside the label.  Raises ValueError for
    another.
    """
    if loss_on not in LOSS_ON:
        raise ValueError(f"loss_on {loss_on!r}: {' or '.join(LOSS_ON)}")
    prompt = tokenizer.apply_chat_template(
        example["messages"], add_generation_prompt=True, tokenize=False
    )
    prompt_ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    answer = tokenizer(
        example["answer"] + tokenizer.eos_token,
        add_special_tokens=False,
        return_offsets_mapping=True,
    )
    word, other = verdict.LABELS[example["label"]], verdict.LABELS[1 - example["label"]]
    key = prompts.prefill().removeprefix("{")  # in an answer its first or last, not in a quote
    find = example["answer"].index if example["label_first"] else example["answer"].rindex
    start = find(key) + len(key)
    spot = next(i for i, (_, end) in enumerate(answer["offset_mapping"]) if end > start)
    label_ids = [tokenizer(w, add_special_tokens=False)["input_ids"] for w in (word, other)]
    label_tokens = range(spot, spot + len(label_ids[0]))

    count = len(answer["input_ids"])
    weight, label_weight = example["weight"], example["label_weight"]
    # The very first token has nothing before it to be predicted from.
    prompt_learned = len(prompt_ids) - 1 if loss_on == "everything" else 0
    learned = count + prompt_learned
    if weight is None:
        each = 1.0
    elif label_weight is None:
        each = weight / learned
    else:
        each = weight * (1 - label_weight) / (learned - len(label_tokens))
    weights = [each] * count
    if label_weight is not None:
        for i in label_tokens:
            weights[i] = weight * label_weight / len(label_tokens)
    shares = [0.0] * count
    if example["p_hate"] is not None:
        p = example["p_hate"]
        shares[spot] = 1 - p if example["label"] else p
    before = [0.0] * (len(prompt_ids) - prompt_learned) + [each] * prompt_learned
    return {
        "input_ids": prompt_ids + answer["input_ids"],
        "weights": before + weights,
        "other_share": [0.0] * len(prompt_ids) + shares,
        "other_id": label_ids[1][0],
        "label": example["label"],
        "total": float(learned) if weight is None else 1.0,
    }


def weighted_loss(logits, batch) -> torch.Tensor:
    """Cross-entropy with the (possibly soft) targets: summed by weight, divided by shares.

    logits (B, K, V) are those of the last K positions, at least ``batches.logits_needed`` unless
    that is more than there are; each predicts the token after it.  batch: of ``batches.collate``.
    """
    reached = slice(1 - logits.shape[1], None)
    weights, targets = batch["weights"][:, reached], batch["input_ids"][:, reached]
    learned = weights > 0
    # Only what is learned is lifted to float32: a fraction of a batch, and the vocabulary is wide.
    logits, targets = logits[:, :-1][learned].float(), targets[learned]
    losses = F.cross_entropy(logits, targets, reduction="none")
    share = batch["other_share"][:, reached][learned]
    if soft := share.nonzero().squeeze(-1).tolist():
        other_id = batch["other_id"].unsqueeze(-1).expand_as(learned)[learned][soft]
        moved = logits[soft, targets[soft]] - logits[soft, other_id]
        losses = losses.index_add(0, share.nonzero().squeeze(-1), share[soft] * moved)
    return (losses * weights[learned]).sum() / batch["total"].sum()
