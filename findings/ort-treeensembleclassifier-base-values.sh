#!/usr/bin/env bash
# A classifier of two classes with two base_values and weights for class 1: ONNX Runtime leaves class 1's trees out.
#
# Versions: onnxruntime 1.32.0 (CPU, x86-64), onnx 1.23.2, numpy 2.4.6.
#
# Guess: scores of a TreeEnsembleClassifier are, as its schema has it of base_values, "base values for classification,
# added to final class score": the sum of the weights of the leaves that a row ends in, class by class, plus base_values,
# one for each class.
#
# Seen: one stump whose leaves give class 0 the weights 0.1 and 0.4 and class 1 the weights 2 and 3; base_values
# [0.25, 0.75]. Expected [0.35, 2.75] and [0.65, 3.75]. ONNX Runtime gives [-0.85, 0.85] and [-1.15, 1.15]: class 1 is
# class 0's sum plus the second base value, class 0 its opposite; class 1's leaves play no part. With weights for class 1
# alone the scores are [0, 0.75] for every row: no tree plays a part at all. Without base_values, or with three classes,
# the scores are the sums. Both files pass the full check and load without a message.
set -euo pipefail
export ORT_DISABLE_TELEMETRY=1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'onnxruntime==1.32.0' 'onnx==1.23.2' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PROGRAM'
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

X = np.array([[-1], [1]], np.float32)
WEIGHTS = {0: (0.1, 0.4), 1: (2.0, 3.0), 2: (5.0, 6.0)}


def scores(classes: tuple[int, ...], labels: int, base: list[float]) -> np.ndarray:
    leaves = [(node, c) for node in (1, 2) for c in classes]
    node = helper.make_node(
        "TreeEnsembleClassifier", ["x"], ["label", "scores"], domain="ai.onnx.ml",
        nodes_treeids=[0, 0, 0], nodes_nodeids=[0, 1, 2], nodes_featureids=[0, 0, 0], nodes_values=[0.0, 0.0, 0.0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"], nodes_truenodeids=[1, 0, 0], nodes_falsenodeids=[2, 0, 0],
        class_treeids=[0] * len(leaves), class_nodeids=[node for node, _ in leaves],
        class_ids=[c for _, c in leaves], class_weights=[WEIGHTS[c][node - 1] for node, c in leaves],
        classlabels_int64s=list(range(labels)), **({"base_values": base} if base else {}),
    )
    source = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", 1])
    targets = [
        helper.make_tensor_value_info("label", TensorProto.INT64, ["B"]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["B", labels]),
    ]
    graph = helper.make_graph([node], "g", [source], targets)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["scores"], {"x": X})[0]


def expected(classes: tuple[int, ...], labels: int, base: list[float]) -> np.ndarray:
    sums = np.array([[WEIGHTS[c][row] if c in classes else 0 for c in range(labels)] for row in (0, 1)])
    return sums + np.array(base or [0] * labels)


cases = {
    "both, two base values": ((0, 1), 2, [0.25, 0.75]), "class 1 alone, two base values": ((1,), 2, [0.25, 0.75]),
    "both, none": ((0, 1), 2, []), "three classes, three base values": ((0, 1, 2), 3, [0.25, 0.75, 0.5]),
}
kept = {}
for name, case in cases.items():
    seen, sums = scores(*case), expected(*case)
    kept[name] = bool(np.allclose(seen, sums, atol=1e-5))
    print(f"{name}: onnxruntime {seen.round(4).tolist()}, sums {sums.round(4).tolist()}")
if list(kept.values()) != [False, False, True, True]:
    sys.exit("no longer so: base values are added to each class's own sum")
PROGRAM
