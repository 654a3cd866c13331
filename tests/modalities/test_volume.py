"""Volumes [B, C, D, H, W]: scans in and out on their own grid, regions of voxels, slices, against closed forms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import onnxsal
from onnxsal.cli.run import main
from onnxsal.errors import EnvironmentSetupError, ImageError, NotSeenError, UsageError
from onnxsal.modalities.scans import Axes, axes_in
from onnxsal.viz.slices import peak, slices

nibabel = pytest.importorskip("nibabel")

RNG = np.random.default_rng(0)
SIZE = (4, 5, 6)
HEAD = '<ir_version: 10, opset_import: ["" : 21]> g '
NET = (
    HEAD
    + """(float[%s] x) => (float[B, 2] y) <float[2, 1, 1, 1, 1] w = {1, -2}, int64[3] axes = {2, 3, 4}>
    { %s a = Conv (t, w) r = Relu (a) y = ReduceMean <keepdims = 0> (r, axes) }"""
)
OPEN, FRONT = "B, 1, D, H, W", "t = Identity (x)"
SEGMENTS = (
    HEAD
    + """(float[B, 1, 4, 6, 8] x) => (float[B, 3, d, h, w] y) <float[3, 1, 1, 1, 1] u = {1, -1, 0.5}>
    { p = AveragePool <kernel_shape = [1, 2, 2], strides = [1, 2, 2]> (x) z = Conv (p, u) s = Tanh (z)
    y = Softmax <axis = 1> (s) }"""
)
AFFINE = np.array([[-2.0, 0, 0, 9], [0, 0, 3, -5], [0, 1.5, 0, 2], [0, 0, 0, 1]])
"""Of axes that rise to the left, upwards and to the front."""


def net(shape: str = OPEN, front: str = FRONT) -> onnx.ModelProto:
    return onnx.parser.parse_model(NET % (shape, front))


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A file of three axes of different lengths, in which one voxel is marked."""
    values = RNG.normal(0, 1, SIZE).astype(np.float32)
    values[1, 3, 2] = 40
    nibabel.save(nibabel.Nifti1Image(values, AFFINE), tmp_path / "scan.nii.gz")
    return tmp_path / "scan.nii.gz"


