"""The scenes: the same from the same seed, masks exact, objects apart, nothing but outline tells the class."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

SEEDS = range(24)


def grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask and the eight neighbours of its pixels: where antialiasing may have reached."""
    padded = np.pad(mask, 1)
    rows, columns = mask.shape
    shifts = [padded[i : i + rows, j : j + columns] for i in range(3) for j in range(3)]
    reached: NDArray[np.bool_] = np.logical_or.reduce(shifts)
    return reached


def test_a_seed_is_a_scene(scenes: ModuleType) -> None:
    once, again, other = scenes.draw_scene(5), scenes.draw_scene(5), scenes.draw_scene(6)
    assert np.array_equal(once.image, again.image)
    assert np.array_equal(once.masks, again.masks)
    assert not np.array_equal(once.image, other.image)


@pytest.mark.parametrize("label", range(10))
def test_area_is_the_outlines_own(scenes: ModuleType, label: int) -> None:
    """The mask's area scales as the square of the size: 384 pixels measure what 96 pixels show, to their border."""
    small, large = (scenes.draw_scene(label, size=size, label=label) for size in (96, 384))
    share, truth = small.masks.mean(axis=(1, 2)), large.masks.mean(axis=(1, 2))
    assert np.allclose(share, truth, rtol=0.06)


def test_every_outline_fits_its_circle(scenes: ModuleType) -> None:
    turn = np.linspace(0, 2 * np.pi, 10_000)
    for name, outline in {**scenes.CLASSES, **scenes.FOREIGN}.items():
        assert outline(np.cos(turn), np.sin(turn)).min() > -0.01, name
        assert outline(0.8 * np.cos(turn), 0.8 * np.sin(turn)).min() < 0, name


def test_areas_in_closed_form(scenes: ModuleType) -> None:
    """Areas of a disc of radius r, a square and a ring, from the spot that the masks themselves show."""
    for label, shape in (("disc", 0.85**2 * np.pi), ("square", 1.4**2), ("ring", (0.93**2 - 0.47**2) * np.pi)):
        scene = scenes.draw_scene(3, size=480, label=scenes.LABELS.index(label), objects=1)
        disc = scenes.draw_scene(3, size=480, label=scenes.LABELS.index("disc"), objects=1)
        radius = np.sqrt(disc.mask.mean() / np.pi) / 0.85
        assert scene.mask.mean() == pytest.approx(shape * radius**2, rel=5e-3), label


@pytest.mark.parametrize("seed", SEEDS)
def test_objects_change_the_picture_inside_their_masks_only(scenes: ModuleType, seed: int) -> None:
    """The same scene with objects of another class has the same pixels wherever neither has an object."""
    one, other = (scenes.draw_scene(seed, label=label, objects=3) for label in (2, 5))
    differs = (one.image != other.image).any(axis=2)
    assert not (differs & ~grown(grown(one.mask | other.mask))).any()  # a tip may be thinner than a pixel
    assert differs[one.mask ^ other.mask].mean() > 0.97


@pytest.mark.parametrize("seed", SEEDS)
def test_objects_stand_out_from_what_surrounds_them(scenes: ModuleType, seed: int) -> None:
    scene = scenes.draw_scene(seed)
    bright = scene.image @ np.array([0.299, 0.587, 0.114])
    for mask in scene.masks:
        around = grown(grown(grown(mask))) & ~grown(mask)
        assert abs(np.median(bright[mask]) - np.median(bright[around])) > 25


def test_masks_are_apart_whole_and_one_per_object(scenes: ModuleType) -> None:
    for seed in SEEDS:
        scene = scenes.draw_scene(seed)
        assert len(scene.masks) == len(scene.labels)
        assert scene.masks.sum(axis=0).max() == 1
        assert np.array_equal(scene.mask, scene.masks.any(axis=0))
        assert not scene.mask[[0, -1]].any()
        assert not scene.mask[:, [0, -1]].any()
        assert scene.masks.sum(axis=(1, 2)).min() > 60


