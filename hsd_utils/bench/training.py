"""How fast a student is trained: plain TRL and PEFT, Unsloth as it comes, and notebook 03.

All train the same adapter of the same base model on the same examples (real posts; made-up
explanations of a teacher's usual length, since only lengths count here), as many at a time; none
recomputes activations to save memory.  Tokens are those of prompts and answers, without padding;
the first steps are not timed.

The roofline counts 2 FLOP a weight and token forwards, and 2 backwards for the inputs of each
layer (the weights themselves are frozen); the embedding counts for answers only:

    tokens a second = F / (4 N + 4 E s),  s the share of answer tokens

    python -m hsd_utils.bench training --run reference
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from hsd_utils import timing
from hsd_utils.bench import systems
from hsd_utils.paths import Run

STUDENT, BATCH, LONGEST, WARM_STEPS = "SmolLM2-135M-Instruct", 8, 768, 4
LORA = {"r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "bias": "none"}
REASON = "It speaks of a group of people and says what the writer thinks of them, in plain words."
QUIET = {"save_strategy": "no", "report_to": "none", "disable_tqdm": True}


def examples(rows: list[dict]) -> list[dict[str, Any]]:
    from hsd_utils import objectives

    reasons = [{"input": row["text"][:80], "explanation": REASON} for row in rows]
    made = [
        {"text": row["text"][:1000], "label": row["label"], "explanations": [reason]}
        for row, reason in zip(rows, reasons, strict=True)
    ]
    return objectives.examples(made, "weighted")


def _plain(model: str, made: list[dict], arguments: dict):
    from peft import LoraConfig

    from hsd_utils import models

    adapter = LoraConfig(**LORA, target_modules="all-linear", task_type="CAUSAL_LM")
    return _sft(made, arguments, model=str(models.torch_weights(model)), peft_config=adapter)


def _unsloth(model: str, made: list[dict], arguments: dict):
    from hsd_utils import models, training

    loaded, tokenizer = training.FastLanguageModel.from_pretrained(
        str(models.torch_weights(model)), max_seq_length=LONGEST, load_in_4bit=True
    )
    adapted = _with_adapter(training, loaded)
    return _sft(made, arguments, model=adapted, processing_class=tokenizer)


def _ours(model: str, made: list[dict], arguments: dict):
    from hsd_utils import objectives, training

    folder = Path(arguments.pop("output_dir"))
    loaded, tokenizer = training.load(model, LONGEST)
    encoded = objectives.encode_all(made, tokenizer, "answer", LONGEST)
    loaded = _with_adapter(training, loaded)
    few = encoded[:BATCH]  # its dev loss comes after the steps that are timed
    return training.trainer(loaded, tokenizer, encoded, few, folder, patience=2, **arguments)


def _with_adapter(training, loaded):
    targets = training.LORA_TARGETS
    return training.FastLanguageModel.get_peft_model(
        loaded, **LORA, target_modules=targets, use_gradient_checkpointing=False
    )


def _sft(made: list[dict], arguments: dict, **more):
    """TRL's own trainer of the same examples; it too learns the answers only."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    answers = [[{"role": "assistant", "content": example["answer"]}] for example in made]
    asked = [example["messages"] for example in made]
    told = Dataset.from_dict({"prompt": asked, "completion": answers})
    config = SFTConfig(**arguments, max_length=LONGEST, **QUIET)
    return SFTTrainer(args=config, train_dataset=told, **more)


MAKERS = {"TRL and PEFT": _plain, "Unsloth as it comes": _unsloth, "notebook 03 (ours)": _ours}


def measure(*, name: str, model: str, rows: list[dict]) -> dict[str, Any]:
    """One way to train, in this process, one epoch: tokens, seconds and memory."""
    import torch

    with tempfile.TemporaryDirectory() as folder:
        arguments = {
            "output_dir": folder,
            "num_train_epochs": 1,
            "per_device_train_batch_size": BATCH,
            "learning_rate": 1e-4,
            "optim": "adamw_torch",
            "gradient_checkpointing": False,  # TRL's own default makes steps longer
            "use_cpu": not torch.cuda.is_available(),
            "seed": 0,
        }
        trainer = MAKERS[name](model, examples(rows), arguments)
        ends, seen, inner = [], [], trainer.data_collator

        def collate(batch):
            made = inner(batch)
            read, beginning = int(made["attention_mask"].sum()), len(made.get("prefix", ()))
            seen.append((read + beginning * len(batch), read + beginning))
            return made

        step = trainer.training_step

        def timed(*arguments, **more):
            loss = step(*arguments, **more)
            ends.append(time.perf_counter())
            return loss

        trainer.data_collator, trainer.training_step = collate, timed
        trainer.train()
    learned = [w > 0 for row in trainer.train_dataset for w in row.get("weights", [])]
    seconds = ends[-1] - ends[WARM_STEPS - 1]
    tokens, read = map(sum, zip(*seen[WARM_STEPS : len(ends)], strict=True))
    return {
        "steps": len(ends) - WARM_STEPS,
        "tokens": tokens,
        "read_share": read / tokens,  # what all of a batch begin with ours reads once
        "tokens_per_second": tokens / seconds,
        "step_seconds": seconds / (len(ends) - WARM_STEPS),
        "peak_memory_bytes": timing.peak_bytes(),
        "answer_share": sum(learned) / len(learned) if learned else None,
    }


def main(options: argparse.Namespace) -> None:
    specs, speed = {name: {"model": options.model} for name in MAKERS}, "tokens_per_second"
    rows = systems.sample(options.posts)
    found = systems.beside("training", specs, rows, "ratio_to_plain", speed)
    ours, limit = found[-1], systems.machine_limits()
    layers, embedding = systems.parameters(options.model)
    a_token = 4 * layers * ours["read_share"] + 4 * embedding * ours["answer_share"]
    limit[speed] = limit["flops"] / a_token
    fraction = ours[speed] / limit[speed]
    systems.save(Run(options.run), "training", found, "ratio_to_plain", limit, fraction)


if __name__ == "__main__":
    parser = systems.command(__doc__, posts=160, model=STUDENT)
    systems.start(parser, main, measure)
