"""Missing cells that reach trees: told where the file does not say what becomes of them, and only there."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from tables import NAMES, ROWS, TREES, pipeline

import onnxsal

TREE = """<ir_version: 10, opset_import: ["" : 21, "ai.onnx.ml" : 3]> g (float[N, 2] x) => (float[N, 1] y) {
    SCALED y = ai.onnx.ml.TreeEnsembleRegressor <n_targets = 1, nodes_treeids = [0, 0, 0], nodes_nodeids = [0, 1, 2],
    nodes_featureids = [0, 0, 0], nodes_modes = ["BRANCH_LEQ", "LEAF", "LEAF"], nodes_values = [0.5, 0.0, 0.0],
    nodes_truenodeids = [1, 0, 0], nodes_falsenodeids = [2, 0, 0], target_treeids = [0, 0], target_nodeids = [1, 2],
    target_ids = [0, 0], target_weights = [1.0, 3.0] TRACKS> (IN) }"""
SCALED = "s = ai.onnx.ml.Scaler <offset = [0.0, 0.0], scale = [2.0, 2.0]> (x)"
ROW = np.array([np.nan, 1.0])


@pytest.mark.parametrize(
    ("scaled", "tracks", "row", "told"),
    [
        (False, "", ROW, True), (True, "", ROW, True), (True, "", np.ones(2), False),
        (True, ", nodes_missing_value_tracks_true = [1, 0, 0]", ROW, False),
        (True, ", nodes_missing_value_tracks_true = [0, 0, 0]", ROW, True),
    ],
)  # fmt: skip
def test_a_missing_cell_that_reaches_trees_is_told(scaled: bool, tracks: str, row: np.ndarray, told: bool) -> None:
    text = TREE.replace("SCALED", SCALED if scaled else "").replace("TRACKS", tracks)
    proto = onnx.parser.parse_model(text.replace("(IN)", "(s)" if scaled else "(x)"))
    model = onnxsal.load(proto, task="regression")
    found = onnxsal.explain(model, row, background=np.zeros((2, 2)))
    notes = [note for note in found.manifest["notes"] if "does not say where its trees send missing values" in note]
    assert (
        len(notes) == 1 and notes[0].startswith("cells of 'x0' are missing, and ai.onnx.ml.TreeEnsembleRegressor")
    ) == told
    assert model.predict(row)[0].logit == (1 if "[1, 0, 0]" in tracks else 3)


def test_what_an_imputer_fills_reaches_none() -> None:
    found = onnxsal.explain(onnxsal.load(pipeline(TREES)), ROWS[2], background=list(ROWS[:2]))
    assert np.isnan(found.sample.row[NAMES.index("age")])
    assert not any("missing values" in note for note in found.manifest["notes"])
