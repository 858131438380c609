"""A GGUF model's weights as whole rows of int8, which OpenVINO multiplies fastest on a CPU.

GGUF keeps a scale, and often a minimum, for every 16 or 32 weights.  OpenVINO GenAI 2026.4.1
rounds such minima to whole steps (a tenth of a Q4_K weight, on average) and activations to int8
in groups as small, so that much of a product is rescaling.  Here weights are read exactly and get
one scale for each output row, and activations are rounded in larger groups or, in small models,
not at all.  OpenVINO GenAI still builds the model; only its weights are replaced.

P(hate) against Transformers on the same weights, mean difference, and posts scored a second, two
cores: Qwen2.5 1.5B 0.030 and 7.6 before, 0.013 and 10.0 so; SmolLM2 135M 0.035 and 78 before,
0.019 and 62 so (with activations by 128: 0.045 and 73; Transformers in bfloat16: 0.013 and 29).

    int8.of_gguf(models.fetch("SmolLM2-135M-Instruct"))
"""

import gc
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import openvino
from openvino import opset13 as ops

from hsd_utils import download, export

FILE = "openvino_model.xml"
GROUP = 128  # activations rounded together: the fastest of 32 to 1536 that were tried
LEAST_WEIGHTS = 5e8  # in smaller models rounded activations cost more accuracy than time


def of_gguf(gguf: Path) -> Path:
    """The folder beside ``gguf`` with its model in int8, made once and whenever the file changed.

    Takes a byte of disk for each weight, and three at times while it is made.  Written whole or
    not at all.
    """
    folder = gguf.with_suffix(".int8")
    with download.alone(folder):
        made = folder / FILE
        if not (made.exists() and made.stat().st_mtime_ns >= gguf.stat().st_mtime_ns):
            partial = folder.with_name(folder.name + ".partial")
            for stale in (partial, folder):
                shutil.rmtree(stale, ignore_errors=True)
            partial.mkdir()
            _write(gguf, partial / FILE)
            os.replace(partial, folder)
    return folder


def activations(folder: Path) -> int:
    """How many activations are rounded together in a model of ``of_gguf``; 0: none are."""
    weights = (folder / FILE).with_suffix(".bin").stat().st_size  # a byte each
    return GROUP if weights >= LEAST_WEIGHTS else 0


def _write(gguf: Path, out: Path) -> None:
    print(f"{gguf.name}: writing it once in int8", flush=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        model = openvino.Core().read_model(_as_graph(gguf, Path(scratch)))
        for product in model.get_ordered_ops():
            if product.get_type_name() == "MatMul" and _is_weight(product.input_value(1)):
                weight = product.input_value(1)
                new = _rows(_dense(weight.get_node()), weight.get_element_type())
                product.input(1).replace_source_output(new)
        openvino.save_model(model, out, compress_to_fp16=False)
        del model  # it maps the scratch file
        gc.collect()


def _as_graph(gguf: Path, scratch: Path) -> Path:
    """The graph that OpenVINO GenAI builds of a GGUF, which it saves beside the file it reads."""
    import openvino_genai

    scheduler = openvino_genai.SchedulerConfig()
    scheduler.cache_size = 1
    exact = export.to_gguf(gguf, scratch / "exact.gguf")
    saved = {"enable_save_ov_model": True}
    openvino_genai.ContinuousBatchingPipeline(str(exact), scheduler, "CPU", saved)
    exact.unlink()
    return scratch / FILE


def _is_weight(output: openvino.Output) -> bool:
    """Whether a product's factor is constant: what makes it is constant too."""
    node = output.get_node()
    if node.get_input_size() == 0:
        return node.get_type_name() == "Constant" and output.get_partial_shape().is_static
    return all(_is_weight(source) for source in node.input_values())


def _dense(node: openvino.Node) -> np.ndarray:
    """A weight as float32, from the blocks, zero points and scales it is put together from."""
    kind, parts = node.get_type_name(), [source.get_node() for source in node.input_values()]
    if kind == "Constant" and node.get_element_type() == openvino.Type.u4:
        pairs = np.frombuffer(node.data.tobytes(), np.uint8)  # the first of two is the low half
        return np.stack([pairs & 15, pairs >> 4], -1).astype(np.float32).reshape(node.shape)
    if kind == "Constant":
        return node.data.astype(np.float32)
    if kind == "Convert":
        return _dense(parts[0])
    if kind == "Reshape":
        return _dense(parts[0]).reshape(parts[1].data)
    if kind in ("Multiply", "Subtract"):
        left, right = map(_dense, parts)
        return left * right if kind == "Multiply" else left - right
    raise ValueError(f"a weight made by {kind}: this version of OpenVINO GenAI is not known")


def _rows(weight: np.ndarray, kind: openvino.Type) -> openvino.Output:
    """``weight``, shape (outputs, inputs), as int8 times a scale for each row: symmetric, so that
    the largest of a row is 127."""
    scale = np.abs(weight).max(axis=1, keepdims=True) / 127
    scale = np.where(scale > 0, scale, 1).astype(np.float16)
    rounded = np.rint(weight / scale.astype(np.float32)).clip(-127, 127).astype(np.int8)
    whole = ops.multiply(ops.convert(ops.constant(rounded), "f16"), ops.constant(scale))
    return ops.convert(whole, kind).output(0)
