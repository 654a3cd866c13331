"""Limits, partial maps, interruptions, threads and memory of streaming."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from tinynet import image

import onnxsal
from onnxsal.errors import ModelError, OutOfMemoryError, UsageError
from onnxsal.explanation.outcome import EMPTY
from onnxsal.explanation.target import resolve_target
from onnxsal.kernels.masks import make_rows
from onnxsal.kernels.noise import uniform
from onnxsal.methods import get
from onnxsal.records import Draws, Grids, HostMasks, Moments, Record
from onnxsal.runtime import Session
from onnxsal.streaming import Settings, Subject, limits, run, stream
from onnxsal.streaming.batches import batches
from onnxsal.streaming.device import Host, host_masks
from onnxsal.streaming.limits import Limits, Stopper
from onnxsal.streaming.plan import Plan, make_plan

X = image()
SS = {"method": "ss-cam", "layer": "a2", "target": 1, "top_k": 4, "samples": 12}


def helpers() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("onnxsal")]


def interrupt_after(rows: int) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        if done >= rows:
            raise KeyboardInterrupt

    return progress


def test_an_interruption_leaves_no_thread(tiny: onnxsal.Model) -> None:
    with pytest.raises(KeyboardInterrupt):
        onnxsal.explain(tiny, X, **SS, progress=interrupt_after(16))
    assert helpers() == []


def test_an_interruption_gives_the_map_so_far_where_that_is_wanted(tiny: onnxsal.Model) -> None:
    kept = onnxsal.explain(tiny, X, **SS, batch_size=4, progress=interrupt_after(16), keep_partial=True)
    same = onnxsal.explain(tiny, X, **SS | {"samples": 4}, batch_size=4)
    assert (kept.manifest["partial"], kept.manifest["stopped"], kept.manifest["samples"]) == (True, "interrupted", 4)
    assert_allclose(kept.raw, same.raw, rtol=1e-6)
    assert_allclose(kept.stderr, same.stderr, rtol=1e-4)
    assert helpers() == []


def test_an_interruption_ends_a_list_of_pictures(tiny: onnxsal.Model) -> None:
    found = onnxsal.explain(tiny, [X, X, X], **SS, progress=interrupt_after(16), keep_partial=True)
    assert len(found) == 1


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_forwards_are_kept_exactly(tiny: onnxsal.Model, batch_size: int) -> None:
    found = onnxsal.explain(tiny, X, **SS, forwards=1 + 4 * 5 + 2, batch_size=batch_size)
    assert (found.manifest["forwards"], found.manifest["samples"]) == (23, 5)
    assert (found.manifest["stopped"], found.manifest["partial"]) == ("forwards", True)
    again = onnxsal.explain(tiny, X, **SS, forwards=23, batch_size=7)
    assert_allclose(found.raw, again.raw, rtol=0, atol=1e-6 * found.raw.max())


def test_too_few_forwards_are_refused(tiny: onnxsal.Model) -> None:
    with pytest.raises(UsageError, match="at least 2"):
        onnxsal.explain(tiny, X, **SS, forwards=1)


# Of each inner method what it takes for one sample, and what for all three.
NESTED = [
    ({"inner": "score-cam", "layer": "a2", "top_k": 3}, 4, 12),
    ({"inner": "integrated-gradients", "steps": 3}, 5, 15),
]


@pytest.mark.parametrize(("inner", "sample", "whole"), NESTED)
def test_a_method_inside_takes_no_more_forwards_than_asked_for(tiny, inner: dict, sample: int, whole: int) -> None:
    how = {"method": "smoothgrad", "target": 1, "samples": 3, **inner}
    for forwards in range(sample, whole + 2):
        found = onnxsal.explain(tiny, X, **how, forwards=forwards)
        drawn = forwards // sample
        assert (found.manifest["samples"], found.manifest["forwards"]) == (drawn, drawn * sample)
        assert found.manifest["stopped"] == ("forwards" if drawn < 3 else None)
        assert_array_equal(found.raw, onnxsal.explain(tiny, X, **how, forwards=drawn * sample).raw)
    with pytest.raises(UsageError, match=f"forwards={sample - 1}: a single sample takes at least {sample}"):
        onnxsal.explain(tiny, X, **how, forwards=sample - 1)


UNEVEN = {"method": "smoothgrad", "inner": "score-cam", "layer": "a1", "target": 1, "noise": 0.3}
"""On the picture plus 5 one of six maps is flat in some samples: they take 7, 7, 6, 6, 7, 6 images."""


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Images of every run of a session that takes the picture."""
    rows, run = [], Session.run

    def counted(self, feeds, outputs=None):
        if "sal/x" in self.inputs:
            rows.append(len(feeds["sal/x"]))
        return run(self, feeds, outputs)

    monkeypatch.setattr(Session, "run", counted)
    return rows


