"""Classifiers made of transformers: encoders fine-tuned here, and models of the hub by name.

score = classifiers.hub("GroNLP/hateBERT", texts, label, seed=0)
p_hate = score(["a post"])
"""

import os
import tempfile
from collections.abc import Callable, Iterable

import numpy as np

from hsd_utils import engines, models, paths, prompts
from hsd_utils.engines import Request

Score = Callable[[Iterable[str]], np.ndarray]

MAX_TOKENS, BATCH = 128, 64
CUT = {"truncation": True, "max_length": MAX_TOKENS}
# What worked for all-MiniLM-L6-v2 on 2,000 posts while this was planned.
FINE_TUNING = {"num_train_epochs": 6, "learning_rate": 1e-4, "per_device_train_batch_size": 16}
HATE_WORDS = ("hate", "hateful", "hate_speech", "hatespeech", "hate speech", "toxic", "label_1")
GUARD = {"prefill": "\n\n", "choices": ("safe", "unsafe")}  # how Llama Guard's answers begin


def kind(name: str) -> str:
    """ "classifier", "guard" (it generates) or "encoder" (no head yet), by the model's config.

    Raises OSError, with what to do, where the model cannot be had.
    """
    from transformers import AutoConfig

    try:
        made = " ".join(AutoConfig.from_pretrained(name).architectures or [])
    except (OSError, ValueError) as error:
        raise OSError(
            f"{name} could not be loaded from the hub or its cache: check the name, the network "
            "(HF_HUB_OFFLINE) and, for a gated model, HF_TOKEN; or leave it out of the baselines"
        ) from error
    if "ForSequenceClassification" in made:
        return "classifier"
    return "guard" if "ForCausalLM" in made else "encoder"


def hub(name: str, texts: list[str], label: np.ndarray, seed: int) -> Score:
    """Scores of a model of the hub, or of a folder.

    A sequence classifier is taken as it is: P(hate) is that of its hateful labels together, or of
    the likeliest where a text may have several labels (toxic-bert).  A plain encoder (BERT,
    HateBERT) has no head that could say anything, so it is fine-tuned on texts and label (0/1) as
    all-MiniLM-L6-v2 is.  A generative model is taken for a guard model: the share of "unsafe"
    where its own template has it answer safe or unsafe, of whatever kind of harm; tried on a small
    model only, since no guard model can be had here.
    Raises OSError as ``kind``, and ValueError for a classifier none of whose labels means hate.
    """
    made = kind(name)
    if made == "encoder":
        return fine_tuned(name, texts, label, seed)
    return _guard(name) if made == "guard" else _as_it_is(name)


def fine_tuned(name, texts: list[str], label: np.ndarray, seed: int) -> Score:
    """An encoder with a new classification head, all weights trained (FINE_TUNING).

    They are kept in the cache under a hash of all they come from, so that notebooks which compare
    with the same baseline train it once, and measure one model.
    """
    from safetensors.torch import load_model, save_model
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, set_seed

    from hsd_utils import checkpoints

    set_seed(seed)  # the head's first weights are drawn
    tokenizer = AutoTokenizer.from_pretrained(name)
    model = AutoModelForSequenceClassification.from_pretrained(name, num_labels=2)
    recipe = FINE_TUNING | {"tokens": MAX_TOKENS, "seed": seed, "from": models.weights(str(name))}
    origin = checkpoints.fingerprint(list(zip(texts, label.tolist(), strict=True)), [], **recipe)
    kept = paths.cache() / "fine_tuned" / f"{origin[:16]}.safetensors"
    if kept.exists():
        load_model(model, kept)
    else:
        _train(model, tokenizer, texts, label, seed)
        kept.parent.mkdir(parents=True, exist_ok=True)
        written = kept.with_suffix(f".{os.getpid()}")
        save_model(model, str(written))
        os.replace(written, kept)
    return _classifier(model, tokenizer, [1])


def _train(model, tokenizer, texts: list[str], label: np.ndarray, seed: int) -> None:
    from datasets import Dataset
    from transformers import Trainer, TrainingArguments

    encoded = tokenizer(list(texts), **CUT)
    rows = Dataset.from_dict({**encoded, "labels": [int(y) for y in label]})
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            train_sampling_strategy="group_by_length",  # less padding: a third less time
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            dataloader_pin_memory=False,
            disable_tqdm=True,
            seed=seed,
            **FINE_TUNING,
        )
        # Its own collator pads a batch to its longest post.
        Trainer(model=model, args=arguments, train_dataset=rows, processing_class=tokenizer).train()


def _as_it_is(name: str) -> Score:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(name)
    model = AutoModelForSequenceClassification.from_pretrained(name)
    named = {int(place): str(word).lower() for place, word in model.config.id2label.items()}
    hateful = [place for place, word in named.items() if word in HATE_WORDS]
    if not hateful:
        raise ValueError(f"{name}: which of its labels is hate? It has {sorted(named.values())}")
    return _classifier(model, tokenizer, hateful)


def _guard(name: str) -> Score:
    engine = engines.load("transformers", name)

    def score(texts: Iterable[str]) -> np.ndarray:
        asked = [
            Request(str(place), [{"role": "user", "content": prompts.shield(text)}], **GUARD)
            for place, text in enumerate(texts)
        ]
        shares = {int(a.key): (a.probabilities or (0.5, 0.5))[1] for a in engine(asked)}
        return np.array([shares[place] for place in range(len(asked))])

    return score


def _classifier(model, tokenizer, hateful: list[int]) -> Score:
    import torch

    model.eval()
    several = model.config.problem_type == "multi_label_classification"  # each label for itself

    @torch.inference_mode()
    def score(texts: Iterable[str]) -> np.ndarray:
        texts, found = list(texts), []
        for start in range(0, len(texts), BATCH):
            part = texts[start : start + BATCH]
            inputs = tokenizer(part, return_tensors="pt", padding=True, **CUT)
            logits = model(**inputs.to(model.device)).logits.float()
            if several:
                shares = logits.sigmoid()[:, hateful].amax(-1)
            else:
                shares = logits.softmax(-1)[:, hateful].sum(-1)
            found.append(shares.cpu().numpy())
        return np.clip(np.concatenate(found).astype(float), 0, 1)

    return score