@pytest.mark.parametrize("damage", [lambda d: d[:400], lambda d: d[:70] + b"\x00\x10" + d[72:], lambda d: d[:9]])
def test_a_damaged_scan_is_one_line(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """Cut off, of a type of voxels that there is not, without a whole header."""
    whole = nibabel.Nifti1Image(np.zeros(SIZE, np.float32), AFFINE).to_bytes()
    (tmp_path / "scan.nii").write_bytes(damage(whole))
    with pytest.raises(ImageError, match=r"^the scan '.*scan\.nii' cannot be read: [^\n]+$"):
        onnxsal.load(net(), preprocess="RAS").predict(tmp_path / "scan.nii")


@pytest.mark.parametrize("axes", ["xyz", "zyx", "yxz", "RAS", "LIP", "SPL"])
def test_a_scan_goes_in_as_was_said_and_its_map_lies_on_its_own_voxels(scan: Path, axes: str, tmp_path: Path) -> None:
    """Of input x gradient y = mean relu(w x) the map of class 0 is max(x, 0) / n: the scan itself, voxel for voxel."""
    model = onnxsal.load(net(), preprocess=axes)
    image = nibabel.load(scan)
    values = image.get_fdata()
    found = onnxsal.explain(model, scan, method="input-x-gradient", target=0, percentile=100.0)
    if axes == axes.lower():
        wanted = values.transpose(["xyz".index(letter) for letter in axes])
    else:
        wanted = nibabel.apply_orientation(
            values,
            nibabel.orientations.ornt_transform(
                nibabel.io_orientation(AFFINE), nibabel.orientations.axcodes2ornt(axes)
            ),
        )
    np.testing.assert_allclose(found.sample.x[0], wanted, rtol=1e-6)
    np.testing.assert_allclose(found.raw[0], np.maximum(wanted, 0) / values.size, rtol=1e-5, atol=1e-9)
    assert found.manifest["preprocess"] == {"axes": axes}
    for name in ("map.nii.gz", "map.nii"):
        found.save(tmp_path / name)
        back = nibabel.load(tmp_path / name)
        np.testing.assert_array_equal(back.affine, image.affine)
        np.testing.assert_allclose(back.get_fdata(), np.maximum(values, 0) / values.max(), atol=1e-6)
    found.save(tmp_path / "map.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "map.npy"), found.saliency)


def test_nobody_guesses_which_axis_is_which(scan: Path, tmp_path: Path) -> None:
    onnx.save(net(), tmp_path / "net.onnx")
    with pytest.raises(UsageError, match="whose axes are x, y, z, and the model's are not named; say which way"):
        onnxsal.explain(onnxsal.load(tmp_path / "net.onnx"), scan, method="gradient")
    (tmp_path / "net.preprocess.json").write_text('{"axes": "zyx"}')
    assert onnxsal.load(tmp_path / "net.onnx").fitting(scan).size == SIZE[::-1]
    for said in ("xxy", "RLS", "imagenet", {"mean": 0}):
        with pytest.raises(UsageError, match="says which way the axes of scans go into the model"):
            onnxsal.load(net(), preprocess=said)
    assert (axes_in("ras"), axes_in("RLS"), axes_in(3)) == (Axes("RAS"), None, None)


def test_a_command_writes_the_map_and_draws_it(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(net(), tmp_path / "net.onnx")
    command = ["explain", "net.onnx", str(scan), "--preprocess", "xyz", "-m", "gradient", "-o"]
    assert main([*command, "maps.nii.gz"]) == 0
    assert nibabel.load(tmp_path / "maps.nii.gz").shape == SIZE
    assert main([*command, "map.png"]) == 0
    assert "map.png" in capsys.readouterr().out
    assert main([*command[:-3], "-m", "gradient,occlusion", "-o", "{method}.nii"]) == 2
    assert "one map" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("shape", "front", "axes"),
    [
        ("B, 4, 5, 6, 1", "t = Transpose <perm = [0, 4, 1, 2, 3]> (x)", "NDHWC"),
        ("B, 4, 5, 6, 1", "s = Neg (x) t = Transpose <perm = [0, 4, 3, 2, 1]> (s)", "NWHDC"),
        ("1, 1, 4, 5, 6", "t = Sqrt (x)", "NCDHW"),
    ],
)
def test_the_convolution_proves_which_axis_is_which(shape: str, front: str, axes: str) -> None:
    model = onnxsal.load(net(shape, front))
    assert (model.modality.name, model.anatomy.entry.input_axes) == ("volume", axes)
    assert model.size == tuple(dict(zip(axes, (1, *map(int, shape.split(", ")[1:])), strict=True))[a] for a in "DHW")


def test_a_film_of_one_frame_stays_a_picture() -> None:
    text = net("B, 3, 1, H, W", "t = Identity (x)").SerializeToString()
    proto = onnx.load_from_string(text)
    proto.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.ones((2, 3, 1, 1, 1), np.float32), "w"))
    assert onnxsal.load(proto).modality.name == "image"