@pytest.mark.parametrize("preset", ["official", "paper"])
def test_samples_of_different_length_are_made_again_and_take_no_more(tiny, images: list[int], preset: str) -> None:
    how = UNEVEN | {"preset": preset}
    ends = [onnxsal.explain(tiny, X + 5, **how, samples=n).manifest["forwards"] for n in range(1, 7)]
    assert len(set(np.diff(ends))) == 2
    for forwards in range(ends[0], ends[-1] + 2):
        images.clear()
        found = onnxsal.explain(tiny, X + 5, **how, samples=6, forwards=forwards)
        drawn = sum(end <= forwards for end in ends)
        assert (found.manifest["samples"], found.manifest["forwards"]) == (drawn, ends[drawn - 1])
        assert sum(images) - 1 <= forwards  # one predicts
        again = onnxsal.explain(tiny, X + 5, **how, samples=6, forwards=found.manifest["forwards"])
        assert_array_equal(again.raw, found.raw)
    with pytest.raises(UsageError, match=f"a single sample takes at least {ends[0]}"):
        onnxsal.explain(tiny, X + 5, **how, forwards=ends[0] - 1)


def test_no_memory_before_the_first_batch_is_one_clear_error(tiny: onnxsal.Model, monkeypatch) -> None:
    def fails(*given):
        raise MemoryError("4 GiB")

    monkeypatch.setattr(run, "make_plan", fails)
    with pytest.raises(OutOfMemoryError, match="out of memory before the first batch: 4 GiB"):
        onnxsal.explain(tiny, X, **SS)


def test_enough_forwards_are_no_limit(tiny: onnxsal.Model) -> None:
    found = onnxsal.explain(tiny, X, **SS, forwards=1 + 4 * 12)
    assert (found.manifest["stopped"], found.manifest["partial"]) == (None, False)


def test_a_partial_score_cam_is_that_of_the_maps_that_were_drawn(tiny: onnxsal.Model) -> None:
    how = {"method": "score-cam", "layer": "a2", "target": 1}
    found = onnxsal.explain(tiny, X, **how, forwards=4, batch_size=2)
    whole = onnxsal.explain(tiny, X, **how)
    assert found.manifest["partial"]
    assert found.manifest["forwards"] == 4
    assert np.abs(found.raw - whole.raw).max() > 1e-3


def test_tolerance_ends_when_the_error_is_small_enough(tiny: onnxsal.Model) -> None:
    how = {**SS, "samples": 2000, "batch_size": 4}
    found = onnxsal.explain(tiny, X, **how, tolerance=0.1)
    relative = np.linalg.norm(found.stderr) / np.linalg.norm(found.raw)
    assert relative <= 0.1
    assert found.manifest["relative_error"] == pytest.approx(relative, rel=1e-4)
    assert limits.FIRST_LOOK <= found.manifest["samples"] < 2000
    assert (found.manifest["stopped"], found.manifest["partial"]) == ("tolerance", False)
    tighter = onnxsal.explain(tiny, X, **how, tolerance=0.05)
    assert tighter.manifest["samples"] > found.manifest["samples"]


def test_an_empty_map_is_never_certain(tiny: onnxsal.Model) -> None:
    """All weights are below the baseline's score: clipped at 0 the map has no spread, whatever its weights' is."""
    how = {**SS, "preset": "paper", "samples": 40, "tolerance": 0.3}
    sure, empty = onnxsal.explain(tiny, X, **how | {"target": [0, 1]})
    assert sure.manifest["relative_error"] < 0.3
    assert not empty.raw.any()
    assert np.isnan(empty.manifest["relative_error"])
    assert (empty.manifest["stopped"], empty.manifest["samples"]) == (None, 40)
    assert [note for note in empty.manifest["notes"] if "empty" in note] == [EMPTY]
    assert EMPTY not in sure.manifest["notes"]


def test_tolerance_needs_samples(tiny: onnxsal.Model) -> None:
    with pytest.raises(UsageError, match="exact"):
        onnxsal.explain(tiny, X, method="occlusion", tolerance=0.1)


def test_seconds_end_after_the_batch_that_passes_them(tiny: onnxsal.Model) -> None:
    found = onnxsal.explain(tiny, X, **SS, seconds=0, batch_size=4)
    assert (found.manifest["samples"], found.manifest["stopped"]) == (1, "seconds")


def test_a_stopper_looks_at_the_error_ever_more_rarely() -> None:
    looks: list[int] = []
    stopper = Stopper(Limits(tolerance=0.0), lambda: looks.append(1) or 1.0)  # type: ignore[func-returns-value]
    for samples in range(1, 1001):
        assert stopper.reached(samples, samples) is None
    assert 10 < len(looks) < 40


def plan(draws: Draws, head: dict[str, np.ndarray] | None = None) -> Plan:
    return make_plan(X, draws, head or {}, np.zeros(3, np.float32), (0, 0))


