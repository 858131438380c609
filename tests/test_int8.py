"""Weights as rows of int8: by hand on a small graph, and the smallest model's against its file."""

import os

import numpy as np
import openvino
import pytest
from gguf import GGUFReader, quants
from openvino import opset13 as ops

from hsd_utils import int8

DRAW = np.random.default_rng(0)


def blocks(kind, high: int, rows=6, count=4, size=16):
    """A weight as OpenVINO GenAI writes it: (codes - zero points) times scales, in blocks."""
    codes = DRAW.integers(0, high, (rows, count, size)).astype(np.uint8)
    zeros = DRAW.integers(0, high, (rows, count, 1)).astype(np.uint8)
    scales = DRAW.uniform(0.001, 0.1, (rows, count, 1)).astype(np.float16)
    parts = [ops.convert(ops.constant(part, dtype=kind), "f16") for part in (codes, zeros)]
    scaled = ops.multiply(ops.subtract(*parts), ops.constant(scales))
    shape = ops.constant(np.array([rows, count * size]))
    weight = ops.convert(ops.reshape(scaled, shape, False), "f32")
    exact = (codes.astype(np.float32) - zeros) * scales.astype(np.float32)
    return weight, exact.reshape(rows, -1)


@pytest.mark.parametrize(("kind", "high"), [(openvino.Type.u4, 16), (openvino.Type.u8, 256)])
def test_a_weight_in_blocks_is_read_and_becomes_rows(kind, high):
    weight, exact = blocks(kind, high)
    assert int8._is_weight(weight.output(0))
    assert int8._dense(weight) == pytest.approx(exact, rel=2e-3, abs=1e-3)
    rows = int8._rows(exact, openvino.Type.f32)
    assert int8._is_weight(rows) and rows.get_element_type() == openvino.Type.f32
    step = np.abs(exact).max(axis=1, keepdims=True) / 127
    assert (np.abs(int8._dense(rows.get_node()) - exact) <= step * 0.51 + 1e-3).all()


def test_a_row_of_zeros_stays_one_and_what_is_computed_is_no_weight():
    zeros = int8._rows(np.zeros((2, 8), np.float32), openvino.Type.f32)
    assert (int8._dense(zeros.get_node()) == 0).all()
    given = ops.parameter([2, 8], np.float32)
    assert not int8._is_weight(ops.multiply(given, ops.constant(np.float32(2))).output(0))
    with pytest.raises(ValueError, match="a weight made by Add: this version of OpenVINO GenAI"):
        int8._dense(ops.add(ops.constant(np.ones(3)), ops.constant(np.ones(3))))


@pytest.mark.slow
def test_the_smallest_model_s_products_are_those_of_its_file(small, tmp_path):
    gguf = tmp_path / "model.gguf"
    gguf.symlink_to(small)
    folder = int8.of_gguf(gguf)
    model = openvino.Core().read_model(folder / int8.FILE)
    products = [
        int8._dense(node.input_value(1).get_node())
        for node in model.get_ordered_ops()
        if node.get_type_name() == "MatMul" and int8._is_weight(node.input_value(1))
    ]
    assert len(products) == 30 * 7 + 1  # projections, and the head
    tensors = {tensor.name: tensor for tensor in GGUFReader(small).tensors}
    for name in ("ffn_up", "ffn_down", "attn_v"):
        tensor = tensors[f"blk.17.{name}.weight"]
        exact = quants.dequantize(tensor.data, tensor.tensor_type)
        steps = np.abs(exact).max(axis=1, keepdims=True) / 127
        errors = [np.abs(p - exact) / steps for p in products if p.shape == exact.shape]
        # Half a step, and a little for the file's own rounding to eight bits on the way.
        assert min(error.max() for error in errors) < 1.1
    assert int8.activations(folder) == 0  # a small model
    stamp = (folder / int8.FILE).stat().st_mtime_ns
    assert int8.of_gguf(gguf) == folder and (folder / int8.FILE).stat().st_mtime_ns == stamp
    assert sorted(file.name for file in folder.iterdir()) == ["openvino_model.bin", int8.FILE]
    later = (stamp + 10**9) // 10**9 + 1
    gguf.unlink()
    gguf.write_bytes(small.read_bytes())
    os.utime(gguf, (later, later))
    int8.of_gguf(gguf)
    assert (folder / int8.FILE).stat().st_mtime_ns > stamp