def test_channels_are_the_last_axis_of_a_scan_and_the_first_of_an_array(tmp_path: Path) -> None:
    proto = net("B, 2, 4, 5, 6")
    proto.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.ones((2, 2, 1, 1, 1), np.float32), "w"))
    values = RNG.integers(-9, 9, (2, *SIZE)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(np.moveaxis(values, 0, -1), AFFINE), tmp_path / "two.nii")
    model = onnxsal.load(proto, preprocess="xyz")
    for thing in (tmp_path / "two.nii", values, values[None]):
        np.testing.assert_array_equal(model.prepare(thing).x, values)
    for thing, error, message in (
        (values[:, :3], UsageError, r"is int16 \[2, 3, 5, 6\], and the model takes numbers C, D, H, W \[2, 4, 5, 6\]"),
        (values[0], UsageError, r"takes numbers C, D, H, W \[2, 4, 5, 6\]"),
        (np.full((2, *SIZE), np.nan), UsageError, r"the first at \[0, 0, 0, 0\]"),
        (tmp_path / "none.nii", ImageError, "no such file"), (3, UsageError, "a volume is an array"),
    ):  # fmt: skip
        with pytest.raises(error, match=message):
            model.prepare(thing)
    (tmp_path / "text.nii").write_text("no scan")
    whole = (tmp_path / "two.nii").read_bytes()
    (tmp_path / "cut.nii").write_bytes(whole[: len(whole) - 9])
    nibabel.save(nibabel.Nifti1Image(np.zeros((2, 2), np.float32), None), tmp_path / "flat.nii")
    for name in ("text", "cut", "flat"):
        with pytest.raises(ImageError, match=rf"the scan '.*{name}.nii'"):
            model.prepare(tmp_path / f"{name}.nii")


def test_without_nibabel_it_says_what_to_install(scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "nibabel", None)
    with pytest.raises(EnvironmentSetupError, match=r"pip install 'onnxsal\[medical\]'"):
        onnxsal.load(net(), preprocess="xyz").prepare(scan)


def test_an_array_has_no_affine_and_says_so(tmp_path: Path) -> None:
    found = onnxsal.explain(onnxsal.load(net()), RNG.normal(0, 1, SIZE), method="gradient", target=0)
    with pytest.raises(UsageError, match="an array of which no affine is known"):
        found.save(tmp_path / "map.nii")


def test_a_region_of_voxels_is_the_mean_over_it(tmp_path: Path) -> None:
    """Logits tanh(u p), p the mean of two by two voxels: what a point, a box and a mask mean in closed form."""
    proto = onnx.parser.parse_model(SEGMENTS)
    model = onnxsal.load(proto, preprocess="xyz")
    assert (model.task.name, model.task.grid, model.modality.name) == ("dense", (4, 3, 4), "volume")
    x = RNG.normal(0, 1, (4, 6, 8)).astype(np.float32)
    pooled = x.astype(np.float64).reshape(4, 3, 2, 4, 2).mean(axis=(2, 4))
    z = np.stack([np.tanh(u * pooled) for u in (1, -1, 0.5)])
    mask = np.zeros((4, 6, 8), np.uint8)
    mask[1:3, 2:5, 4:8] = 1
    nibabel.save(nibabel.Nifti1Image(mask, AFFINE), tmp_path / "mask.nii")
    nibabel.save(nibabel.Nifti1Image(x, AFFINE), tmp_path / "x.nii")
    nibabel.save(nibabel.Nifti1Image(mask, np.eye(4)), tmp_path / "elsewhere.nii")
    share = mask.reshape(4, 3, 2, 4, 2).mean(axis=(2, 4))
    in_mask = float((z[2] * share).sum() / share.sum())
    point = float(z[1, 3, 2, 0])
    for target, wanted in (
        ("1@3,4,1", point), (onnxsal.Region(1, point=(0.9, 0.7, 0.1)), point), ("2@1,2,4,3,5,8", in_mask),
        (onnxsal.Region(2, mask=mask, pixels=True), in_mask), (f"2@{tmp_path / 'mask.nii'}", in_mask),
        ("2@1,2,4,3,5,8 minus 1@3,4,1", in_mask - point),
    ):  # fmt: skip
        found = onnxsal.explain(model, tmp_path / "x.nii", method="gradient", target=target)
        assert found.logit == pytest.approx(wanted, rel=1e-5)
    expected = np.zeros((4, 6, 8))
    slope = (1 - z[2] ** 2) * 0.5 * share / share.sum() / 4
    expected += slope[:, :, None, :, None].repeat(2, axis=2).repeat(2, axis=4).reshape(4, 6, 8)
    found = onnxsal.explain(model, x, method="gradient", target=onnxsal.Region(2, mask=mask, pixels=True))
    np.testing.assert_allclose(found.raw[0], expected, rtol=1e-4, atol=1e-8)
    seen = z.argmax(axis=0) == 0
    assert model.predict(x)[0].mask.shape == (4, 3, 4)
    plain = onnxsal.explain(model, x, method="gradient", target=0)
    assert plain.logit == pytest.approx(float(z[0][seen].mean()), rel=1e-5)
    for target, error, message in (
        ("1@4,5", UsageError, "a region's point is z, y, x, finite numbers"), ("1@9,9,9", NotSeenError, "4 x 6 x 8"),
        ("1@3,3,3,2,4,4", UsageError, "the least of z, y, x, then the greatest"),
        (f"1@{tmp_path / 'elsewhere.nii'}", ImageError, "lies on another grid"),
        (onnxsal.Region(0, mask=mask), UsageError, r"has the output's size \[4, 3, 4\]; got \[4, 6, 8\]"),
    ):  # fmt: skip
        with pytest.raises(error, match=message):
            onnxsal.explain(model, tmp_path / "x.nii", method="gradient", target=target)


