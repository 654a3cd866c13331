"""What was decided of a file is told by its report and by every manifest, and travels with the model."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import numpy as np
import tiny_models

import onnxsal
from onnxsal.decisions import Decision

X = np.random.default_rng(0).uniform(size=(3, 16, 16)).astype(np.float32)
SAID = Decision("head", "logits", "the only output")


def test_a_manifest_and_the_report_tell_what_was_decided_and_why() -> None:
    model = onnxsal.load(tiny_models.classifier())
    told = replace(model, decided=(*model.decided, SAID))
    manifest = json.loads(json.dumps(onnxsal.explain(told, X, method="gradient").manifest))
    assert manifest["decided"]["head"] == "logits (the only output)"
    assert {"what": "head", "value": "logits", "why": "the only output"} in told.inspect()["decided"]
    assert pickle.loads(pickle.dumps(told)).decided == told.decided


def test_a_decision_reads_as_one_line() -> None:
    assert str(SAID) == "head: logits (the only output)"