def test_counts_and_classes_are_balanced(scenes: ModuleType) -> None:
    drawn = [scenes.draw_scene(seed, size=8) for seed in range(400)]
    counts = np.bincount([len(scene.masks) for scene in drawn], minlength=5)
    labels = np.bincount([scene.label for scene in drawn], minlength=10)
    assert counts[0] == 0
    assert np.all(np.abs(counts[1:] - 100) < 4 * np.sqrt(100))
    assert np.all(np.abs(labels - 40) < 4 * np.sqrt(40))


def test_colour_and_area_alone_do_not_tell_the_class(scenes: ModuleType) -> None:
    """The nearest class mean of the objects' mean colour is right about as often as chance."""
    drawn = [scenes.draw_scene(seed, size=32, label=seed % 10, objects=1) for seed in range(1000)]
    colour = np.array([scene.image[scene.mask].mean(axis=0) for scene in drawn])
    labels = np.arange(1000) % 10
    means = np.array([colour[:500][labels[:500] == k].mean(axis=0) for k in range(10)])
    found = np.linalg.norm(colour[500:, None] - means, axis=2).argmin(axis=1)
    assert (found == labels[500:]).mean() < 0.1 + 4 * np.sqrt(0.09 / 500)


def test_given_label_and_count_are_kept(scenes: ModuleType) -> None:
    assert scenes.draw_scene(1, label=4, objects=2).labels == (4, 4)
    empty = scenes.draw_scene(1, objects=0)
    assert empty.labels == ()
    assert not empty.mask.any()


def test_a_pair_has_two_classes(scenes: ModuleType) -> None:
    for seed in SEEDS:
        pair = scenes.draw_pair(seed, size=32)
        assert len(pair.masks) == len(set(pair.labels)) == 2
    forced, swapped = scenes.draw_pair(3, labels=(0, 1)), scenes.draw_pair(3, labels=(1, 0))
    assert forced.labels == (0, 1)
    assert not np.array_equal(forced.masks, swapped.masks)


def test_noise_has_the_given_spread_and_leaves_the_masks(scenes: ModuleType) -> None:
    clean, noisy = scenes.draw_scene(2), scenes.draw_scene(2, noise=0.05)
    inside = (clean.image > 60) & (clean.image < 195)
    difference = (noisy.image.astype(float) - clean.image)[inside] / 255
    assert difference.std() == pytest.approx(0.05, rel=0.05)
    assert abs(difference.mean()) < 0.003
    assert np.array_equal(clean.masks, noisy.masks)


def test_spots_are_those_of_the_generator_asked_number_by_number(scenes: ModuleType) -> None:
    """Seeds name scenes for good: the quick way gives the bits of the plain one and leaves the same generator."""
    from layout import place

    for seed, count in enumerate((1, 4, 7, 7, 3, 6)):
        quick, plain = (np.random.Generator(np.random.PCG64([seed, 1])) for _ in range(2))
        assert quick.integers(0, 4) == plain.integers(0, 4)  # half a number is left over
        assert [(s.x, s.y, s.radius, s.angle) for s in place(quick, count)] == plain_spots(plain, count)
        assert quick.bit_generator.state == plain.bit_generator.state


def plain_spots(rng: np.random.Generator, count: int) -> list[tuple[float, ...]]:
    spots: list[tuple[float, ...]] = []
    while len(spots) < count:
        spots = []
        for radius in rng.uniform(0.12, min(0.27, 0.55 / count**0.5), size=20 * count):
            x, y = rng.uniform(radius, 1 - radius, size=2)
            if all(np.hypot(x - s[0], y - s[1]) > 1.12 * (radius + s[2]) for s in spots):
                spots.append((x, y, radius, rng.uniform(0, 2 * np.pi)))
            if len(spots) == count:
                break
    return spots
