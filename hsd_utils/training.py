"""Rationales to student: Unsloth QLoRA with TRL's SFTTrainer, the same code on GPU and CPU.

What it is taught, and how much each token of that counts, is said in ``objectives``; what a killed
training goes on from, in ``checkpoints``.  Here are the model, its trainer, and the check that the
student on disk answers like the one in memory.

    python -m hsd_utils.training outputs/demo/students/joint-0 < conversations.json
"""

import json
import os
import sys
import time
from contextlib import nullcontext
from pathlib import Path

from hsd_utils import models, paths
from hsd_utils.machine import apart, in_float32

# Unsloth writes its compiled modules beside the caller unless told where.
os.environ.setdefault("UNSLOTH_COMPILE_LOCATION", str(paths.cache() / "unsloth_compiled"))
os.environ.setdefault("UNSLOTH_RETURN_LOGITS", "1")  # the loss below needs them
# Unsloth patches the three libraries under it, so it is imported before them.
from unsloth import FastLanguageModel  # noqa: E402, I001

import torch  # noqa: E402
from peft.helpers import disable_input_dtype_casting  # noqa: E402
from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: E402
from tqdm import tqdm  # noqa: E402
from transformers import EarlyStoppingCallback, TrainerCallback  # noqa: E402
from trl import SFTConfig, SFTTrainer  # noqa: E402

from hsd_utils import batches, objectives  # noqa: E402

PLAIN_ATTENTION = 320  # tokens up to which attention is not fused on a CPU
# Plain attention stays in autocast's bfloat16: a tenth of a step less, and a gradient as far from
# float32's as before (by 3.7% of its length; 3.4%).  The switch is all devices', despite its name.
torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(not torch.cuda.is_available())
LORA_TARGETS = "q_proj k_proj v_proj o_proj gate_proj up_proj down_proj".split()


def load(model: str | Path, max_length: int, four_bit: bool = True):
    """Model and tokenizer of a name in ``models.MODELS``, a hub id or a student's folder (Path)."""
    source = model if isinstance(model, Path) else models.torch_weights(model)
    loaded, tokenizer = FastLanguageModel.from_pretrained(
        model_name=str(source),
        max_seq_length=max_length,
        load_in_4bit=four_bit,
        dtype=torch.float32 if in_float32() else None,
    )
    # The last positions of a batch are a slice, and torch multiplies a slice by a copy of the
    # vocabulary's matrix for each example: a third of a step on a CPU.
    head = loaded.get_output_embeddings()
    head.register_forward_pre_hook(lambda _, inputs: (inputs[0].contiguous(),))
    return loaded, tokenizer


class DistilTrainer(SFTTrainer):
    def __init__(self, balanced: bool, **arguments):
        self._balanced = balanced
        super().__init__(**arguments)
        self._logged = time.perf_counter()

    def _get_train_sampler(self, train_dataset=None):
        if self._balanced:
            return batches.Alternating(self.train_dataset["label"])
        return super()._get_train_sampler(train_dataset)

    def train(self, *arguments, **more):
        # PEFT widens what an adapter in float32 reads, only for autocast to narrow it again: the
        # same numbers without, and on a CPU a twelfth of a step less.
        with disable_input_dtype_casting(self.model):
            return super().train(*arguments, **more)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        # Left-padded, all answers stand at the end: logits of prompts are not computed.
        keep = min(batches.logits_needed(inputs), inputs["input_ids"].shape[1])
        length = inputs["input_ids"].shape[1] + len(inputs.get("prefix", ()))
        # On a CPU the fused kernel's backward pass takes three times the plain one's, which
        # needs memory by the square of the length.
        plain = inputs["input_ids"].device.type == "cpu" and length <= PLAIN_ATTENTION
        with sdpa_kernel(SDPBackend.MATH) if plain else nullcontext():
            outputs = model(**batches.read(model, inputs), logits_to_keep=keep)
        loss = objectives.weighted_loss(outputs.logits, inputs)
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


