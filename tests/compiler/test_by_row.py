"""The batched form: rows that ask are explained as ``explain`` does each alone, whatever lies beside them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import tiny_texts as tiny
from compiled_cases import BUNDLED, QUICK, Photos, built_in, photos
from tables import LINEAR, NET, feeds, pipeline
from tables import ROWS as ROWS_OF_TABLES
from tiny_detectors import NAMES, detector, picture

import onnxsal
from onnxsal.cli.commands.compile import Seed
from onnxsal.errors import NotSeenError, UsageError

CLOSE = 1e-5
"""Of a map's range, which is 1: how many rows lie together changes how a runtime rounds."""

FEW: dict[str, dict[str, Any]] = {
    **QUICK,
    "smoothgrad": {"samples": 3},
    "smoothgrad-squared": {"samples": 3},
    "vargrad": {"samples": 3},
    "smooth-grad-cam++": {"samples": 3},
    "ss-cam": {"samples": 2, "top_k": 4},
    "is-cam": {"samples": 2, "top_k": 4},
    "score-cam": {"top_k": 6},
    "ablation-cam": {"layer": "block2/relu"},
    "occlusion": {"patch": 48, "stride": 32},
    "rise": {"samples": 8},
}
ROWS = [2, 0, 1, 0]
DRAWS = ("smoothgrad", "smoothgrad-squared", "vargrad", "smooth-grad-cam++", "ss-cam", "rise")


@pytest.fixture(scope="module")
def model() -> onnxsal.Model:
    return onnxsal.load(BUNDLED)


@pytest.fixture(scope="module")
def images() -> Photos:
    return photos()


@pytest.fixture(scope="module")
def logits(images: Photos) -> np.ndarray:
    return session_of(onnx.load(BUNDLED))(picture=images.feed(3)[ROWS])["logits"]


def session_of(proto: onnx.ModelProto) -> Callable[..., dict[str, np.ndarray]]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda **feeds: dict(zip(names, session.run(None, feeds), strict=True))


def flags(*asked: int) -> np.ndarray:
    return np.array(asked, bool)[:, None]


def column(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)[:, None]


@pytest.mark.parametrize("method", built_in())
def test_rows_that_ask_get_the_maps_of_explain(
    model: onnxsal.Model, images: Photos, logits: np.ndarray, method: str
) -> None:
    """Each with a target and a seed of its own; the others get zeros, and all what the model gives."""
    options = FEW.get(method, {})
    draws = {"seed": "input"} if method in DRAWS else {}
    proto = onnxsal.compile(model, method=method, target="input", runtime="triton", **draws, **options)
    assert all(v.type.tensor_type.shape.dim[0].dim_param == "N" for v in (*proto.graph.input, *proto.graph.output))
    targets, seeds = [5, -1, 3, 2], [2**32 - 1, 7, 7, 0]
    feeds: dict[str, np.ndarray] = {"picture": images.feed(3)[ROWS], "target": column(*targets)}
    feeds.update({"seed": column(*seeds)} if draws else {})
    run = session_of(proto)
    found = run(**feeds, explain=flags(0, 1, 0, 1))
    np.testing.assert_array_equal(found["logits"], logits)
    assert not found["saliency"][[0, 2]].any()
    for row in (1, 3):
        asked: dict[str, Any] = {} if targets[row] < 0 else {"target": targets[row]}
        asked.update({"seed": seeds[row]} if draws else {})
        wanted = onnxsal.explain(model, images.pixels[ROWS[row]], method=method, **asked, **options).saliency
        np.testing.assert_allclose(found["saliency"][row], wanted, rtol=0, atol=CLOSE)
    turned = run(**{name: value[::-1] for name, value in feeds.items()}, explain=flags(1, 1, 1, 1))["saliency"][::-1]
    np.testing.assert_allclose(turned[[1, 3]], found["saliency"][[1, 3]], rtol=0, atol=CLOSE)


