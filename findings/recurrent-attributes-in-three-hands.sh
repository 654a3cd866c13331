#!/usr/bin/env bash
# LSTM, GRU and RNN have more attributes than any of three implementations reads, and two of them leave theirs out in silence.
#
# Versions: openvino 2026.4.0, onnxruntime 1.32.0, onnx 1.23.2 (its reference evaluator), numpy 2.4.6.
#
# Guess: recurrent layers of three gates have been settled for years; what an implementation lacks it refuses.
#
# Seen: 4 steps, 2 sequences, opset 21. "left out" is: the same numbers as without the attribute or input.
#                             onnxruntime   openvino    reference evaluator
#   LSTM peepholes (input P)  read          left out    read
#   LSTM input_forget=1       read          left out    left out
#   LSTM clip                 read          read        left out
#   GRU sequence_lens         read          read        left out
#   GRU layout=1              refused       left out    read
# So the reference evaluator is no judge of files with sequences of different length.
set -euo pipefail
export ORT_DISABLE_TELEMETRY=1 CI=true
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'openvino==2026.4.0' 'onnxruntime==1.32.0' 'onnx==1.23.2' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PROGRAM'
import sys

import numpy as np
import onnx
import onnxruntime as ort
import openvino
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator


def model(node: onnx.NodeProto, feeds: dict[str, np.ndarray], constants: dict[str, np.ndarray], opset: int) -> bytes:
    values = [helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for k, v in feeds.items()]
    held = [numpy_helper.from_array(v, k) for k, v in constants.items()]
    graph = helper.make_graph([node], "g", values, [onnx.ValueInfoProto(name=name) for name in node.output], held)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    made = onnx.shape_inference.infer_shapes(made)
    onnx.checker.check_model(made, full_check=True)
    return made.SerializeToString()


def in_onnxruntime(data: bytes, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    return ort.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, feeds)


def in_openvino(data: bytes, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(data), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    results = compiled(list(feeds.values()))
    return [results[i] for i in range(len(compiled.outputs))]


def in_reference(data: bytes, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    return ReferenceEvaluator(onnx.load_from_string(data)).run(None, feeds)


rng = np.random.default_rng(1)


def draw(*shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


def weights(gates: int) -> dict[str, np.ndarray]:
    return {"w": draw(1, gates * 5, 3), "r": draw(1, gates * 5, 5), "b": draw(1, gates * 10)}


lstm, gru, x = weights(4), weights(3), 2 * draw(4, 2, 3)
plain = ["x", "w", "r", "b"]
lengths, peepholes = {"n": np.array([2, 4], np.int32)}, {"p": draw(1, 15)}
cases = {
    "LSTM peepholes": ("LSTM", lstm | peepholes, [*plain, "", "", "", "p"], {}),
    "LSTM input_forget": ("LSTM", lstm, plain, {"input_forget": 1}),
    "LSTM clip": ("LSTM", lstm, plain, {"clip": 0.5}),
    "GRU sequence_lens": ("GRU", gru | lengths, [*plain, "n"], {}),
    "GRU layout": ("GRU", gru, plain, {"layout": 1}),
}
runs = {"onnxruntime": in_onnxruntime, "openvino": in_openvino, "reference": in_reference}
table = {}
for name, (operator, held, inputs, attributes) in cases.items():
    for runtime, run in runs.items():
        results = []
        for given, chosen in ((inputs, attributes), (plain, {})):
            node = helper.make_node(operator, given, ["y", "y_h"], hidden_size=5, **chosen)
            constants = {key: value for key, value in held.items() if key in given}
            try:
                results.append(run(model(node, {"x": x}, constants, 21), {"x": x}))
            except Exception:
                results.append(None)
        with_it, without = results
        if with_it is None:
            table[name, runtime] = "refused"
        else:
            same = all(a.shape == b.shape and np.array_equal(a, b) for a, b in zip(with_it, without, strict=True))
            table[name, runtime] = "left out" if same else "read"
    print(name, {runtime: table[name, runtime] for runtime in runs})
wanted = {
    "LSTM peepholes": ["read", "left out", "read"],
    "LSTM input_forget": ["read", "left out", "left out"],
    "LSTM clip": ["read", "read", "left out"],
    "GRU sequence_lens": ["read", "read", "left out"],
    "GRU layout": ["refused", "left out", "read"],
}
if {name: [table[name, runtime] for runtime in runs] for name in cases} != wanted:
    sys.exit("no longer so: another table")
PROGRAM
