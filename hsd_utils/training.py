"""Rationales to student: Unsloth QLoRA with TRL's SFTTrainer, the same code on GPU and CPU.

The four objectives differ only in what an example asks for and in how much each token of its
answer counts, so there is one loss: cross-entropy weighted by token.

- joint: the label and the rationale as one answer (Piot and Parapar 2024).
- weighted: alpha * mean over label tokens + (1 - alpha) * mean over the other tokens.
- task_prefix: two examples a post, one asked for the label, one for the rationale, weighted
  alpha and 1 - alpha (Hsieh et al. 2023, "Distilling Step-by-Step").
- label_only: the single-task control.

A soft label p spreads the label token's target over "True" (p) and "False" (1 - p).

    python -m hsd_utils.training outputs/demo/students/joint-0 < conversations.json
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hsd_utils import models, paths, prompts, verdict

# Unsloth writes its compiled modules beside the caller unless told where.
os.environ.setdefault("UNSLOTH_COMPILE_LOCATION", str(paths.cache() / "unsloth_compiled"))
os.environ.setdefault("UNSLOTH_RETURN_LOGITS", "1")  # the loss below needs them
# Unsloth patches the three libraries under it, so it is imported before them.
from unsloth import FastLanguageModel  # noqa: E402, I001

import pandas as pd  # noqa: E402
import torch  # noqa: E402
from transformers import EarlyStoppingCallback  # noqa: E402
from transformers.trainer_utils import get_last_checkpoint  # noqa: E402
from trl import SFTConfig, SFTTrainer  # noqa: E402

OBJECTIVES = ("joint", "weighted", "task_prefix", "label_only")
LORA_TARGETS = "q_proj k_proj v_proj o_proj gate_proj up_proj down_proj".split()


def load(model: str | Path, max_length: int, four_bit: bool = True):
    """Model and tokenizer of a name in ``models.MODELS``, a hub id or a student's folder (Path)."""
    source = model if isinstance(model, Path) else models.torch_weights(model)
    return FastLanguageModel.from_pretrained(
        model_name=str(source), max_seq_length=max_length, load_in_4bit=four_bit, dtype=None
    )


LABEL_SOURCES = ("gold", "teacher", "teacher_soft")