def one_of(file: str, **weights: np.ndarray) -> onnx.ModelProto:
    proto = onnx.parser.parse_model('<ir_version: 10, opset_import: ["" : 21]> g ' + file)
    arrays = {name: array.astype(np.float32) for name, array in weights.items()}
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in arrays.items())
    return proto


def normal(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def check_rows(
    model: Any, things: dict[str, np.ndarray], method: str, *, told: dict[str, np.ndarray] | None = None, **how: Any
) -> dict[str, np.ndarray]:
    """Hold rows 1 and 3 of four to what a file that takes no rows gives of each alone; return what all rows give."""
    told = told or {}
    alone, batched = (
        session_of(onnxsal.compile(model, method=method, runtime=name, **how)) for name in (None, "triton")
    )
    columns = {name: value if value.ndim > 1 else value[:, None] for name, value in told.items()}
    found = batched(**things, **columns, explain=flags(0, 1, 0, 1))
    rest = batched(**things, **columns, explain=flags(1, 0, 1, 0))
    none = batched(**things, **columns, explain=flags(0, 0, 0, 0))
    made = [name for name in ("saliency", "raw", "drawing", "values") if name in found]
    for row in range(4):
        one = alone(**{name: value[row : row + 1] for name, value in {**things, **told}.items()})
        given, other = (found, rest) if row % 2 else (rest, found)
        for name in made:
            np.testing.assert_allclose(
                given[name][row : row + 1], one[name], rtol=0, atol=1e-5 * np.abs(one[name]).max()
            )
            assert not other[name][row].any()
        for name in set(found) - set(made) - {"detections", "base_value"}:
            np.testing.assert_allclose(none[name][row : row + 1], one[name], rtol=1e-4, atol=1e-5)
    assert all(found[name].any() and not none[name].any() for name in made)
    if "target" in told and "explained" not in found:  # what is no target has no map, and hurts nothing beside it
        columns["target"] = np.where(flags(1, 0, 1, 0), column(-2, 0, 10**9, 0), columns["target"])
        beside = batched(**things, **columns, explain=flags(1, 1, 0, 1))
        one = alone(**{name: value[:1] for name, value in {**things, **told, "target": column(10**9)[0]}.items()})
        for name in made:
            assert np.isnan(beside[name][0]).all() and np.isnan(one[name]).all() and not beside[name][2].any()
            np.testing.assert_allclose(beside[name][[1, 3]], found[name][[1, 3]], rtol=0, atol=1e-5)
    return found


POOL = """(float[B, 6, 5] x) => (float[B, 3] y)
    <int64[1] two = {2}, int64[1] one = {1}, int64 zero = {0}, int64 step = {1}> {
    s = ReduceSum <keepdims = 0> (x, two) best = ArgMax <axis = 1, keepdims = 1> (s) t = Tanh (x)
    shape = Shape <start = 0, end = 1> (x) b = Squeeze (shape) r = Range (zero, b, step) row = Unsqueeze (r, one)
    at = Concat <axis = 1> (row, best) picked = GatherND (t, at) y = MatMul (picked, v) }"""
"""Rows that say themselves where they lie in the batch, as CLIP's texts do."""


def test_rows_that_know_their_place_in_the_batch() -> None:
    model = one_of(POOL, v=normal(5, 3))
    check_rows(
        model, {"x": normal(4, 6, 5, seed=2)}, "gradient", target="input", told={"target": np.array([0, 2, -1, 1])}
    )


@pytest.mark.parametrize(("target", "told"), [
    ("input", {"target": np.array([2, -1, 0, 1])}), (None, {}),
    ("input@input", {"target": np.array([0, 0, 1, 1]), "box": np.array([[0, 0, 9, 9]] * 4, np.float32)}),
])  # fmt: skip
def test_detectors_list_and_explain_what_each_picture_has(target: str | None, told: dict[str, np.ndarray]) -> None:
    pictures = [picture((0, 4, 4), (1, 20, 16)), picture((0, 3, 3), (1, 8, 8), (2, 22, 20)), picture((1, 4, 4))]
    x = np.concatenate([*pictures, picture((1, 2, 2), (0, 20, 8))])
    model = onnxsal.load(detector("v8"), labels=list(NAMES))
    found = check_rows(model, {"picture": x}, "gradient", target=target, told=told, give=["saliency", "detections"])
    listed = session_of(onnxsal.compile(model, method="gradient", give="saliency,detections"))(picture=x)["detections"]
    for row, own in enumerate(found["detections"]):
        np.testing.assert_allclose(own[~np.isnan(own[:, 0])], listed[listed[:, 0] == row, 1:], rtol=1e-5)
    nothing = session_of(onnxsal.compile(model, method="gradient", give="saliency,detections", runtime="triton"))(
        picture=np.zeros_like(x), explain=flags(1, 1, 1, 1)
    )
    assert np.isnan(nothing["detections"]).all() and nothing["detections"].shape == (4, 1, 6)


REGIONS = """(float[N, 3, 8, 8] x) => (float[N, 4, 8, 8] y) { a = Conv <pads = [1, 1, 1, 1]> (x, w) t = Tanh (a)
    l = Conv <pads = [1, 1, 1, 1]> (t, u) y = Softmax <axis = 1> (l) }"""
LIKE = """(float[B, 2, 24] x) => (float[B, 3] y) <int64[1] last = {2}, int64[1] one = {1}> {
    a = Conv <pads = [2, 2]> (x, w) r = Relu (a) m = ReduceMean <keepdims = 0> (r, last)
    n = ReduceL2 <keepdims = 1> (m, one) y = Div (m, n) }"""
VOLUME = """(float[B, 2, 4, 5, 6] x) => (float[B, 3] y) <int64[3] behind = {2, 3, 4}> {
    a = Conv <pads = [1, 1, 1, 1, 1, 1]> (x, w) m = Tanh (a) p = ReduceMean <keepdims = 0> (m, behind)
    y = MatMul (p, v) }"""
SIZES = """(float[N, 4] x) => (float[N, 3] y, int64[2] size) { size = Shape (x) t = Tanh (x) y = MatMul (t, v) }"""


@pytest.mark.parametrize(("file", "shape", "method", "how"), [
    (REGIONS, (3, 8, 8), "grad-cam", {"layer": "t", "target": "input"}),
    (LIKE, (2, 24), "grad-cam", {"target": "input"}),
    (VOLUME, (2, 4, 5, 6), "smoothgrad", {"samples": 2, "seed": "input", "target": "input"}),
    (VOLUME, (2, 4, 5, 6), "score-cam", {"give": ["saliency", "raw"]}),
])  # fmt: skip
def test_regions_references_and_volumes(file: str, shape: tuple[int, ...], method: str, how: dict[str, Any]) -> None:
    weights = {REGIONS: {"w": normal(5, 3, 3, 3), "u": normal(4, 5, 3, 3)}, LIKE: {"w": normal(3, 2, 5)},
               VOLUME: {"w": normal(4, 2, 3, 3, 3), "v": normal(4, 3)}}[file]  # fmt: skip
    told: dict[str, np.ndarray] = {"seed": np.array([3, 2**32 - 1, 5, 3])} if "seed" in how else {}
    if "target" in how:
        told.update({"reference": normal(4, 3, seed=4)} if file is LIKE else {"target": np.array([2, -1, 0, 1])})
    check_rows(one_of(file, **weights), {"x": normal(4, *shape, seed=2)}, method, told=told, **how)


SCENES = """(float[N, 3, H, W] x) => (float[N, 4, P, Q] y) <int64[1] two = {2}, int64[1] ten = {10}> {
    c = Slice (x, two, ten, two) a = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (c, w) t = Tanh (a)
    l = Conv <pads = [1, 1, 1, 1]> (t, u, b) y = SURE (l) }"""
"""Classes of rows 2 to 10 of pictures of any size, a position of the output for two by two pixels."""
SOFT, EACH = "Softmax <axis = 1>", "Sigmoid"


def scenes(end: str = SOFT, sky: float = 0.5) -> onnx.ModelProto:
    return one_of(SCENES.replace("SURE", end), w=normal(5, 3, 3, 3), u=normal(4, 5, 3, 3), b=np.array([4, 0, 0, sky]))


def of_scenes(end: str = SOFT, sky: float = 0.5) -> onnxsal.Model:
    return onnxsal.load(scenes(end, sky), labels=["background", "cat", "dog", "sky"], size=(12, 10), task="dense")


def under(region: np.ndarray) -> np.ndarray:
    """Return how many pixels of regions [B, 12, 10] lie on each position of the output: by hand."""
    return region[:, 2:10].reshape(-1, 4, 2, 5, 2).sum((2, 4))


SCENE = normal(4, 3, 12, 10, seed=2)
WHERE = np.random.default_rng(0).random((4, 12, 10)) > 0.6


@pytest.mark.parametrize(("method", "end", "options"), [
    ("gradient", EACH, {}), ("grad-cam", SOFT, {"layer": "t"}), ("score-cam", SOFT, {"layer": "t", "top_k": 2}),
    ("smoothgrad", SOFT, {"samples": 2, "seed": "input"}),
])  # fmt: skip
def test_a_region_that_is_fed_is_that_of_explain(method: str, end: str, options: dict[str, Any]) -> None:
    """A region of each row, and a class: -1 is that of most of the region, background aside; -2 is none."""
    model, targets, runtime = of_scenes(end), [-2, -1, 0, 1], None if method == "gradient" else "triton"
    feeds = {"x": SCENE, "region": WHERE, "target": np.array(targets)}
    feeds.update({"seed": np.array([3, 2**32 - 1, 5, 3])} if "seed" in options else {})
    run = session_of(onnxsal.compile(model, method=method, target="input@input", runtime=runtime, **options))
    if runtime is not None:
        feeds = {name: value[:, None] if value.ndim == 1 else value for name, value in feeds.items()}
        feeds["explain"] = flags(1, 1, 0, 1)
    found = run(**feeds)["saliency"]
    turned = run(**{name: value[::-1] for name, value in feeds.items()})["saliency"][::-1]
    np.testing.assert_allclose(turned, found, rtol=0, atol=CLOSE)
    assert np.isnan(found[0]).all() and found[2].any() == (runtime is None)
    values = session_of(scenes(end))(x=SCENE[1:2])["y"][0]
    seen = values > 0.5 if end == EACH else values.argmax(0) == np.arange(4)[:, None, None]
    targets[1] = int((seen * under(WHERE)[1]).sum((1, 2))[1:].argmax()) + 1
    for row in (1, 3):
        own = {**options, "seed": int(feeds["seed"][row].item())} if "seed" in options else options
        where = onnxsal.Region(targets[row], mask=WHERE[row], pixels=True)
        wanted = onnxsal.explain(model, SCENE[row], method=method, target=where, **own).saliency
        np.testing.assert_allclose(found[row], wanted, rtol=0, atol=CLOSE)


def test_a_class_that_is_seen_nowhere_has_no_map_in_its_row() -> None:
    """``explain`` refuses it, and a map that no score changes would be drawn all the same."""
    model, asked = of_scenes(sky=-60), {"method": "eigencam", "layer": "t"}
    made = onnxsal.compile(model, target="input", runtime="triton", **asked)
    maps = session_of(made)(x=SCENE, target=column(0, 3, -1, 1), explain=flags(1, 1, 1, 0))["saliency"]
    assert [np.isnan(each).all() for each in maps] == [False, True, False, False] and not maps[3].any()
    with pytest.raises(NotSeenError):
        onnxsal.explain(model, SCENE[1], target=3, **asked)
    for row, target in ((0, 0), (2, None)):
        np.testing.assert_allclose(
            maps[row], onnxsal.explain(model, SCENE[row], target=target, **asked).saliency, rtol=0, atol=CLOSE
        )


def test_the_gradient_of_a_region_that_is_fed_is_its_difference_quotient(tmp_path: Path) -> None:
    """Of one class, in rows that are chosen by their score; a region of nothing, which ``explain`` refuses, is NaN."""
    proto, where, step = scenes(), WHERE.copy(), np.float32(2e-3)
    proto.graph.output.append(onnx.helper.make_tensor_value_info("l", onnx.TensorProto.FLOAT, None))
    where[1], where[3, 2:] = False, False  # of row 3 only what the model cuts off
    weights = under(where)[[0, 2]] / under(where)[[0, 2]].sum((1, 2), keepdims=True)

    def means(x: np.ndarray, name: str) -> np.ndarray:
        return (session_of(proto)(x=x[[0, 2]])[name][:, 2].astype(np.float64) * weights).sum((1, 2))

    way = normal(*SCENE.shape, seed=7)
    slopes = (means(SCENE + step * way, "l") - means(SCENE - step * way, "l")) / (2 * step)
    shown = {"target": "dog@input", "method": "gradient", "give": "raw", "runtime": "triton"}
    made = onnxsal.compile(of_scenes(), **shown)
    raw = session_of(made)(x=SCENE, region=where, explain=flags(1, 1, 1, 1))["raw"]
    np.testing.assert_allclose((raw * way).sum((1, 2, 3))[[0, 2]], slopes, rtol=2e-3)
    assert np.isnan(raw[[1, 3]]).all()
    for row, why in ((1, "is 0 everywhere"), (3, "holds no position of the output")):
        with pytest.raises((UsageError, NotSeenError), match=why):
            onnxsal.explain(of_scenes(), SCENE[row], target=onnxsal.Region(2, mask=where[row], pixels=True))
    sure = means(SCENE, "y")
    doubtful = session_of(onnxsal.compile(of_scenes(), **shown, when=f"score < {sure.mean():.6f}"))
    some = doubtful(x=SCENE, region=where)["raw"]
    assert [row.any() for row in some[[0, 2]]] == list(sure < sure.mean()) and np.isnan(some[[1, 3]]).all()
    name = onnxsal.save_repository(made, tmp_path, name="scenes")
    told = (tmp_path / name / "config.pbtxt").read_text()
    assert 'name: "region"\n  data_type: TYPE_BOOL\n  dims: [ 12, 10 ]' in told and '"target"' not in told
    said = {each.key: each.value for each in made.metadata_props}["onnxsal.explainer"]
    assert '"target": {"label": 2, "region": "input"}' in said and '"region": "bool [B, height, width]' in said


@pytest.mark.parametrize(("task", "end"), [("regression", 3), ("ordinal", 4)])
def test_without_a_target_a_number_is_explained_as_explain_does(task: str, end: int) -> None:
    """-1 is no place from behind: of several numbers the first, of ranks the expected one; one past the end is none."""
    model = onnxsal.load(one_of(VOLUME, w=normal(4, 2, 3, 3, 3), v=normal(4, 3)), task=task)
    x, told = normal(4, 2, 4, 5, 6, seed=2), np.array([end - 1, -1, end - 2, 1])
    found = check_rows(model, {"x": x}, "gradient", target="input", told={"target": told})["saliency"]
    for row, target in ((1, None), (3, 1)):
        wanted = onnxsal.explain(model, x[row], method="gradient", target=target).saliency
        np.testing.assert_allclose(found[row], wanted, rtol=0, atol=CLOSE)
    run = session_of(onnxsal.compile(model, method="gradient", target="input"))
    assert [np.isnan(run(x=x[:1], target=np.array([at]))["saliency"]).all() for at in (end - 1, end)] == [False, True]


MASKED = """(int64[B, T] input_ids, int64[B, T] attention_mask) => (float[B, 3] logits)
    <int64[1] time = {1}, int64[1] last = {2}> { e = Gather (table, input_ids) m0 = Cast <to = 1> (attention_mask)
    m = Unsqueeze (m0, last) h = MatMul (e, mix) t = Tanh (h) u = Mul (t, m) p = ReduceSum <keepdims = 0> (u, time)
    logits = MatMul (p, head) }"""


@pytest.mark.parametrize(("method", "options"), [
    ("gradient", {}), ("integrated-gradients", {"steps": 3, "baseline": "mask"}),
    ("rise", {"samples": 12, "seed": "input"}),
])  # fmt: skip
def test_texts(tmp_path: Path, method: str, options: dict[str, Any]) -> None:
    proto = tiny.proto("classes")
    model = onnxsal.load(tiny.written(tmp_path, proto, config={"id2label": tiny.LABELS}))
    ids, told = np.random.default_rng(0).integers(5, tiny.ROWS, (4, 7)), {"target": np.array([2, -1, 0, 1])}
    told.update({"seed": np.array([4, 5, 4, 2**32 - 1])} if "seed" in options else {})
    check_rows(model, {"input_ids": ids}, method, target="input", told=told, **options)


def test_padded_texts(tmp_path: Path) -> None:
    proto = one_of(MASKED, table=tiny.TABLE, mix=tiny.MIX, head=tiny.HEAD)
    model = onnxsal.load(tiny.written(tmp_path, proto))
    ids, mask = np.random.default_rng(0).integers(5, tiny.ROWS, (4, 7)), np.ones((4, 7), np.int64)
    mask[0, :2], mask[1, 5:], mask[3, 3:] = 0, 0, 0
    told = {"target": np.array([2, -1, 0, 1])}
    check_rows(model, {"input_ids": ids, "attention_mask": mask}, "occlusion", target="input", mask_in=True, told=told)


@pytest.mark.parametrize("head", [LINEAR, NET])
def test_rows_of_tables(head: str) -> None:
    proto, told = pipeline(head), {"target": np.array([1, -1, 0, 0])}
    check_rows(
        proto,
        feeds(proto, ROWS_OF_TABLES[:4]),
        "shapley",
        target="input",
        told=told,
        background=list(ROWS_OF_TABLES[4:]),
    )


def test_where_no_row_is_each_thing_s_one_goes_in_at_a_time() -> None:
    """The batch lies in front of all that a file of rows gives; where it does not, one thing goes in."""
    proto = onnxsal.compile(one_of(SIZES, v=normal(4, 3)), method="gradient", runtime="triton")
    said = {each.key: each.value for each in proto.metadata_props}["onnxsal.explainer"]
    assert "output 'size' has no batch in front" in said
    run, x = session_of(proto), normal(1, 4)
    wanted = session_of(onnxsal.compile(one_of(SIZES, v=normal(4, 3)), method="gradient"))(x=x)
    np.testing.assert_allclose(run(x=x, explain=flags(1))["saliency"], wanted["saliency"], atol=1e-6)
    assert not run(x=x, explain=flags(0))["saliency"].any()


def test_a_seed_that_would_change_nothing_is_refused(model: onnxsal.Model) -> None:
    with pytest.raises(UsageError, match="'grad-cam' with these options draws nothing"):
        onnxsal.compile(model, method="grad-cam", seed="input")
    with pytest.raises(UsageError, match="expected a whole number, or 'input'"):
        onnxsal.compile(model, method="smoothgrad", seed="inputs")
    with pytest.raises(click.BadParameter, match="'inputs': expected a whole number from 0 to 4294967295, or input"):
        Seed().convert("inputs", None, None)
    assert [Seed().convert(given, None, None) for given in ("input", "7")] == ["input", 7]
