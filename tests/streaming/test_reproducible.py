"""One seed, one map: whatever the batch size, the threads, the order of pictures, or where a run ended."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from tinynet import TinyNet, image

import onnxsal
from onnxsal.runtime import Session

X = image()
METHODS = [
    ("score-cam", {"layer": "a2"}),
    ("ss-cam", {"layer": "a2", "samples": 5, "variant": 1}),
    ("ss-cam", {"layer": "a2", "samples": 5, "variant": 2}),
    ("is-cam", {"layer": "a2", "samples": 4}),
    ("smoothgrad", {"samples": 7}),
    ("smooth-grad-cam++", {"layer": "a2", "samples": 7}),
    ("occlusion", {}),
]


def model_on(threads: int, monkeypatch: pytest.MonkeyPatch, source: object, **options: str) -> onnxsal.Model:
    start = Session.__init__

    def starts(self: Session, program, **given) -> None:
        start(self, program, **{**given, "threads": threads})

    monkeypatch.setattr(Session, "__init__", starts)
    return onnxsal.load(source, **options)  # type: ignore[arg-type]


def assert_same(found: onnxsal.Explanation, wanted: onnxsal.Explanation) -> None:
    assert_allclose(found.raw, wanted.raw, rtol=0, atol=1e-6 * np.abs(wanted.raw).max())
    assert_allclose(found.saliency, wanted.saliency, rtol=0, atol=1e-5)
    if wanted.stderr is not None:
        assert_allclose(found.stderr, wanted.stderr, rtol=0, atol=1e-4 * wanted.stderr.max())


@pytest.mark.parametrize(("method", "options"), METHODS)
@pytest.mark.parametrize("threads", [1, 2])
def test_neither_batch_size_nor_threads_matter(monkeypatch, method: str, options: dict, threads: int) -> None:
    wanted = onnxsal.explain(
        onnxsal.load(TinyNet().model()), X, method=method, target=1, seed=3, batch_size=2, **options
    )
    model = model_on(threads, monkeypatch, TinyNet().model())
    for size in (1, 3, 8, 16):
        found = onnxsal.explain(model, X, method=method, target=1, seed=3, batch_size=size, **options)
        assert_same(found, wanted)


def test_on_a_real_model_too(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = shared / "models" / "squeezenet1.0_fp32.onnx"
    photo = shared / "images" / "imagenet" / "0281_tabby.jpg"
    how = {"method": "ss-cam", "target": 281, "top_k": 5, "samples": 2}
    one = onnxsal.explain(model_on(1, monkeypatch, source, preprocess="caffe"), photo, **how, batch_size=1)
    two = onnxsal.explain(model_on(2, monkeypatch, source, preprocess="caffe"), photo, **how, batch_size=7)
    assert_same(two, one)


def test_another_seed_is_another_map(tiny: onnxsal.Model) -> None:
    one, two = (onnxsal.explain(tiny, X, method="ss-cam", layer="a2", target=1, samples=3, seed=s) for s in (3, 4))
    assert np.abs(one.raw - two.raw).max() > 1e-3 * one.raw.max()


def test_the_order_of_pictures_does_not_matter(tiny: onnxsal.Model) -> None:
    images = [image(seed) for seed in range(3)]
    how = {"method": "ss-cam", "layer": "a2", "target": 1, "samples": 3}
    forth, back = onnxsal.explain(tiny, images, **how), onnxsal.explain(tiny, images[::-1], **how)
    for one, two in zip(forth, back[::-1], strict=True):
        assert_same(two, one)


LIMITS = [
    ("ss-cam", {"layer": "a2", "samples": 50}, {"forwards": 1 + 7 * 6 + 3}),
    ("ss-cam", {"layer": "a2", "samples": 100_000, "batch_size": 5}, {"seconds": 0.5}),
    ("ss-cam", {"layer": "a2", "samples": 2000, "batch_size": 5}, {"tolerance": 0.1}),
    ("smoothgrad", {"samples": 50, "batch_size": 4}, {"forwards": 17}),
    ("smoothgrad", {"samples": 5000, "batch_size": 4}, {"tolerance": 0.2}),
]


@pytest.mark.parametrize(("method", "options", "limit"), LIMITS)
def test_a_run_that_a_limit_ended_is_replayed_by_its_samples(tiny, method: str, options: dict, limit: dict) -> None:
    ended = onnxsal.explain(tiny, X, method=method, target=1, **options, **limit)
    samples = ended.manifest["samples"]
    assert ended.manifest["stopped"] == next(iter(limit))
    assert 0 < samples < options["samples"]
    again = onnxsal.explain(tiny, X, method=method, target=1, **{**options, "samples": samples, "batch_size": 3})
    assert_same(again, ended)


ENDED = [
    ("ss-cam", {"layer": "a2", "samples": 100, "estimator": "neyman"}, 30),
    ("ss-cam", {"layer": "a2", "samples": 100}, 5),
    ("smoothgrad", {"samples": 50, "inner": "score-cam", "layer": "a2", "top_k": 3}, 4),
]


@pytest.mark.parametrize(("method", "options", "draws"), ENDED)
def test_an_interrupted_run_is_replayed_by_its_forwards(tiny, method: str, options: dict, draws: int) -> None:
    """Also where ``samples`` says too little: it decides what is drawn, or none is whole."""

    def progress(done: int, total: int) -> None:
        if done >= draws:
            raise KeyboardInterrupt

    how = {"method": method, "target": 1, "batch_size": 5, **options}
    ended = onnxsal.explain(tiny, X, **how, keep_partial=True, progress=progress)
    assert ended.manifest["stopped"] == "interrupted"
    again = onnxsal.explain(tiny, X, **how | {"batch_size": 3}, forwards=ended.manifest["forwards"])
    assert again.manifest["samples"] == ended.manifest["samples"]
    assert_same(again, ended)


TOLERANT = [
    ("smoothgrad", {"samples": 500, "tolerance": 0.25}),
    ("ss-cam", {"layer": "a2", "samples": 500, "tolerance": 0.1}),
    ("ss-cam", {"layer": "a2", "samples": 500, "tolerance": 0.1, "estimator": "independent"}),
    ("ss-cam", {"layer": "a2", "samples": 500, "tolerance": 0.1, "estimator": "neyman"}),
    ("smoothgrad", {"samples": 100, "tolerance": 0.2, "inner": "score-cam", "layer": "a2"}),
]


@pytest.mark.parametrize(("method", "options"), TOLERANT)
def test_tolerance_ends_at_the_same_draw_for_any_batch_size(tiny, method: str, options: dict) -> None:
    found = [onnxsal.explain(tiny, X, method=method, target=1, **options, batch_size=n) for n in (1, 3, 8, 16, 64)]
    assert {each.manifest["stopped"] for each in found} == {"tolerance"}
    assert len({each.manifest["forwards"] for each in found}) == 1
    for each in found[1:]:
        assert_same(each, found[0])


def test_more_samples_begin_with_the_same(tiny: onnxsal.Model) -> None:
    """So a run of 20 and a run that goes on from there are one: their means differ by the new samples alone."""
    how = {"method": "smoothgrad", "target": 1}
    runs = {n: onnxsal.explain(tiny, X, **how, samples=n).raw.astype(float) for n in (4, 5, 6)}
    fifth = 5 * runs[5] - 4 * runs[4]
    sixth = 6 * runs[6] - 5 * runs[5]
    assert np.abs(fifth - sixth).max() > 1e-2 * np.abs(fifth).max()
    mean = onnxsal.explain(tiny, X, **how, samples=50, forwards=6).raw
    assert_allclose(mean, (4 * runs[4] + fifth + sixth) / 6, rtol=0, atol=1e-6 * np.abs(mean).max())
