"""Adapter into GGUF: by hand on a toy file, and against PEFT's own merge on the smallest model."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import SMALL
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, quants
from safetensors.numpy import save_file

from hsd_utils import engines, export, models, prompts, verdict
from hsd_utils.engines import Request

HEADS, KV_HEADS, WIDTH, HEAD = 2, 1, 64, 32
SHAPES = {
    "attn_q": (HEADS * HEAD, WIDTH),
    "attn_k": (KV_HEADS * HEAD, WIDTH),
    "attn_v": (KV_HEADS * HEAD, WIDTH),
    "ffn_down": (WIDTH, 96),
}
PROJECTIONS = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj"}
PROJECTIONS |= {"attn_v": "self_attn.v_proj", "ffn_down": "mlp.down_proj"}
DRAW = np.random.default_rng(0)
WEIGHTS = {n: DRAW.normal(size=shape).astype(np.float32) for n, shape in SHAPES.items()}


@pytest.fixture(params=["llama", "qwen2"])
def base(request, tmp_path) -> Path:
    path = tmp_path / "base.gguf"
    writer = GGUFWriter(path, request.param)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_chat_template("{{ messages }}")
    writer.add_token_list(["a", "Ġb", "<|im_end|>"])
    writer.add_token_scores([0.5, -1.0, 0.0])
    writer.add_add_bos_token(False)
    for name, weight in WEIGHTS.items():
        four_bit = quants.quantize(weight, GGMLQuantizationType.Q4_1)
        writer.add_tensor(f"blk.0.{name}.weight", four_bit, raw_dtype=GGMLQuantizationType.Q4_1)
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def adapter(folder: Path, layer=0, names=("attn_q", "attn_k", "ffn_down"), seed=1, more=None):
    """An adapter of rank 4 and scale 8 / 4; returns its folder and scaled products B A."""
    draw, tensors, products = np.random.default_rng(seed), dict(more or {}), {}
    for name in names:
        rows, columns = SHAPES[name]
        a = draw.normal(size=(4, columns)).astype(np.float32)
        b = draw.normal(size=(rows, 4)).astype(np.float32)
        key = f"base_model.model.model.layers.{layer}.{PROJECTIONS[name]}"
        tensors |= {f"{key}.lora_A.weight": a, f"{key}.lora_B.weight": b}
        products[name] = 8 / 4 * b @ a
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"r": 4, "lora_alpha": 8}))
    return folder, products


def read(path: Path) -> dict[str, np.ndarray]:
    return {t.name: quants.dequantize(t.data, t.tensor_type) for t in GGUFReader(path).tensors}


def llama_rows(delta: np.ndarray) -> np.ndarray:
    """Row 2 j + half of a head in the file is row half * 16 + j of it in the adapter."""
    rows = [
        head * HEAD + half * HEAD // 2 + j
        for head in range(len(delta) // HEAD)
        for j in range(HEAD // 2)
        for half in (0, 1)
    ]
    return delta[rows]


def test_merged_weights_by_hand(base, tmp_path):
    folder, products = adapter(tmp_path / "student")
    before, after = read(base), read(export.to_gguf(base, tmp_path / "out.gguf", folder))
    assert list(after) == list(before)
    for name in SHAPES:
        key = f"blk.0.{name}.weight"
        delta = products.get(name, np.zeros(SHAPES[name]))
        if GGUFReader(base).fields["general.architecture"].contents() == "llama":
            delta = llama_rows(delta) if name in ("attn_q", "attn_k") else delta
        # Half a step of Q8_0's 127 in blocks of 32.
        allowed = np.abs(before[key] + delta).max() / 127
        assert np.abs(after[key] - before[key] - delta).max() <= allowed
    fields = GGUFReader(base).fields.values()
    copied = GGUFReader(tmp_path / "out.gguf").fields
    for field in fields:
        if not field.name.startswith("GGUF."):
            assert copied[field.name].contents() == field.contents()
            assert copied[field.name].types == field.types


def test_without_an_adapter_a_base_keeps_its_weights_in_eight_bits(base, tmp_path):
    before, after = read(base), read(export.to_gguf(base, tmp_path / "copy.gguf"))
    for name, weight in before.items():
        allowed = np.abs(weight).max() / 127 if "blk" in name else 0
        assert np.abs(after[name] - weight).max() <= allowed


def test_an_adapter_of_another_model_is_refused_and_leaves_no_student(base, tmp_path):
    deeper, _ = adapter(tmp_path / "deeper", layer=7)
    with pytest.raises(ValueError, match=r"no blk\.7\.attn_k.*: another model's adapter\?"):
        export.merged(base, deeper)
    other = {
        f"base_model.model.model.layers.0.mlp.down_proj.lora_{x}.weight": s
        for x, s in (("A", np.ones((4, 32), np.float32)), ("B", np.ones((WIDTH, 4), np.float32)))
    }
    narrower, _ = adapter(tmp_path / "narrower", names=(), more=other)
    with pytest.raises(
        ValueError, match=r"blk.0.ffn_down.weight: adapter \(64, 32\), base \(64, 9"
    ):
        export.merged(base, narrower)
    empty, _ = adapter(tmp_path / "empty", names=(), more={"x": np.ones(3)})
    with pytest.raises(ValueError, match="holds no LoRA weights: train the student again"):
        export.merged(base, empty)
    assert list(tmp_path.rglob("student.gguf*")) == []


@pytest.mark.parametrize(
    "more",
    [
        "layers.0.self_attn.q_proj.lora_magnitude_vector",
        "layers.0.self_attn.qkv_proj.lora_A.weight",
        "embed_tokens.lora_embedding_A",
        "lm_head.weight",
    ],
)
def test_what_cannot_be_merged_is_refused_and_not_left_out(base, tmp_path, more):
    extra = {f"base_model.model.model.{more}": np.ones((4, 64), np.float32)}
    folder, _ = adapter(tmp_path / "student", more=extra)
    with pytest.raises(ValueError, match="cannot be merged.*use the transformers engine"):
        export.merged(base, folder)


def test_a_merged_student_is_kept_until_adapter_or_base_change(base, tmp_path):
    folder, _ = adapter(tmp_path / "student")
    made = export.merged(base, folder)
    first, content = made.stat().st_mtime_ns, made.read_bytes()
    assert made == folder / "student.gguf" and export.merged(base, folder) == made
    assert made.stat().st_mtime_ns == first
    before = export.digest(folder)
    adapter(folder, seed=2)
    assert export.digest(folder) != before
    assert export.merged(base, folder).read_bytes() != content
    made.unlink()
    assert export.merged(base, folder).exists()
    stamp = made.stat().st_mtime_ns
    assert export.merged(base.rename(tmp_path / "other.gguf"), folder).stat().st_mtime_ns != stamp
    assert not list(folder.glob("*.part"))


@pytest.fixture(scope="module")
def student(small, tmp_path_factory) -> Path:
    """A random adapter over all projections of the smallest model, small against its weights."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(models.torch_weights(SMALL), dtype=torch.bfloat16)
    targets = [name.split(".")[1] for name in export._NAMES]
    config = LoraConfig(r=4, lora_alpha=1, target_modules=targets, init_lora_weights=False)
    folder = tmp_path_factory.mktemp("student")
    get_peft_model(model, config).save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_the_merged_student_answers_as_peft_s(small, student):
    import torch

    merged = engines.load("openvino", SMALL, adapter=student, batch=1, cache_gb=1)
    reference = engines.load("transformers", SMALL, adapter=student, batch=1)
    assert {file.parent for file in merged.files} == {student / "student.int8"}
    assert merged.identity["adapter"] == reference.identity["adapter"] == export.digest(student)
    text = "What is the capital of France?"
    request = Request("k", [{"role": "user", "content": text}], max_tokens=1)

    def first(engine):
        config = engine._config(1)
        config.logprobs = 1
        handle = engine._submit(engine._prompt(request), config)
        while engine.pipeline.has_non_finished_requests():
            engine.pipeline.step()
        output = handle.read_all()[0]
        return output.generated_ids[0], output.generated_log_probs[0]

    with torch.inference_mode():
        ids = torch.tensor([reference._prompt(request)])
        expected = reference.model(ids).logits[0, -1].float().log_softmax(-1)
    token, log_probability = first(merged)
    assert token == expected.argmax().item()
    # OpenVINO rounds what goes into a matrix to 8 bits, PEFT's merge was rounded to bfloat16.
    assert log_probability == pytest.approx(expected.max().item(), abs=0.3)
    asked = [
        Request(t, prompts.student(t), prefill=prompts.prefill(), choices=verdict.LABELS)
        for t in ("I love you all.", "They are vermin.")
    ]
    shares = {
        name: np.array([a.probabilities[1] for a in sorted(engine(asked), key=lambda a: a.key)])
        for name, engine in {"merged": merged, "reference": reference}.items()
    }
    # The base's are 0.80 and 0.59: an adapter that was lost would show.
    assert shares["merged"] == pytest.approx(shares["reference"], abs=0.08)
