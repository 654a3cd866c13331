"""A model whose weights are larger than a message may be: its gradient refers to them, and reads none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

import onnxsal

ROWS, COLUMNS, LAYERS = 16_384, 8_192, 5
BYTES = 4 * ROWS * COLUMNS

MEASURED = """
import resource, sys, time
import onnxsal.model.export as api
before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
graph = api.gradient(sys.argv[1], of=["y"], wrt=["x"])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, len(graph.SerializeToString()))
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2.7 GB of weights in a sparse file that takes no room on the disk: x [N, 16384] through five wide layers."""
    folder = tmp_path_factory.mktemp("large")
    with (folder / "weights.bin").open("wb") as file:
        file.truncate(LAYERS * BYTES)
    nodes, weights, value = [], [], "x"
    for i in range(LAYERS):
        weight = TensorProto(name=f"w{i}", data_type=TensorProto.FLOAT, dims=[ROWS, COLUMNS])
        weight.data_location = TensorProto.EXTERNAL
        for key, entry in (("location", "weights.bin"), ("offset", str(i * BYTES)), ("length", str(BYTES))):
            weight.external_data.add(key=key, value=entry)
        weights.append(weight)
        turned = {"transB": i % 2}
        nodes += [
            helper.make_node("Gemm", [value, f"w{i}"], [f"z{i}"], **turned),
            helper.make_node("Relu", [f"z{i}"], [f"a{i}"]),
        ]
        value = f"a{i}"
    nodes.append(helper.make_node("Identity", [value], ["y"]))
    graph = helper.make_graph(
        nodes,
        "large",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", ROWS])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", COLUMNS])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "large.onnx").write_bytes(model.SerializeToString())
    return folder / "large.onnx"


def test_weights_stay_references_into_their_file(path: Path) -> None:
    with pytest.warns(UserWarning, match=r"more than one file can hold \(2 GB\): they stay .*: weights\.bin"):
        graph = onnxsal.gradient(path, of=["y"], wrt=["x"])
    weights = {t.name: t for t in graph.graph.initializer if t.name.startswith("w")}
    assert sorted(weights) == [f"w{i}" for i in range(LAYERS)]
    for i, tensor in enumerate(weights[f"w{i}"] for i in range(LAYERS)):
        entries = {e.key: e.value for e in tensor.external_data}
        assert tensor.data_location == TensorProto.EXTERNAL
        assert (Path(entries["location"]).name, int(entries["offset"])) == ("weights.bin", i * BYTES)
    beside = path.with_name("gradient.onnx")
    beside.write_bytes(graph.SerializeToString())
    onnx.checker.check_model(beside)


@pytest.mark.skipif(sys.platform == "win32", reason="needs the resource module")
def test_building_reads_no_weight(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", MEASURED, str(path)], capture_output=True, text=True, check=True)
    growth, size = map(int, done.stdout.split())
    assert growth < 100 * 1024, f"{growth} kB more, of weights of {LAYERS * BYTES // 1024} kB"
    assert size < 100_000
