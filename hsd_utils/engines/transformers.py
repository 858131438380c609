"""Hugging Face transformers: any causal language model, on a GPU (4-bit included) or a CPU.

Requests are sorted by length and run in padded batches.  A fine-tuned student is its base
model plus a LoRA adapter: merged into 16-bit weights, kept apart over 4-bit ones.

    engines.load("transformers", "SmolLM2-135M-Instruct", adapter="outputs/demo/students/...")
"""

import time
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from hsd_utils import export, models
from hsd_utils.engines import Answer, Request, identify


class Transformers:
    constrained = False

    def __init__(self, model, tokenizer, identity: dict, batch: int, files: list):
        self.model, self.tokenizer = model.eval(), tokenizer
        self.identity, self.batch, self.files = identity, batch, files
        tokenizer.padding_side = "left"
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token

    def __call__(self, requests: Iterable[Request]) -> Iterator[Answer]:
        # One batch asks one kind of thing; neighbours of like length waste little padding.
        def kind(request: Request):
            return request.choices, request.max_tokens

        prompts = [(request, self._prompt(request)) for request in requests]
        prompts.sort(key=lambda pair: (kind(pair[0]), len(pair[1])))
        for (choices, _), group in groupby(prompts, key=lambda pair: kind(pair[0])):
            pairs = list(group)
            for start in range(0, len(pairs), self.batch):
                batch = pairs[start : start + self.batch]
                yield from self._choose(batch) if choices else self._generate(batch)

    def _prompt(self, request: Request) -> list[int]:
        if request.schema is not None:
            raise ValueError("the transformers engine cannot hold an answer to a schema")
        turns = self.tokenizer.apply_chat_template(
            request.messages, add_generation_prompt=True, tokenize=False
        )
        # The prefill is encoded apart, as the answer was in training.
        encode = self.tokenizer.encode
        return encode(turns, add_special_tokens=False) + encode(
            request.prefill, add_special_tokens=False
        )

    def _padded(self, batch) -> dict[str, torch.Tensor]:
        padded = self.tokenizer.pad({"input_ids": [ids for _, ids in batch]}, return_tensors="pt")
        return padded.to(self.model.device)

    @torch.inference_mode()
    def _choose(self, batch) -> list[Answer]:
        clock = time.perf_counter()
        choices = batch[0][0].choices
        first = [self.tokenizer.encode(c, add_special_tokens=False)[0] for c in choices]
        if len(set(first)) < len(first):
            raise ValueError(f"choices {choices} begin with the same token: they cannot be weighed")
        inputs = self._padded(batch)
        positions = (inputs["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        output = self.model(**inputs, position_ids=positions, logits_to_keep=1)
        shares = output.logits[:, -1, first].float().softmax(-1).tolist()
        seconds = (time.perf_counter() - clock) / len(batch)
        return [
            Answer(request.key, "", len(ids), 1, seconds, "choices", share)
            for (request, ids), share in zip(batch, shares, strict=True)
        ]

    @torch.inference_mode()
    def _generate(self, batch) -> list[Answer]:
        clock = time.perf_counter()
        inputs = self._padded(batch)
        output = self.model.generate(
            **inputs,
            max_new_tokens=batch[0][0].max_tokens,
            do_sample=False,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        answers = output[:, inputs["input_ids"].shape[1] :].tolist()
        seconds = (time.perf_counter() - clock) / len(batch)
        return [
            self._answer(request, ids, tokens, seconds)
            for (request, ids), tokens in zip(batch, answers, strict=True)
        ]

    def _answer(self, request: Request, prompt: list[int], tokens: list[int], seconds: float):
        ends = self.model.generation_config.eos_token_id
        ends = set(ends if isinstance(ends, list) else [ends])
        stop = next((i for i, token in enumerate(tokens) if token in ends), None)
        kept = tokens if stop is None else tokens[:stop]
        text = request.prefill + self.tokenizer.decode(kept, skip_special_tokens=True)
        finish = "length" if stop is None else "stop"
        return Answer(
            request.key, text, len(prompt), len(kept) + (stop is not None), seconds, finish
        )


def load(model: str, *, batch: int = 16, adapter: Path | str | None = None, four_bit: bool = False):
    """Open a model of ``models.MODELS`` or a hub id, with a LoRA adapter if one is given.

    batch: prompts run at once; four_bit: quantise to NF4 on loading (GPU only; a repository
    that is quantised already needs no flag).  Raises ValueError for four_bit without a GPU.
    """
    gpu = torch.cuda.is_available()
    if four_bit and not gpu:
        raise ValueError("four_bit needs a CUDA GPU: leave it out on a CPU")
    source = models.torch_weights(model)
    quantisation = None
    if four_bit:
        quantisation = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
        )
    loaded = AutoModelForCausalLM.from_pretrained(
        source,
        dtype=torch.bfloat16,
        device_map="auto" if gpu else None,
        quantization_config=quantisation,
    )
    precision = "nf4" if four_bit else str(loaded.dtype).removeprefix("torch.")
    identity = identify("transformers", "transformers", model, precision=precision)
    # A hub id's files lie in the hub's own cache, which Transformers does not tell.
    files = list(Path(source).glob("*.safetensors"))
    if adapter is not None:
        from peft import PeftModel

        files += Path(adapter).glob("*.safetensors")
        identity["adapter"] = export.digest(Path(adapter))
        loaded = PeftModel.from_pretrained(loaded, str(adapter))
        if not getattr(loaded, "is_loaded_in_4bit", False):
            loaded = loaded.merge_and_unload()
    return Transformers(loaded, AutoTokenizer.from_pretrained(source), identity, batch, files)
