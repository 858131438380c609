"""Hugging Face transformers: any causal language model, on a GPU (4-bit included) or a CPU.

Requests are sorted by length and run in padded batches; a long beginning that all of them
share (instruction, definition, demonstrations) is computed once.  A fine-tuned student is its
base model plus a LoRA adapter: merged into 16-bit weights, kept apart over 4-bit ones.

    engines.load("transformers", "SmolLM2-135M-Instruct", adapter="outputs/demo/students/...")
"""

import copy
import gc
import os.path
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby, islice
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, DynamicCache

from hsd_utils import export, models
from hsd_utils.engines import Answer, Request, identify

MIN_PREFIX = 64  # shorter beginnings cost less than copying their keys and values to a batch
WINDOW = 16  # batches taken at once and sorted by length


class Transformers:
    constrained, grammars, streams = False, False, True

    def __init__(self, model, tokenizer, identity: dict, batch: int, files: list):
        self.model, self.tokenizer = model.eval(), tokenizer
        self.identity, self.batch, self.files = identity, batch, files
        tokenizer.padding_side = "left"
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token

    def __call__(self, requests: Iterable[Request]) -> Iterator[Answer]:
        waiting = iter(requests)
        while some := list(islice(waiting, WINDOW * self.batch)):
            yield from self._answers(some)

    def _answers(self, requests: list[Request]) -> Iterator[Answer]:
        # One batch asks one kind of thing; neighbours of like length waste little padding.
        def kind(request: Request):
            return request.choices, request.max_tokens

        prompts = [(request, self._prompt(request)) for request in requests]
        prompts.sort(key=lambda pair: (kind(pair[0]), len(pair[1])))
        for (choices, _), group in groupby(prompts, key=lambda pair: kind(pair[0])):
            pairs = list(group)
            clock = time.perf_counter()
            prefix = self._prefix([ids for _, ids in pairs])
            for start in range(0, len(pairs), self.batch):
                batch = pairs[start : start + self.batch]
                found = (self._choose if choices else self._generate)(batch, *prefix)
                seconds = (time.perf_counter() - clock) / len(batch)
                yield from (replace(answer, seconds=seconds) for answer in found)
                clock = time.perf_counter()

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

    @torch.inference_mode()
    def _prefix(self, prompts: list[list[int]]) -> tuple[list[int], DynamicCache | None]:
        """The beginning that all prompts share and its keys and values; none if it is short."""
        shared = os.path.commonprefix(prompts)[: min(map(len, prompts)) - 1]
        if len(prompts) == 1 or len(shared) < MIN_PREFIX:
            return [], None
        cache = DynamicCache(config=self.model.config)
        ids = torch.tensor([shared], device=self.model.device)
        self.model(input_ids=ids, past_key_values=cache, logits_to_keep=1)
        return shared, cache

    def _padded(self, batch, shared: list[int], cache) -> dict:
        """Inputs of a batch, shape (prompts, longest); padding lies between prefix and rest."""
        rest = {"input_ids": [ids[len(shared) :] for _, ids in batch]}
        padded = self.tokenizer.pad(rest, return_tensors="pt")
        ids = torch.tensor([shared] * len(batch), dtype=torch.long).reshape(len(batch), -1)
        before = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        inputs = {
            name: torch.cat([part, padded[name]], 1).to(self.model.device)
            for name, part in before.items()
        }
        if cache is not None:
            inputs["past_key_values"] = copy.deepcopy(cache)
            inputs["past_key_values"].batch_repeat_interleave(len(batch))
        return inputs

    @torch.inference_mode()
    def _choose(self, batch, shared: list[int], cache) -> list[Answer]:
        choices = batch[0][0].choices
        first = [self.tokenizer.encode(c, add_special_tokens=False)[0] for c in choices]
        if len(set(first)) < len(first):
            raise ValueError(f"choices {choices} begin with the same token: they cannot be weighed")
        inputs = self._padded(batch, shared, cache)
        inputs["input_ids"] = inputs["input_ids"][:, len(shared) :]
        positions = (inputs["attention_mask"].cumsum(-1) - 1).clamp(min=0)[:, len(shared) :]
        output = self.model(**inputs, position_ids=positions, logits_to_keep=1)
        shares = output.logits[:, -1, first].float().softmax(-1).tolist()
        return [
            Answer(request.key, "", len(ids), 1, 0.0, "choices", share)
            for (request, ids), share in zip(batch, shares, strict=True)
        ]

    @torch.inference_mode()
    def _generate(self, batch, shared: list[int], cache) -> list[Answer]:
        inputs = self._padded(batch, shared, cache)
        output = self.model.generate(
            **inputs,
            max_new_tokens=batch[0][0].max_tokens,
            do_sample=False,
            repetition_penalty=1.0,  # a model's own would punish quotes of the post
            pad_token_id=self.tokenizer.pad_token_id,
        )
        written = output[:, inputs["input_ids"].shape[1] :].tolist()
        ends = self.model.generation_config.eos_token_id
        ends = set(ends if isinstance(ends, list) else [ends])
        answers = []
        for (request, ids), tokens in zip(batch, written, strict=True):
            stop = next((i for i, token in enumerate(tokens) if token in ends), None)
            text = request.prefill + self.tokenizer.decode(tokens[:stop], skip_special_tokens=True)
            ended = (len(tokens), 0.0, "length") if stop is None else (stop + 1, 0.0, "stop")
            answers.append(Answer(request.key, text, len(ids), *ended))
        return answers


def load(model: str, *, batch: int = 16, adapter: Path | str | None = None, four_bit: bool = False):
    """Open a model of ``models.MODELS`` or a hub id, with a LoRA adapter if one is given.

    batch: prompts run at once; four_bit: quantise to NF4 on loading (GPU only; a repository
    that is quantised already needs no flag).  Raises ValueError for four_bit without a GPU.
    """
    gpu = torch.cuda.is_available()
    if four_bit and not gpu:
        raise ValueError("four_bit needs a CUDA GPU: leave it out on a CPU")
    source = models.torch_weights(model)
    nf4 = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": torch.bfloat16}
    gc.collect()  # what an earlier model left on the card counts as taken until it is given back
    torch.cuda.empty_cache()
    loaded = AutoModelForCausalLM.from_pretrained(
        source,
        dtype=torch.bfloat16,
        device_map="auto" if gpu else None,
        quantization_config=BitsAndBytesConfig(load_in_4bit=True, **nf4) if four_bit else None,
    )
    precision = "nf4" if four_bit else str(loaded.dtype).removeprefix("torch.")
    identity = identify("transformers", "transformers", model, precision=precision)
    # A hub id's files lie in the hub's own cache, which Transformers does not tell: then the size
    # is not known, and an adapter's alone would be mistaken for it.
    files = list(Path(source).glob("*.safetensors"))
    if adapter is not None:
        from peft import PeftModel

        files += Path(adapter).glob("*.safetensors") if files else []
        identity["adapter"] = export.digest(Path(adapter))
        loaded = PeftModel.from_pretrained(loaded, str(adapter))
        if not getattr(loaded, "is_loaded_in_4bit", False):
            loaded = loaded.merge_and_unload()
    return Transformers(loaded, AutoTokenizer.from_pretrained(source), identity, batch, files)
