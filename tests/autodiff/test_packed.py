"""MatMulNBits against the weights that its bytes stand for, unpacked in numpy, and against what ONNX Runtime runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from checker import run_ort
from onnx import helper, numpy_helper

import onnxsal.autodiff as autodiff
from onnxsal.autodiff.contrib import MICROSOFT
from onnxsal.errors import UnsupportedError

N = 6
Arrays = dict[str, np.ndarray]
RUN = tuple(map(int, onnxruntime.__version__.split(".")[:2]))
SEEN = {2: (1, 32), 4: (1, 20), 8: (1, 23)}
"""Versions of ONNX Runtime that were seen to have a kernel; 1.22 has none of 8 bits, 1.23 none of 2."""


def needs(bits: int) -> None:
    if SEEN[bits] > RUN:
        pytest.skip(f"ONNX Runtime {onnxruntime.__version__} has no product with {bits} bits")


def pack(numbers: np.ndarray, bits: int) -> np.ndarray:
    """Numbers of some bits in bytes along the last axis, the first in the lowest bits; the last byte is filled up."""
    per = 8 // bits
    filled = np.pad(numbers, [(0, 0)] * (numbers.ndim - 1) + [(0, -numbers.shape[-1] % per)])
    words = filled.reshape(*numbers.shape[:-1], -1, per).astype(np.uint32) << (bits * np.arange(per))
    return words.sum(-1).astype(np.uint8)


@dataclass(frozen=True)
class Packed:
    """A packed matrix of [N, k]."""

    bits: int = 4
    block: int = 16
    k: int = 64
    zeros: str = "none"
    order: bool = False
    bias: bool = False
    dtype: Any = np.float32
    flat: bool = False
    """Whether scales and zero points are vectors, as older quantisers wrote them."""

    def parts(self) -> tuple[Arrays, np.ndarray]:
        """The node's inputs behind the first one, and the matrix that they stand for."""
        rng = np.random.default_rng(3)
        blocks = -(-self.k // self.block)
        numbers = rng.integers(0, 2**self.bits, (N, blocks, self.block)).astype(np.uint8)
        arrays = {"b": pack(numbers, self.bits), "s": rng.uniform(0.05, 0.2, (N, blocks)).astype(self.dtype)}
        zeros = np.full((N, blocks), 2.0 ** (self.bits - 1))
        if self.zeros == "packed":
            zeros = rng.integers(0, 2**self.bits, (N, blocks))
            arrays["z"] = pack(zeros.astype(np.uint8), self.bits)
        if self.zeros == "float":
            zeros = rng.uniform(0, 2**self.bits - 1, (N, blocks))
            arrays["z"] = zeros = zeros.astype(self.dtype)
        places = np.arange(self.k) // self.block
        if self.order:
            places = rng.permutation(places)
            arrays["g"] = places.astype(np.int32)
        if self.bias:
            arrays["bias"] = rng.normal(size=N).astype(self.dtype)
        weight = numbers.reshape(N, -1)[:, : self.k].astype(np.float64) - zeros[:, places]
        weight *= arrays["s"].astype(np.float64)[:, places]
        return {k: v.ravel() if self.flat and k in "sz" else v for k, v in arrays.items()}, weight

    def model(self, arrays: Arrays, fed: tuple[str, ...] = (), **attributes: int) -> onnx.ModelProto:
        """One product whose inputs named in ``fed`` are those of the graph."""
        names = ["x", *(key if key in arrays else "" for key in ("b", "s", "z", "g", "bias"))]
        how = {"K": self.k, "N": N, "bits": self.bits, "block_size": self.block, **attributes}
        node = helper.make_node("MatMulNBits", names, ["y"], name="head", domain=MICROSOFT, **how)
        number = helper.np_dtype_to_tensor_dtype(np.dtype(self.dtype))
        inputs = [helper.make_tensor_value_info("x", number, ["m", 3, self.k])]
        inputs += [helper.make_tensor_value_info(key, number, arrays[key].shape) for key in fed]
        constants = [numpy_helper.from_array(a, name) for name, a in arrays.items() if name not in fed]
        outputs = [helper.make_tensor_value_info("y", number, None)]
        graph = helper.make_graph([node], "g", inputs, outputs, constants)
        opsets = [helper.make_opsetid("", 21), helper.make_opsetid(MICROSOFT, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def drawn(case: Packed) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    return rng.normal(size=(2, 3, case.k)).astype(case.dtype), rng.normal(size=(2, 3, N)).astype(case.dtype)


def gradients(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray], *wrt: str) -> Arrays:
    graph = autodiff.gradient(ir.from_proto(model), of=["y"], wrt=list(wrt))
    return run_ort(graph, dict(feeds))


CASES = [
    *(Packed(bits, zeros=zeros, k=k, bias=k == 50) for bits in (2, 4, 8) for zeros in ("none", "packed")
      for k in (64, 50)),
    *(Packed(bits, zeros="float", k=k, bias=k == 64) for bits in (2, 4) for k in (64, 50)),
    *(Packed(bits, block=block, k=300, zeros="packed") for bits in (2, 4, 8) for block in (32, 128, 256)),
    *(Packed(bits, k=80, zeros="packed", flat=True, bias=True) for bits in (2, 4, 8)),
    *(Packed(4, zeros=zeros, order=True, k=k) for zeros in ("none", "float") for k in (64, 50)),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_packed_weights(case: Packed) -> None:
    """The gradient is u W, and the forward that ONNX Runtime runs is x W' + bias with the same W."""
    needs(case.bits)
    arrays, weight = case.parts()
    x, u = drawn(case)
    model = case.model(arrays)
    found = gradients(model, {"x": x, "seed/y": u}, "x")
    np.testing.assert_allclose(found["grad/x"], u @ weight, rtol=1e-5, atol=1e-5 * np.abs(u @ weight).max())
    wanted = x @ weight.T + arrays.get("bias", 0)
    np.testing.assert_allclose(run_ort(model, {"x": x})["y"], wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())
    np.testing.assert_array_equal(found["y"], run_ort(model, {"x": x})["y"])


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_half_precision(bits: int) -> None:
    needs(bits)
    case = Packed(bits, zeros="packed", k=50, bias=True, dtype=np.float16)
    arrays, weight = case.parts()
    x, u = drawn(case)
    found = gradients(case.model(arrays), {"x": x, "seed/y": u}, "x")["grad/x"]
    assert found.dtype == np.float16
    wanted = u.astype(np.float64) @ weight
    np.testing.assert_allclose(found, wanted, atol=4e-3 * np.abs(wanted).max())


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_activations_of_8_bits_have_the_gradient_of_the_weights(bits: int) -> None:
    """accuracy_level 4 rounds the activations, and a gradient passes straight through that."""
    needs(bits)
    case = Packed(bits, zeros="packed")
    arrays, weight = case.parts()
    x, u = drawn(case)
    found = gradients(case.model(arrays, accuracy_level=4), {"x": x, "seed/y": u}, "x")["grad/x"]
    np.testing.assert_allclose(found, u @ weight, rtol=1e-5, atol=1e-5 * np.abs(u @ weight).max())


@pytest.mark.parametrize("bits", [2, 4])
def test_scales_zero_points_and_bias_that_are_computed(bits: int) -> None:
    """Linear in each of them: central differences in ONNX Runtime are exact but for rounding."""
    needs(bits)
    case = Packed(bits, zeros="float", k=50, bias=True)
    arrays, _ = case.parts()
    x, u = drawn(case)
    fed = ("s", "z", "bias")
    feeds = {"x": x, **{key: arrays[key] for key in fed}}
    model = case.model(arrays, fed)
    found = gradients(model, {**feeds, "seed/y": u}, "x", *fed)
    rng = np.random.default_rng(8)
    for key in feeds:
        way = rng.normal(size=feeds[key].shape).astype(np.float32)
        ends = [run_ort(model, {**feeds, key: feeds[key] + sign * way})["y"] for sign in (1, -1)]
        slope = float((u * (ends[0] - ends[1])).sum()) / 2
        assert float((found[f"grad/{key}"] * way).sum()) == pytest.approx(slope, rel=1e-4, abs=1e-3), key


@pytest.mark.skipif(RUN < (1, 32), reason="ONNX Runtime reads bytes that are not there")
def test_a_product_that_was_left_out() -> None:
    """No bytes: ONNX Runtime 1.32 gives zeros, or the bias, and nothing flows."""
    case = Packed(bias=True)
    arrays, _ = case.parts()
    arrays["b"] = np.zeros((N, 0, case.block // 2), np.uint8)
    x, u = drawn(case)
    found = gradients(case.model(arrays, ("bias",)), {"x": x, "bias": arrays["bias"], "seed/y": u}, "x", "bias")
    assert found["grad/x"].shape == x.shape
    assert not found["grad/x"].any()
    np.testing.assert_allclose(found["grad/bias"], u.sum((0, 1)), rtol=1e-5)


@pytest.mark.parametrize(
    ("case", "attributes", "reason"),
    [
        (Packed(4, order=True, zeros="packed"), {}, "a g_idx and packed zero points"),
        (Packed(2, order=True), {}, "a g_idx and 2 bits"),
        (Packed(8, order=True), {}, "a g_idx and 8 bits"),
        (Packed(4), {"weight_prepacked": 1}, "weight_prepacked"),
        (Packed(4), {"bits": 3}, "3 bits"),
    ],
    ids=str,
)
def test_refused_by_name(case: Packed, attributes: dict[str, int], reason: str) -> None:
    """What this runtime computes with other weights, or not at all, has no gradient that belongs to its scores."""
    model = case.model(case.parts()[0], **attributes)
    with pytest.raises(UnsupportedError, match=rf"com\.microsoft\.MatMulNBits 'head': no gradient with .*{reason}"):
        autodiff.gradient(ir.from_proto(model), of=["y"], wrt=["x"])
