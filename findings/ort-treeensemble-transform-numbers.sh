#!/usr/bin/env bash
# TreeEnsemble's post_transform 1 is LOGISTIC in ONNX Runtime and SOFTMAX by the standard, 2 the other way round; the
# reference evaluator computes none.
#
# Versions: onnxruntime 1.32.0 (CPU, x86-64), onnx 1.23.2, numpy 2.4.6.
#
# Guess: an attribute that is a number means what the operator's schema says of it: post_transform of ai.onnx.ml 5's
# TreeEnsemble is "'NONE' (0), 'SOFTMAX' (1), 'LOGISTIC' (2), 'SOFTMAX_ZERO' (3) or 'PROBIT' (4)"; so the same file gives
# the scores that the schema says in ONNX Runtime, and the same in onnx's reference evaluator.
#
# Seen: three trees of one leaf each, margins 0.5, 1 and 2. With post_transform 1 ONNX Runtime gives logistic
# (0.622, 0.731, 0.881), with 2 softmax (0.140, 0.231, 0.629): the schema's numbers, changed round. onnx's reference
# evaluator gives the margins as they are with either. No message: both load the file, the checker's full check passes
# it. The order of the margins is kept, so that classes agree and only the scores do not. TreeEnsembleClassifier and
# -Regressor, which name their transform in words, do not have this in ONNX Runtime.
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
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

MARGINS = np.array([0.5, 1, 2], np.float32)
X = np.zeros((1, 1), np.float32)


def model(transform: int) -> onnx.ModelProto:
    tensor = lambda values, kind: numpy_helper.from_array(np.array(values, kind))
    node = helper.make_node(
        "TreeEnsemble", ["x"], ["y"], domain="ai.onnx.ml", n_targets=3, post_transform=transform, aggregate_function=1,
        tree_roots=[0, 1, 2], nodes_featureids=[0, 0, 0], nodes_modes=tensor([0, 0, 0], np.uint8),
        nodes_splits=tensor([0, 0, 0], np.float32), nodes_truenodeids=[0, 1, 2], nodes_trueleafs=[1, 1, 1],
        nodes_falsenodeids=[0, 1, 2], nodes_falseleafs=[1, 1, 1], leaf_targetids=[0, 1, 2],
        leaf_weights=tensor(MARGINS, np.float32),
    )
    source = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", 1])
    target = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B", 3])
    graph = helper.make_graph([node], "g", [source], [target])
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 5)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    onnx.checker.check_model(made, full_check=True)
    return made


def name(scores: np.ndarray) -> str:
    powers = np.exp(MARGINS)
    known = {"LOGISTIC": powers / (1 + powers), "SOFTMAX": powers / powers.sum(), "NONE": MARGINS}
    return next((word for word, values in known.items() if np.allclose(scores, values, atol=1e-5)), "something else")


said = onnx.defs.get_schema("TreeEnsemble", 5, "ai.onnx.ml").attributes["post_transform"].description
print("the schema:", " ".join(said.split()))
seen = []
for transform in (0, 1, 2):
    proto = model(transform)
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    runtime, reference = session.run(None, {"x": X})[0][0], ReferenceEvaluator(proto).run(None, {"x": X})[0][0]
    print(transform, "onnxruntime", runtime, name(runtime), "| reference evaluator", reference, name(reference))
    seen.append((name(runtime), name(reference)))
if seen != [("NONE", "NONE"), ("LOGISTIC", "NONE"), ("SOFTMAX", "NONE")]:
    sys.exit("no longer so: a number is another transform")
PROGRAM