class Progress(TrainerCallback):
    """A bar of steps as text, which the pipeline passes on; Trainer's own is a widget."""

    def on_train_begin(self, args, state, control, **_):
        self.bar = tqdm(
            total=state.max_steps, initial=state.global_step, desc="steps", mininterval=5
        )

    def on_step_end(self, args, state, control, **_):
        self.bar.update(state.global_step - self.bar.n)

    def on_train_end(self, args, state, control, **_):
        self.bar.close()


def trainer(
    model, tokenizer, train: list, dev: list, folder: Path, *, patience, balanced=False, **arguments
) -> DistilTrainer:
    """An SFTTrainer over encoded examples; checkpoints and logs go to ``folder``.

    arguments are those of trl.SFTConfig.  The checkpoint of the lowest dev loss is kept;
    training stops after ``patience`` evaluations without a lower one.  Batches are of examples of
    about one length; balanced: of as many of either label.
    """
    from datasets import Dataset

    config = SFTConfig(
        output_dir=str(folder / "checkpoints"),
        remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        packing=False,
        train_sampling_strategy="group_by_length",  # less padding
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        restore_callback_states_from_checkpoint=True,  # how much patience is left
        prediction_loss_only=True,
        logging_steps=0.05,  # of all steps: twenty points, whatever the length
        logging_first_step=True,
        disable_tqdm=True,  # see Progress
        label_names=["weights"],  # what tells Trainer that a batch has a loss
        report_to="none",
        **({"bf16": False} if in_float32() else {}),
        **arguments,
    )
    # A step takes a sixth to a quarter less so.  Unsloth's layers for GPUs train without a cache.
    dropped = any(lora.lora_dropout for lora in model.peft_config.values())
    share = model.device.type == "cpu" and model.config.model_type == "llama"
    share = share and not (dropped or config.gradient_checkpointing)
    made = DistilTrainer(
        balanced,
        model=model,
        processing_class=tokenizer,
        args=config,
        train_dataset=Dataset.from_list(train),
        eval_dataset=Dataset.from_list(dev),
        data_collator=lambda rows: batches.collate(rows, tokenizer.pad_token_id, share),
        callbacks=[EarlyStoppingCallback(early_stopping_patience=patience), Progress()],
    )
    # TRL puts the adapter of a quantised model into bfloat16, where an update that is small
    # against its weight is rounded away.  Autocast, where it is on, still multiplies in bfloat16.
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()
    return made


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
def probe(model, tokenizer, conversations: list, answers: list | None = None) -> list[dict]:
    """Tokens, text and mean log-probability a token of an answer to each conversation.

    ``answers``: tokens to be judged, in place of the model's own greedy ones.  What a model thinks
    of an answer before it is saved and after it is loaded from disk must agree; its own words need
    not, where rounding turns a near tie.
    """
    FastLanguageModel.for_inference(model)
    found = []
    for messages, given in zip(conversations, answers or [None] * len(conversations), strict=True):
        text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        inputs = tokenizer(text, add_special_tokens=False, return_tensors="pt").to(model.device)
        asked = inputs["input_ids"].shape[1]
        if given:
            new = torch.tensor([given], device=model.device)
            whole = torch.cat([inputs["input_ids"], new], dim=1)
        else:
            pad = tokenizer.pad_token_id
            whole = model.generate(**inputs, max_new_tokens=24, do_sample=False, pad_token_id=pad)
        answer = whole[0, asked:]
        logits = model(input_ids=whole).logits[0, asked - 1 : -1].float()
        each = logits.log_softmax(-1).gather(1, answer[:, None])
        about = {"tokens": answer.tolist(), "text": tokenizer.decode(answer)}
        found.append(about | {"log_probability": each.mean().item()})
    return found


def probe_from_disk(
    folder: Path, conversations: list, answers: list | None = None, **loading
) -> list[dict]:
    """The same by a fresh process that loads the student from ``folder``.

    Raises RuntimeError with the process's own words when it fails.
    """
    asked = {"conversations": conversations, "answers": answers, "load": loading}
    failed = f"the student could not be loaded from {folder}"
    return apart("training", str(folder), request=asked, failed=failed)


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    reloaded = load(Path(sys.argv[1]), **asked.pop("load"))
    print(json.dumps(probe(*reloaded, **asked)))
