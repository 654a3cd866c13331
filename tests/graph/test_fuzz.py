"""Damaged bytes end in a model or in one of our errors, and in silence otherwise."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import onnx.parser
import pytest

from onnxsal.errors import ModelError, OnnxsalError
from onnxsal.graph import load_ir, normalise

ZOO = Path(__file__).parent.parent / "data" / "zoo"
ROUNDS = 60


def damaged(data: bytes, rounds: int) -> Iterator[bytes]:
    """The data with one to ten bytes changed, or cut off somewhere."""
    chance = random.Random(len(data))
    for k in range(rounds):
        if k % 5 == 0:
            yield data[: chance.randrange(len(data))]
            continue
        changed = bytearray(data)
        for _ in range(chance.choice((1, 1, 3, 10))):
            changed[chance.randrange(len(data))] = chance.randrange(256)
        yield bytes(changed)


def outcomes(data: bytes, folder: Path, rounds: int) -> dict[str, int]:
    """How often damage ended in a model and how often in an error; anything else is raised."""
    counts = {"model": 0, "error": 0}
    path = folder / "m.onnx"
    for each in damaged(data, rounds):
        path.write_bytes(each)
        try:
            normalise(load_ir(path))
            counts["model"] += 1
        except OnnxsalError:
            counts["error"] += 1
    return counts


@pytest.mark.parametrize("name", ["vit_timm", "mobilenet_v2_int8", "mobilenet_v3_old", "resnet_basic_float16"])
def test_damaged_bytes(tmp_path, capfd, name):
    counts = outcomes((ZOO / f"{name}.onnx").read_bytes(), tmp_path, ROUNDS)
    assert counts["error"] > ROUNDS // 4
    assert capfd.readouterr() == ("", "")


def test_damaged_bytes_of_a_deployed_model(tmp_path, shared, capfd):
    data = (shared / "models" / "mnist_cntk.onnx").read_bytes()
    assert outcomes(data, tmp_path, ROUNDS)["error"] > 5
    # The structure of this one stands in front of its weights and behind them.
    data = (shared / "models" / "squeezenet1.0_fp16.onnx").read_bytes()
    path = tmp_path / "m.onnx"
    for cut in (1, 1000, 5000, 20_000, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:cut])
        with pytest.raises(OnnxsalError):
            normalise(load_ir(path))
    assert capfd.readouterr() == ("", "")


NAMED = """<ir_version: 10, opset_import: ["": 21, "own.domain": 1], metadata_props: ["a.key": "a.word"]>
    g (float[batch_size] the_input) => (float[batch_size] the_output) <float[1] the_weight = {1}>
    { [the_node] inner_value = own.domain.the_operator <the_attribute = 1> (the_input, the_weight)
      the_output = own.domain.the_function (inner_value) }
    <domain: "own.domain", opset_import: ["": 21]> the_function (of_x) => (of_y) { of_y = Neg (of_x) }"""


@pytest.mark.parametrize("name", sorted(set(re.findall(r"(?:own\.domain|\w*_\w+|a\.\w+)(?=\b)", NAMED)) - {
    "ir_version", "opset_import", "metadata_props", "_x", "_y"}))  # fmt: skip
def test_names_that_are_no_text(tmp_path: Path, name: str) -> None:
    """protobuf hands out bytes for them, which nothing behind expects."""
    data = onnx.parser.parse_model(NAMED).SerializeToString()
    assert name.encode() in data
    (tmp_path / "m.onnx").write_bytes(data.replace(name.encode(), b"\xff" * len(name)))
    with pytest.raises(ModelError, match="names in it are not text"):
        load_ir(tmp_path / "m.onnx")


@pytest.mark.parametrize("perm", ["0, 2", "0, 2, 2", "-1, 0, 1", "1, 2, 3"])
def test_orders_of_axes_that_are_none(perm: str) -> None:
    """In functions too; ONNX Runtime refuses them when it loads a model, and we read them before."""
    step = f"Transpose <perm = [{perm}]> (x)"
    head = '<ir_version: 10, opset_import: ["": 21, "own": 1]> g (float[1, 2, 3] x) => (y)'
    for body in (
        f"{{ y = {step} }}",
        f'{{ y = own.f (x) }} <domain: "own", opset_import: ["": 21]> f (x) => (y) {{ y = {step} }}',
    ):
        with pytest.raises(ModelError, match=rf"the perm of Transpose 'y' is no order of axes: \[{perm}\]"):
            load_ir(onnx.parser.parse_model(head + body))


def test_types_that_are_none() -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["": 21]> g (float[2] x) => (y) { y = Cast <to = 99> (x) }'
    )
    with pytest.raises(ModelError, match="'to' of Cast 'y' is no type of tensors: 99"):
        load_ir(model)