def host(draws: Draws, key: tuple[int, int] = (0, 0)) -> Host:
    return Host(plan(draws), "sal/x", key)


def random_masks(seed: int, start: int, stop: int, size: tuple[int, int]) -> np.ndarray:
    return np.stack([uniform(seed, 0, i, size[0] * size[1]).reshape(size) for i in range(start, stop)])


@pytest.mark.parametrize("size", [1, 4, 100])
def test_batches_hold_every_draw_once_in_order(size: int) -> None:
    masks = HostMasks(11, random_masks)
    found = [b.x.copy() for b in batches(host(Draws(masks=masks), (5, 0)), 0, 11, size)]
    wanted = X * random_masks(5, 0, 11, (12, 12))[:, None]
    assert_allclose(np.concatenate(found), wanted, rtol=1e-6)
    assert helpers() == []


def test_two_buffers_whatever_the_number_of_draws() -> None:
    """Memory is bounded: ten times the draws take the same buffers, and they are used again."""
    drawn = host(Draws(samples=400))
    peaks = []
    for total in (40, 400):
        tracemalloc.start()
        addresses = {b.x.ctypes.data for b in batches(drawn, 0, total, 8)}
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(addresses) == 2
    assert peaks[1] < 2 * peaks[0]


def test_closing_in_the_middle_ends_the_thread() -> None:
    source = batches(host(Draws(samples=400)), 0, 400, 8)
    next(source)
    assert len(helpers()) == 1
    source.close()
    assert helpers() == []


def test_a_failure_while_filling_is_the_callers_and_leaves_no_thread() -> None:
    def fails(seed: int, start: int, stop: int, size: tuple[int, int]) -> np.ndarray:
        raise ModelError("no masks today")

    with pytest.raises(ModelError, match="no masks today"):
        list(batches(host(Draws(masks=HostMasks(4, fails))), 0, 4, 2))
    assert helpers() == []


def test_masks_from_the_host_are_those_of_seed_and_image() -> None:
    drawn = plan(Draws(masks=HostMasks(4, random_masks)))
    found = [host_masks(drawn, key, 0, 4) for key in ((5, 0), (5, 1), (5, 2), (6, 1))]
    assert_array_equal(found[0], random_masks(5, 0, 4, (12, 12)))
    assert_array_equal(host_masks(drawn, (5, 1), 1, 3), found[1][1:3])
    assert len({each.tobytes() for each in found}) == 4


def test_every_draw_round_random_masks_has_masks_of_its_own(tiny: onnxsal.Model) -> None:
    """Hardly any noise on the picture: maps differ by their masks, and the stated error has to be their spread."""
    score = tiny.score("probability")
    inner = Record(Draws(masks=HostMasks(10, random_masks)), score, Moments(("score",), per="weighted"))
    smooth = get("smoothgrad").build(inner, samples=8, noise=1e-6)
    assert isinstance(smooth, Record)
    subject = Subject(X, resolve_target(tiny, 1, tiny.outputs(X)).feeds, tiny.black())
    runs = [stream(smooth, subject, Settings(tiny.session, "sal/x", seed)) for seed in range(30)]
    actual = np.std([each.saliency for each in runs], axis=0, ddof=1)
    stated = np.sqrt(np.mean([np.square(each.stderr) for each in runs], axis=0))
    assert np.linalg.norm(stated) / np.linalg.norm(actual) == pytest.approx(1, abs=0.2)


def test_fixed_masks_are_one_sample_and_drawn_ones_are_many() -> None:
    drawn, fixed = (plan(Draws(masks=HostMasks(6, random_masks, random=r))) for r in (True, False))
    assert (drawn.per_sample, drawn.samples) == (1, 6)
    assert (fixed.per_sample, fixed.samples) == (6, 1)
    assert Draws(masks=HostMasks(6, random_masks)).sampled
    assert not Draws(masks=HostMasks(6, random_masks, random=False)).sampled


def test_noise_is_shared_by_the_masks_of_a_sample() -> None:
    maps = np.random.default_rng(0).random((1, 5, 4, 4)).astype(np.float32)
    rows = plan(Draws(samples=3, masks=Grids()), {"maps": maps}).rows(3, 12)
    assert_array_equal(rows["draw"], [0, 0, 1, 1, 1, 1, 1, 2, 2])
    assert_array_equal(rows["mask"], [3, 4, 0, 1, 2, 3, 4, 0, 1])
    assert len(rows) == 9
    assert rows.dtype == make_rows(1).dtype


def test_weights_that_are_not_finite_end_the_run(tiny: onnxsal.Model) -> None:
    with pytest.raises((ModelError, UsageError), match="finite"):
        onnxsal.explain(tiny, np.full_like(X, np.inf), method="smoothgrad", target=0)
