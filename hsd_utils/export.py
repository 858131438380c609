"""A trained student as one GGUF file: base weights and LoRA adapter merged.

GGUF runs in OpenVINO GenAI, llama.cpp and what is built on them, several times faster on a CPU
than the adapter over torch weights.  Tokenizer, chat template and untouched tensors are copied
from the base model's own GGUF; projections are stored as Q8_0 (8.5 bits a weight), whose
rounding is far below that of the 4-bit base.

    python -c "from hsd_utils.export import to_gguf; to_gguf(base, 'student.gguf', adapter_folder)"
"""

import json
import os
import re
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, quants

from hsd_utils import paths

# Hugging Face's name of a projection -> GGUF's.
_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_PROJECTION = re.compile(rf"\.({'|'.join(_NAMES.values())})\.weight$")
_LORA = re.compile(r"layers\.(\d+)\.(\w+\.\w+)\.lora_A\.weight$")


def to_gguf(base: Path, out: Path, adapter: Path | None = None) -> Path:
    """Write the GGUF ``base`` with its projections as Q8_0, merged with a LoRA adapter if any.

    The merged weight is W + (alpha / r) B A (Hu et al. 2021, section 4.1).  Written atomically.
    Raises ValueError when the adapter does not fit the base, so that nothing unmerged is taken
    for a student.
    """
    reader = GGUFReader(base)
    architecture = reader.fields["general.architecture"].contents()
    deltas = _deltas(adapter) if adapter else {}
    if architecture == "llama":
        # llama.cpp keeps the two halves of each rotary pair side by side, so the rows of the
        # query and key projections stand in another order than in the adapter.
        heads = {
            "attn_q": reader.fields["llama.attention.head_count"].contents(),
            "attn_k": reader.fields["llama.attention.head_count_kv"].contents(),
        }
        for name, delta in deltas.items():
            kind = name.split(".")[2]
            if kind in heads:
                rows, columns = delta.shape
                halves = delta.reshape(heads[kind], 2, rows // heads[kind] // 2, columns)
                deltas[name] = halves.swapaxes(1, 2).reshape(rows, columns)

    part = out.with_suffix(".part")
    writer = GGUFWriter(part, architecture)
    for field in reader.fields.values():
        if not field.name.startswith("GGUF.") and field.name != "general.architecture":
            kind, *inner = field.types
            writer.add_key_value(field.name, field.contents(), kind, inner[0] if inner else None)
    for tensor in reader.tensors:
        if not _PROJECTION.search(tensor.name):
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
            continue
        weight = quants.dequantize(tensor.data, tensor.tensor_type)
        delta = deltas.pop(tensor.name, np.zeros_like(weight))
        if weight.shape != delta.shape:
            raise ValueError(f"{tensor.name}: adapter {delta.shape}, base {weight.shape}")
        kind = GGMLQuantizationType.Q8_0
        writer.add_tensor(tensor.name, quants.quantize(weight + delta, kind), raw_dtype=kind)
    if deltas:
        raise ValueError(
            f"the base model has no {', '.join(sorted(deltas))}: another model's adapter?"
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.replace(part, out)
    return out


def merged(base: Path, adapter: Path) -> Path:
    """``student.gguf`` in the adapter's folder, made unless it is there and up to date."""
    out, stamp = adapter / "student.gguf", adapter / "student.gguf.json"
    made_from = {"base": base.name, "adapter": digest(adapter)}
    if not (out.exists() and stamp.exists() and json.loads(stamp.read_text()) == made_from):
        to_gguf(base, out, adapter)
        stamp.write_text(json.dumps(made_from))
    return out


def digest(adapter: Path) -> str:
    """SHA-256 of an adapter's weights: what tells one student from another."""
    return paths.sha256(adapter / "adapter_model.safetensors")


def _deltas(adapter: Path) -> dict[str, np.ndarray]:
    """GGUF tensor name -> (alpha / r) B A as float32, from a PEFT adapter folder."""
    from safetensors.torch import load_file  # torch, since numpy has no bfloat16

    config = json.loads((adapter / "adapter_config.json").read_text())
    tensors = load_file(adapter / "adapter_model.safetensors")
    deltas = {}
    for name in list(tensors):
        found = _LORA.search(name)
        if found and found[2] in _NAMES:
            a, b = tensors.pop(name), tensors.pop(name.replace("lora_A", "lora_B"))
            scale = config["lora_alpha"] / config["r"]
            key = f"blk.{found[1]}.{_NAMES[found[2]]}.weight"
            deltas[key] = (b.float() @ a.float()).mul(scale).numpy()
    if not deltas:
        raise ValueError(f"{adapter} holds no LoRA weights: train the student again (notebook 03)")
    if tensors or config.get("use_rslora"):
        what = next(iter(tensors), "rank-stabilised LoRA")
        raise ValueError(f"{what} cannot be merged into a GGUF: use the transformers engine")
    return deltas