def test_slices_go_through_the_strongest_voxel(scan: Path) -> None:
    saliency = np.zeros((3, 4, 5), np.float32)
    saliency[0, 0, 0] = saliency[2, 1, 3] = saliency[2, 1, 4] = -1
    assert peak(saliency) in ((2, 1, 3), (2, 1, 4)) and peak(saliency * 0) == (1, 2, 2)
    found = slices(np.zeros((3, 4, 5)), saliency, (2, 1, 3), spacing=(2, 1, 1), names=("a", "b", "c"))
    assert found.image.shape[:2] == found.saliency.shape
    factor = (1200 - 24) / 14  # 5 + 5 + 4 voxels side by side
    for share, wanted in (((1 + 0.5, 3 + 0.5), -1), ((0.5, 0.5), 0)):  # the first slice is [H, W], in the middle
        row = (6 * factor - 4 * factor) / 2 + share[0] * factor
        assert found.saliency[round(row), round(share[1] * factor)] == wanted
    model = onnxsal.load(net(), preprocess="xyz")
    map_ = onnxsal.explain(model, scan, method="input-x-gradient", target=0, percentile=100.0)
    seen, drawn = map_.drawn()
    assert seen.photo.shape[:2] == drawn.shape and drawn.max() == map_.saliency.max()
    names = map_.sample._names(*_turned(map_))
    assert names == ["axial, y 3", "coronal, z 2", "sagittal, x 1"]  # the axes rise left, up, front


def _turned(found: onnxsal.Explanation) -> tuple[object, tuple[int, int, int]]:
    from onnxsal.modalities.scans import shown_turn

    turn = shown_turn(found.sample.space)
    return turn, peak(turn.apply(found.saliency))


def test_scores_and_masks_are_those_of_the_file() -> None:
    """Occlusion by blocks: the score of the whole minus that of the volume with a block covered."""
    proto, x = net("B, 1, 4, 6, 6"), RNG.normal(0, 1, (4, 6, 6)).astype(np.float32)
    session = onnxruntime.InferenceSession(proto.SerializeToString())

    def score(values: np.ndarray) -> float:
        return float(session.run(["y"], {"x": values[None, None].astype(np.float32)})[0][0, 1])

    found = onnxsal.explain(onnxsal.load(proto), x, method="occlusion", target=1, score="logit", patch=2, stride=2)
    expected = np.zeros((2, 3, 3))
    for place in np.ndindex(2, 3, 3):
        covered = x.copy()
        covered[tuple(slice(2 * at, 2 * at + 2) for at in place)] = 0
        expected[place] = score(x) - score(covered)
    np.testing.assert_allclose(found.raw, expected, rtol=1e-4, atol=1e-6)