def targets(rationales: pd.DataFrame, label_source: str) -> list[dict[str, Any]]:
    """What the student should answer to each rationale row (see ``examples``).

    gold: the annotators' label; teacher: the teacher's; teacher_soft: the teacher's, its P(hate)
    spread over the label token.  Raises ValueError where gold is wanted and a rationale explains
    another label: dropping or rationalising those is notebook 02's choice.
    """
    if label_source not in LABEL_SOURCES:
        raise ValueError(f"label_source {label_source!r}: one of {', '.join(LABEL_SOURCES)}")
    if label_source == "gold" and (
        others := int((rationales["label"] != rationales["gold"]).sum())
    ):
        raise ValueError(
            f"{others} rationales explain a label that is not the gold one: run 02 again with "
            "disagreement='drop' or 'rationalise'"
        )
    soft = label_source == "teacher_soft"
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
) -> list[dict[str, Any]]:
    """Training examples from rationale rows.

    A row has text, label (0/1), explanations (list of {input, explanation}) and optionally
    p_hate, a soft label in [0, 1].  An example has messages, answer, weight (its share of the
    loss), label_weight (alpha, or None to weigh all its tokens alike) and p_hate.
    Raises ValueError for an unknown objective or an alpha outside [0, 1].
    """
    if objective not in OBJECTIVES:
        raise ValueError(f"unknown objective {objective!r}: one of {', '.join(OBJECTIVES)}")
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}; it must lie in [0, 1]")
    made = []
    for row in rows:
        full = verdict.write(row["label"], row["explanations"], label_first)
        short = verdict.write(row["label"], [], label_first)
        asked = {
            "joint": [("both", full, 1.0, None)],
            "weighted": [("both", full, 1.0, alpha)],
            "task_prefix": [("label", short, alpha, None), ("rationale", full, 1 - alpha, 0.0)],
            "label_only": [("both", short, 1.0, None)],
        }[objective]
        made += [
            {
                "messages": prompts.student(row["text"], task),
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


def encode(example: dict[str, Any], tokenizer, loss_on: str = "answer", max_length: int = 1024):
    """Tokens of one example and what each counts.

    Returns input_ids, weights (one a token; 0 is not learned), and at the label token the
    other label's id and its share of the target (soft labels).  loss_on "everything" also
    learns the prompt, as the released recipe did.  Raises ValueError when the answer does not
    fit into max_length tokens.
    """
    prompt = tokenizer.apply_chat_template(
        example["messages"], add_generation_prompt=True, tokenize=False
    )
    prompt_ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    answer = tokenizer(
        example["answer"] + tokenizer.eos_token,
        add_special_tokens=False,
        return_offsets_mapping=True,
    )
    if len(prompt_ids) + len(answer["input_ids"]) > max_length:
        raise ValueError(
            f"an example of {len(prompt_ids) + len(answer['input_ids'])} tokens does not fit "
            f"max_length={max_length}: raise it or shorten max_chars"
        )
    word, other = verdict.LABELS[example["label"]], verdict.LABELS[1 - example["label"]]
    key = '"hate_speech": "'
    find = example["answer"].index if example["label_first"] else example["answer"].rindex
    start = find(key) + len(key)
    spot = next(i for i, (_, end) in enumerate(answer["offset_mapping"]) if end > start)
    label_ids = [tokenizer(w, add_special_tokens=False)["input_ids"] for w in (word, other)]
    label_tokens = range(spot, spot + len(label_ids[0]))

    count = len(answer["input_ids"])
    weight, label_weight = example["weight"], example["label_weight"]
    if label_weight is None:
        weights = [weight] * count
    else:
        rest = weight * (1 - label_weight) / (count - len(label_tokens))
        weights = [rest] * count
        for i in label_tokens:
            weights[i] = weight * label_weight / len(label_tokens)
    shares = [0.0] * count
    if example["p_hate"] is not None:
        p = example["p_hate"]
        shares[spot] = 1 - p if example["label"] else p
    before = weight if loss_on == "everything" else 0.0
    return {
        "input_ids": prompt_ids + answer["input_ids"],
        "weights": [before] * len(prompt_ids) + weights,
        "other_share": [0.0] * len(prompt_ids) + shares,
        "other_id": label_ids[1][0],
    }


def collate(rows: list[dict[str, Any]], pad: int) -> dict[str, torch.Tensor]:
    """Right-padded batch: input_ids, attention_mask, weights, other_share (B, T); other_id (B)."""
    length = max(len(row["input_ids"]) for row in rows)

    def padded(name, fill, dtype):
        lines = [row[name] + [fill] * (length - len(row[name])) for row in rows]
        return torch.tensor(lines, dtype=dtype)

    return {
        "input_ids": padded("input_ids", pad, torch.long),
        "attention_mask": torch.tensor(
            [[1] * len(r["input_ids"]) + [0] * (length - len(r["input_ids"])) for r in rows]
        ),
        "weights": padded("weights", 0.0, torch.float),
        "other_share": padded("other_share", 0.0, torch.float),
        "other_id": torch.tensor([row["other_id"] for row in rows]),
    }


def weighted_loss(logits, batch) -> torch.Tensor:
    """Mean over tokens, by weight, of the cross-entropy with the (possibly soft) target.

    logits (B, T, V) predict the token after each; batch as from ``collate``.
    """
    weights, targets = batch["weights"][:, 1:], batch["input_ids"][:, 1:]
    learned = weights > 0
    # Only what is learned is lifted to float32: a fraction of a batch, and the vocabulary is wide.
    logits = logits[:, :-1][learned].float()
    target = logits.gather(-1, targets[learned].unsqueeze(-1)).squeeze(-1)
    other_id = batch["other_id"].unsqueeze(-1).expand_as(targets)[learned]
    other = logits.gather(-1, other_id.unsqueeze(-1)).squeeze(-1)
    share = batch["other_share"][:, 1:][learned]
    losses = logits.logsumexp(-1) - (1 - share) * target - share * other
    return (losses * weights[learned]).sum() / weights.sum()


class DistilTrainer(SFTTrainer):
    def __init__(self, **arguments):
        super().__init__(**arguments)
        self._logged = time.perf_counter()

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
        loss = weighted_loss(outputs.logits, inputs)
        # Trainer leaves the division to us whenever it passes the number of items.
        if num_items_in_batch is not None:
            loss = loss / self.current_gradient_accumulation_steps
        return (loss, {"loss": loss.detach()}) if return_outputs else loss

    def log(self, logs, start_time=None):
        # Seconds of training in all, those before an interruption included: the history, and
        # so the last of them, comes back with a checkpoint.
        now = time.perf_counter()
        before = max((entry.get("seconds", 0.0) for entry in self.state.log_history), default=0.0)
        logs["seconds"] = before + now - self._logged
        self._logged = now
        super().log(logs, start_time)


def trainer(
    model,
    tokenizer,
    train: list[dict],
    dev: list[dict],
    folder: Path,
    *,
    patience: int,
    **arguments,
) -> DistilTrainer:
    """An SFTTrainer over encoded examples; checkpoints and logs go to ``folder``.

    arguments are those of trl.SFTConfig.  The checkpoint of the lowest dev loss is kept;
    training stops after ``patience`` evaluations without a lower one.
    """
    from datasets import Dataset

    config = SFTConfig(
        output_dir=str(folder / "checkpoints"),
        remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        packing=False,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        prediction_loss_only=True,
        logging_steps=0.05,  # of all steps: twenty points, whatever the length
        logging_first_step=True,
        disable_tqdm=not sys.stdout.isatty(),  # a bar floods the log of a batch run
        label_names=["weights"],  # what tells Trainer that a batch has a loss
        report_to="none",
        **arguments,
    )
    return DistilTrainer(
        model=model,
        processing_class=tokenizer,
        args=config,
        train_dataset=Dataset.from_list(train),
        eval_dataset=Dataset.from_list(dev),
        data_collator=lambda rows: collate(rows, tokenizer.pad_token_id),
        callbacks=[EarlyStoppingCallback(early_stopping_patience=patience)],
    )


def fingerprint(train: list[dict], dev: list[dict], **recipe: Any) -> str:
    """Hash of everything a training depends on: its examples and its recipe."""
    whole = json.dumps([train, dev, recipe], sort_keys=True, default=str)
    return hashlib.sha256(whole.encode()).hexdigest()


def last_checkpoint(folder: Path, fingerprint: str) -> str | None:
    """Where an interrupted training of the same fingerprint goes on, or None.

    Checkpoints of another training in the same folder are removed.
    """
    checkpoints, stamp = folder / "checkpoints", folder / "fingerprint"
    if not stamp.exists() or stamp.read_text() != fingerprint:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        stamp.write_text(fingerprint)
    return get_last_checkpoint(str(checkpoints)) if checkpoints.is_dir() else None


def log(trainer: DistilTrainer) -> list[dict[str, float]]:
    """The training log: step, epoch, seconds so far, and either loss or dev_loss."""
    names = {"loss": "loss", "eval_loss": "dev_loss"}
    return [
        {k: entry[k] for k in ("step", "epoch", "seconds")} | {names[name]: entry[name]}
        for entry in trainer.state.log_history
        for name in names
        if name in entry
    ]


@torch.inference_mode()
def probe(model, tokenizer, conversations: list[list[dict]], tokens: int = 24) -> list[dict]:
    """Greedy text and the first token's largest log-probability for each conversation.

    What a model answers before saving and after loading from disk must agree.
    """
    FastLanguageModel.for_inference(model)
    answers = []
    for messages in conversations:
        text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        inputs = tokenizer(text, add_special_tokens=False, return_tensors="pt").to(model.device)
        first = model(**inputs).logits[0, -1].float().log_softmax(-1).max().item()
        output = model.generate(
            **inputs, max_new_tokens=tokens, do_sample=False, pad_token_id=tokenizer.pad_token_id
        )
        new = output[0, inputs["input_ids"].shape[1] :]
        answers.append({"text": tokenizer.decode(new), "log_probability": first})
    return answers


def probe_from_disk(folder: Path, conversations: list[list[dict]], **load_arguments) -> list[dict]:
    """The same by a fresh process that loads the student from ``folder``.

    Raises RuntimeError with the process's own words when it fails.
    """
    request = json.dumps({"conversations": conversations, "load": load_arguments})
    command = [sys.executable, "-m", "hsd_utils.training", str(folder)]
    done = subprocess.run(command, input=request, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the student could not be loaded from {folder}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    reloaded = load(Path(sys.argv[1]), **asked["load"])
    print(json.dumps(probe(*reloaded, asked["conversations"])))
