"""The scripts that make what the experiments need: folders of scenes, and models trained with noise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from onnxsal.experiments.scenes import read_scenes


@pytest.mark.parametrize(("kind", "objects"), [("several", [2, 3, 4]), ("pairs", [2, 2, 2]), ("one", [1, 1, 1])])
def test_a_folder_of_scenes_is_read_as_it_was_drawn(models: Path, scenes, tmp_path: Path, kind: str, objects) -> None:
    asked = [sys.executable, str(models / "write_scenes.py"), "--out", str(tmp_path), "--kind", kind, "--count", "3"]
    subprocess.run([*asked, "--size", "64"], check=True)
    found = read_scenes(str(tmp_path))
    assert [len(scene.labels) for scene in found] == objects
    for scene in found:
        assert (len(set(scene.labels)) == 2) == (kind == "pairs")
        assert set(scene.labels) <= set(scenes.LABELS)
    if kind == "pairs":
        drawn = scenes.draw_pair(50_000_001, size=64)
        assert (found[1].picture == drawn.picture).all()
        assert all(((found[1].objects == k + 1) == mask).all() for k, mask in enumerate(drawn.masks))


def test_training_goes_on_from_the_bundled_model(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss of the graph that is trained is the cross-entropy of the bundled model's own logits."""
    monkeypatch.syspath_prepend(str(models))
    import noise_series

    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (4, 3, 96, 96)).astype(np.float32)
    answers = np.eye(10, dtype=np.float32)[[3, 1, 4, 1]]
    weights = noise_series.bundled()
    graph = onnxruntime.InferenceSession(noise_series.graph(weights).SerializeToString())
    (loss,) = graph.run(None, {"picture": x, "answers": answers, **weights})
    (logits,) = onnxruntime.InferenceSession(models / "shapes.onnx").run(None, {"picture": x})
    exact = logits.astype(np.float64)
    expected = -(exact[range(4), [3, 1, 4, 1]] - np.log(np.exp(exact).sum(axis=1))).mean()
    assert loss == pytest.approx(expected, rel=1e-4)
