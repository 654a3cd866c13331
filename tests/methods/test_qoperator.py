"""Files of integer operators throughout: their layers are what the integers stand for, as between quantisers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnxruntime import quantization

import onnxsal

ZOO = Path(__file__).resolve().parent.parent / "data" / "zoo"


class Images(quantization.CalibrationDataReader):
    """Random pictures, one a batch."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        rng = np.random.default_rng(3)
        self._batches = iter([{"x": rng.normal(size=(1, *shape)).astype(np.float32)} for _ in range(4)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> list[onnxsal.Model]:
    """One network with the same integers, as integer operators and as floats between quantisers."""
    folder, found = tmp_path_factory.mktemp("forms"), []
    for form in (quantization.QuantFormat.QOperator, quantization.QuantFormat.QDQ):
        path = folder / f"{form.name}.onnx"
        quantization.quantize_static(
            str(ZOO / "resnet_basic.onnx"), str(path), Images((3, 48, 48)), quant_format=form,
            activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
        )  # fmt: skip
        found.append(onnxsal.load(path))
    return found


METHODS = ["grad-cam", "grad-cam++", "layercam", "eigencam", "ablation-cam", "recipro-cam", "score-cam"]


@pytest.mark.parametrize("method", METHODS)
def test_maps_are_those_of_the_other_form(forms: list[onnxsal.Model], method: str) -> None:
    x = np.load(ZOO / "resnet_basic.npz")["x"][:1].astype(np.float32)
    maps = [onnxsal.explain(m, x, method=method, target=2).raw for m in forms]
    np.testing.assert_allclose(maps[0], maps[1], rtol=0.02, atol=0.02 * float(np.abs(maps[1]).max()))


def test_it_compiles(forms: list[onnxsal.Model]) -> None:
    """The operators are the runtime's own, which has to be asked for."""
    assert "saliency" in {o.name for o in onnxsal.compile(forms[0], target=2, keep_custom=True).graph.output}


def test_the_layer_is_no_longer_the_picture(forms: list[onnxsal.Model]) -> None:
    chosen = [m.anatomy.layers.find(None) for m in forms]
    assert chosen[0].grid == chosen[1].grid
    assert chosen[0].channels == chosen[1].channels > 3
