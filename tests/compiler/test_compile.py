"""A compiled model against ``explain``, in ONNX Runtime: every method and option, batches, targets, inputs, outputs."""

from __future__ import annotations

import functools
import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from compiled_cases import BUNDLED, Photos, cases, expected, photos
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from tiny_models import BODY, build, weights
from tinynet import TinyNet
from tinynet import image as scene

import onnxsal
from onnxsal.errors import ModelError, UnsupportedError, UsageError
from onnxsal.graph import Program
from onnxsal.records import Draws, HostMasks, Moments, Record

CLOSE = 1e-4
"""Of a map's range, which is 1."""


@pytest.fixture(scope="module")
def model() -> onnxsal.Model:
    return onnxsal.load(BUNDLED)


@pytest.fixture(scope="module")
def images() -> Photos:
    return photos()


Run = Callable[..., dict[str, np.ndarray]]


def session_of(proto: onnx.ModelProto) -> Run:
    """Return a function from the inputs to the outputs by name."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    options.log_severity_level = 4
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda **feeds: dict(zip(names, session.run(None, feeds), strict=True))


def nodes_of(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from nodes_of(attribute.g)


def shown(case: tuple[str, dict[str, Any]]) -> str:
    return f"{case[0]}:{','.join(f'{k}={v}' for k, v in case[1].items())}"


@pytest.mark.parametrize("case", cases(), ids=shown)
def test_the_map_is_that_of_explain(model: onnxsal.Model, images: Photos, case: tuple[str, dict[str, Any]]) -> None:
    method, options = case
    proto = onnxsal.compile(model, method=method, **options)
    onnx.checker.check_model(proto, full_check=True)
    assert {node.domain for node in nodes_of(proto.graph)} <= {""}
    run = session_of(proto)
    plain = session_of(onnx.load(BUNDLED))(picture=images.feed(2))["logits"]
    together = run(picture=images.feed(2))
    wanted = expected(model, images.pixels[:2], method, options)
    assert wanted.std() > 0.01
    np.testing.assert_allclose(together["saliency"], wanted, rtol=0, atol=CLOSE)
    np.testing.assert_array_equal(together["logits"], plain)
    np.testing.assert_allclose(run(picture=images.feed(1))["saliency"], wanted[:1], rtol=0, atol=CLOSE)


def test_a_compiled_model_takes_any_batch(model: onnxsal.Model, images: Photos) -> None:
    run = session_of(onnxsal.compile(model, method="smooth-grad-cam++", samples=3))
    wanted = expected(model, images.pixels, "smooth-grad-cam++", {"samples": 3})
    for count in (1, 3):
        np.testing.assert_allclose(run(picture=images.feed(count))["saliency"], wanted[:count], rtol=0, atol=CLOSE)


@pytest.mark.parametrize("method", ["grad-cam++", "smoothgrad", "score-cam"])
def test_without_explanation_there_is_the_same_prediction_and_zeros(
    model: onnxsal.Model, images: Photos, method: str
) -> None:
    run = session_of(onnxsal.compile(model, method=method))
    alone = run(picture=images.feed(3), explain=np.array(False))
    plain = session_of(onnx.load(BUNDLED))(picture=images.feed(3))["logits"]
    np.testing.assert_array_equal(alone["logits"], plain)
    assert alone["saliency"].shape == (3, 96, 96)
    assert not alone["saliency"].any()


def test_explain_may_be_required(model: onnxsal.Model, images: Photos) -> None:
    """Where it has no default, runtimes in JavaScript can feed it."""
    proto = onnxsal.compile(model, method="grad-cam", explain_required=True)
    assert "explain" not in {tensor.name for tensor in proto.graph.initializer}
    run = session_of(proto)
    found = [run(picture=images.feed(1), explain=np.array(asked))["saliency"] for asked in (True, False)]
    np.testing.assert_allclose(found[0], expected(model, images.pixels[:1], "grad-cam", {}), rtol=0, atol=CLOSE)
    assert not found[1].any()


def test_without_explanation_its_branch_does_not_run(model: onnxsal.Model) -> None:
    """Every node of ours but the guard and copies for it stands inside a branch."""
    graph = onnxsal.compile(model, method="smoothgrad").graph
    source = {node.name for node in onnx.load(BUNDLED).graph.node}
    own = [node.op_type for node in graph.node if node.name not in source]
    assert [op_type for op_type in own if op_type != "Identity"] == ["If"]


@pytest.mark.parametrize("method", ["gradient", "score-cam"])
def test_the_target_as_an_input(model: onnxsal.Model, images: Photos, method: str) -> None:
    options: dict[str, Any] = {} if method == "gradient" else {"top_k": 5}
    run = session_of(onnxsal.compile(model, method=method, target="input", **options))
    found = run(picture=images.feed(2), target=np.array([7, 1]))["saliency"]
    for one, pixels, target in zip(found, images.pixels, (7, 1), strict=False):
        wanted = onnxsal.explain(model, pixels, method=method, target=target, **options).saliency
        np.testing.assert_allclose(one, wanted, rtol=0, atol=CLOSE)


def test_one_target_serves_all_pictures(model: onnxsal.Model, images: Photos) -> None:
    """Of as many targets as neither one nor the pictures, the runtime says that they do not fit."""
    run = session_of(onnxsal.compile(model, method="gradient", target="input"))
    x = np.repeat(images.feed(1), 3, axis=0)
    one, each = (run(picture=x, target=np.array(t)) for t in ([2], [2, 2, 2]))
    np.testing.assert_array_equal(one["saliency"], each["saliency"])
    assert one["saliency"][2].any()
    for count in (2, 4):
        with pytest.raises(Exception, match=r"Expand|[Bb]roadcast|shape"):
            run(picture=x, target=np.zeros(count, np.int64))


def test_seeds_change_what_is_drawn(model: onnxsal.Model, images: Photos) -> None:
    maps = [
        session_of(onnxsal.compile(model, method="smoothgrad", samples=3, seed=seed))(picture=images.feed(1))
        for seed in (0, 1)
    ]
    assert np.abs(maps[0]["saliency"] - maps[1]["saliency"]).max() > 0.05


@pytest.mark.parametrize(
    ("method", "options", "shape"),
    [("grad-cam", {}, (24, 24)), ("gradient", {}, (3, 96, 96)), ("smoothgrad", {"samples": 2}, (3, 96, 96))],
)
def test_raw_is_what_the_method_computed(
    model: onnxsal.Model, images: Photos, method: str, options: dict[str, Any], shape: tuple[int, ...]
) -> None:
    run = session_of(onnxsal.compile(model, method=method, give=["raw", "saliency"], **options))
    found = run(picture=images.feed(2))
    assert list(found) == ["logits", "raw", "saliency"]
    for i in range(2):
        wanted = onnxsal.explain(model, images.pixels[i], method=method, **options).raw
        assert wanted.shape == shape
        np.testing.assert_allclose(found["raw"][i], wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("sign", ["absolute", "signed"])
def test_bytes_in_and_a_drawing_out(model: onnxsal.Model, images: Photos, sign: str) -> None:
    from onnxsal.viz.overlay import overlay

    proto = onnxsal.compile(model, method="gradient", sign=sign, bytes_in=True, give="drawing,saliency")
    found = session_of(proto)(picture=images.pixels)
    wanted = expected(model, images.pixels, "gradient", {"sign": sign})
    np.testing.assert_allclose(found["saliency"], wanted, rtol=0, atol=CLOSE)
    for image, pixels, saliency in zip(found["drawing"], images.pixels, wanted, strict=True):
        assert image.dtype == np.uint8
        away = np.abs(image.astype(int) - overlay(pixels, saliency).astype(int))
        assert away.max() <= 3  # a level of the colour table, where rounding tips it
        assert away.mean() < 0.01


def test_bytes_into_a_model_whose_channels_come_last() -> None:
    """The bytes' own order is the model's then, once they are numbers; what the file says of them is their own."""
    turned = BODY.replace("[N, 3, 16, 16]", "[N, 16, 16, 3]").replace("(picture, w1)", "(first, w1)")
    turned = turned.replace("        c1 =", "        first = Transpose <perm = [0, 3, 1, 2]> (picture)\n        c1 =")
    loaded = onnxsal.load(build(turned, weights()))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3)).astype(np.uint8)
    proto = onnxsal.compile(loaded, method="gradient", bytes_in=True)
    found = session_of(proto)(picture=pixels)["saliency"]
    np.testing.assert_allclose(found, expected(loaded, pixels, "gradient", {}), rtol=0, atol=CLOSE)
    said = json.loads({entry.key: entry.value for entry in proto.metadata_props}["onnxsal.explainer"])
    assert said["input"] == {"name": "picture", "axes": "NHWC", "type": "uint8", "size": [16, 16], "channels": 3}


def test_a_drawing_without_bytes_is_the_map_alone(model: onnxsal.Model, images: Photos) -> None:
    from onnxsal.viz.overlay import heat_map

    found = session_of(onnxsal.compile(model, method="grad-cam", give="drawing"))(picture=images.feed(1))["drawing"]
    wanted = heat_map(expected(model, images.pixels[:1], "grad-cam", {})[0])
    assert np.abs(found[0].astype(int) - wanted).max() <= 3


def test_the_file_says_what_it_is(model: onnxsal.Model) -> None:
    proto = onnxsal.compile(model, method="smoothgrad", samples=7, seed=3, target=("star", "ring"))
    known = {entry.key: entry.value for entry in proto.metadata_props}
    said = json.loads(known["onnxsal.explainer"])
    assert said["method"] == "smoothgrad"
    assert said["options"] == {"samples": 7, "noise": 0.15, "inner": "gradient"}
    assert (said["seed"], said["target"], said["onnxsal"]) == (3, [3, 5], onnxsal.__version__)
    assert said["source_sha256"] == model.digest
    assert json.loads(known["onnxsal.labels"])[3] == "star"


def test_names_types_and_shapes_of_inputs_and_outputs(model: onnxsal.Model) -> None:
    graph = onnxsal.compile(model, method="score-cam", target="input").graph
    source = onnx.load(BUNDLED).graph
    assert [value.name for value in graph.input] == [*(v.name for v in source.input), "target", "explain"]
    assert [value.name for value in graph.output] == [*(v.name for v in source.output), "saliency"]
    shape = graph.output[-1].type.tensor_type.shape.dim
    assert [d.dim_value for d in shape[1:]] == [96, 96]
    assert shape[0].dim_param == graph.input[0].type.tensor_type.shape.dim[0].dim_param != ""


def test_weights_appear_once(model: onnxsal.Model) -> None:
    size = BUNDLED.stat().st_size
    for method in ("grad-cam++", "smoothgrad", "score-cam", "gradient"):
        assert len(onnxsal.compile(model, method=method).SerializeToString()) <= 1.15 * size


def test_a_compiled_model_is_still_a_model(model: onnxsal.Model, images: Photos, tmp_path: Path) -> None:
    onnxsal.save(onnxsal.compile(model), tmp_path / "explained.onnx")
    again = onnxsal.load(tmp_path / "explained.onnx")
    assert again.predict(images.pixels[0])[0] == model.predict(images.pixels[0])[0]
    with pytest.raises(UnsupportedError, match="already"):
        onnxsal.compile(again)


# Opsets


@pytest.mark.parametrize(
    ("opset", "method", "options"),
    [(17, "grad-cam++", {}), (17, "score-cam", {"top_k": 4}), (17, "gradient", {}), (17, "integrated-gradients", {}),
     (18, "smoothgrad", {"samples": 2}), (18, "ss-cam", {"samples": 1, "top_k": 3}), (20, "layercam", {})],
)  # fmt: skip
def test_older_opsets(model: onnxsal.Model, images: Photos, opset: int, method: str, options: dict[str, Any]) -> None:
    proto = onnxsal.compile(model, method=method, opset=opset, **options)
    assert [entry.version for entry in proto.opset_import] == [opset]
    assert proto.ir_version == helper.find_min_ir_version_for(proto.opset_import)
    onnx.checker.check_model(proto, full_check=True)
    found = session_of(proto)(picture=images.feed(1))["saliency"]
    np.testing.assert_allclose(found, expected(model, images.pixels[:1], method, options), rtol=0, atol=CLOSE)


def test_an_opset_that_is_too_low_is_said(model: onnxsal.Model) -> None:
    for opset in (16, "17"):
        with pytest.raises(UsageError, match=f"opset={opset!r}: expected 17 to 21"):
            onnxsal.compile(model, opset=opset)  # type: ignore[arg-type]
    with pytest.raises(UnsupportedError, match=r"opset 17: .*it has no BitwiseXor \(from opset 18 on\)"):
        onnxsal.compile(model, method="smoothgrad", opset=17)


# What no file can hold


def _thrown(seed: int, start: int, stop: int, size: tuple[int, int]) -> np.ndarray:
    rng = np.random.default_rng([seed, start])
    return rng.random((stop - start, *size)).astype(np.float32)


def test_methods_of_the_host_are_refused(model: onnxsal.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a plug-in may be: its masks are drawn by numpy."""

    @onnxsal.method("thrown", paper="none", when="never", score="probability", rules=None)
    def thrown(score: Program) -> Record:
        """Return the mean score under masks that are thrown by the host."""
        draws = Draws(masks=HostMasks(4, _thrown))
        return Record(draws=draws, body=score, moments=Moments(("score",), per="weighted"))

    monkeypatch.setattr("onnxsal.explanation.method_plan.get", lambda name: thrown)
    with pytest.raises(UnsupportedError, match=r"draws its masks in Python.*use it with explain"):
        onnxsal.compile(model, method="thrown")


def test_records_in_records_are_refused(model: onnxsal.Model) -> None:
    with pytest.raises(UnsupportedError, match="round another sampling method"):
        onnxsal.compile(model, method="smoothgrad", inner="score-cam")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"target": 10}, "out of range"),
        ({"target": "stra"}, "star"),
        ({"give": "saliencies"}, "did you mean 'saliency'"),
        ({"give": ()}, "names nothing"),
        ({"method": "grad-kam"}, "grad-cam"),
        ({"seconds": 3}, "option seconds is for running"),
        ({"samples": 3}, "samples"),
        ({"seed": -1}, "seed"),
        ({"sign": "signed"}, "maps of pixels"),
        ({"method": "gradient", "layer": "block3/relu"}, "takes no layer"),
        ({"method": "integrated-gradients", "baseline": (1.0, 2.0)}, "baseline has shape"),
    ],
)
def test_misuse(model: onnxsal.Model, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        onnxsal.compile(model, **asked)


def tiny(output: str = "scores", source: str = "x", *, custom: bool = False) -> onnx.ModelProto:
    """Pooling and one Gemm, its names to choose."""
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(size=(4, 3, 3, 3)), "v": rng.normal(size=(4, 5))}
    nodes = [
        helper.make_node("Conv", [source, "w"], ["c"], pads=[1] * 4),
        helper.make_node("Relu", ["c"], ["explain"]),
        helper.make_node("GlobalAveragePool", ["explain"], ["p"]),
        helper.make_node("Flatten", ["p"], ["saliency" if output != "saliency" else "f"]),
        helper.make_node("Gemm", ["saliency" if output != "saliency" else "f", "v"], [output]),
    ]
    graph = helper.make_graph(
        nodes, "tiny",
        [helper.make_tensor_value_info(source, TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", 5])],
        [onnx.numpy_helper.from_array(a.astype(np.float32), n) for n, a in weights.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_values_inside_give_way_to_our_names() -> None:
    """The model has values ``explain`` and ``saliency`` inside."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2, 3, 8, 8)).astype(np.float32)
    loaded = onnxsal.load(tiny())
    found = session_of(onnxsal.compile(loaded))(x=x)
    wanted = np.stack([onnxsal.explain(loaded, one).saliency for one in x])
    np.testing.assert_allclose(found["saliency"], wanted, rtol=0, atol=CLOSE)


def test_an_output_named_as_an_input_that_is_not_asked_for() -> None:
    assert sorted(session_of(onnxsal.compile(tiny(output="target")))(x=np.zeros((1, 3, 8, 8), np.float32))) == [
        "saliency", "target",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("proto", "asked", "message"),
    [
        (tiny(output="saliency"), {}, "output 'saliency'"),
        (tiny(output="raw"), {"give": "raw"}, "output 'raw'"),
        (tiny(source="explain"), {}, "input 'explain'"),
        (tiny(source="target"), {"target": "input"}, "input 'target'"),
    ],
    ids=["saliency", "raw", "explain", "target"],
)
def test_names_that_the_model_has_already(proto: onnx.ModelProto, asked: dict[str, Any], message: str) -> None:
    renamed = onnx.ModelProto.FromString(proto.SerializeToString())
    for node in renamed.graph.node:  # the value inside must not be in the way here
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name == "explain" and renamed.graph.input[0].name != "explain":
                    names[i] = "inner"
    if renamed.graph.input[0].name == "explain":
        renamed.graph.node[1].output[0] = renamed.graph.node[2].input[0] = "inner"
    with pytest.raises(UnsupportedError, match=message):
        onnxsal.compile(onnxsal.load(renamed), **asked)


def test_bytes_need_preprocessing_that_is_known() -> None:
    with pytest.raises(UsageError, match="--preprocess"):
        onnxsal.compile(tiny(), bytes_in=True)
    assert onnxsal.compile(tiny(), bytes_in=True, preprocess="imagenet").graph.input[0].type.tensor_type.elem_type == 2


def test_damaged_metadata_is_one_message(tmp_path: Path) -> None:
    from onnxsal.compiler.compile import explainer

    proto = tiny()
    helper.set_model_props(proto, {"onnxsal.explainer": "{"})
    onnx.save(proto, tmp_path / "damaged.onnx")
    with pytest.raises(ModelError, match="is no JSON"):
        explainer(tmp_path / "damaged.onnx")
    onnx.save(tiny(), tmp_path / "plain.onnx")
    assert explainer(tmp_path / "plain.onnx") is None


def custom() -> onnx.ModelProto:
    """``tiny`` with an operator ``my.ops.Twice`` that no runtime here knows."""
    proto = tiny()
    proto.graph.node[1].CopyFrom(helper.make_node("Twice", ["c"], ["explain"], domain="my.ops"))
    proto.graph.value_info.append(helper.make_tensor_value_info("explain", TensorProto.FLOAT, ["N", 4, 8, 8]))
    proto.opset_import.append(helper.make_opsetid("my.ops", 1))
    return proto


def test_operators_outside_the_standard_are_named_and_kept_on_request() -> None:
    with pytest.raises(UnsupportedError, match=r"my\.ops\.Twice \(1\)"):
        onnxsal.compile(custom(), method="score-cam", layer="c")
    kept = onnxsal.compile(custom(), method="score-cam", layer="c", keep_custom=True)
    assert (
        "could not be asked"
        in json.loads({p.key: p.value for p in kept.metadata_props}["onnxsal.explainer"])["notes"][-1]
    )
    assert [n.op_type for n in nodes_of(kept.graph) if n.domain] == ["Twice", "Twice"]  # prediction, and the draws
    assert {entry.domain for entry in kept.opset_import} == {"", "my.ops"}


def test_methods_without_gradients_take_only_the_part_they_need(model: onnxsal.Model) -> None:
    """ReciproCAM's loop runs the part above its layer, not the convolutions below."""
    graph = onnxsal.compile(model, method="recipro-cam", layer="block3/relu").graph
    inner = [n.op_type for n in nodes_of(next(n for n in graph.node if n.op_type == "If").attribute[0].g)]
    assert "Gemm" in inner
    assert "Conv" not in inner


@pytest.mark.parametrize("method", ["recipro-cam", "score-cam", "integrated-gradients"])
def test_several_pictures_in_the_reference_evaluator(method: str) -> None:
    """It puts the maps of a loop end to end where ONNX Runtime stacks them."""
    loaded = onnxsal.load(TinyNet().model())
    options: dict[str, Any] = {"integrated-gradients": {"steps": 2}, "score-cam": {"top_k": 2}}.get(method, {})
    proto = onnxsal.compile(loaded, method=method, target=1, **options)
    feed = np.stack([scene(0), scene(1), scene(2)])
    given = {proto.graph.input[0].name: feed, "explain": np.array(True)}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        results = ReferenceEvaluator(proto).run(None, given)
    found = dict(zip([output.name for output in proto.graph.output], results, strict=True))["saliency"]
    wanted = [onnxsal.explain(loaded, x, method=method, target=1, **options).saliency for x in feed]
    np.testing.assert_allclose(found, np.stack(wanted), rtol=0, atol=CLOSE)


# Real models


@functools.cache
def loaded_once(path: Path, preprocess: str | None) -> onnxsal.Model:
    return onnxsal.load(path, preprocess=preprocess)


@pytest.mark.slow("compiles real networks, explains with them and runs what was compiled")
@pytest.mark.parametrize("name", ["squeezenet1.0_fp32", "mobilenet_v2_int8", "mobilenet_v1_025_int8"])
@pytest.mark.parametrize("method", ["grad-cam++", "gradient", "smooth-grad-cam++", "score-cam", "recipro-cam"])
def test_real_models(shared: Path, name: str, method: str) -> None:
    path = shared / "models" / f"{name}.onnx"
    options: dict[str, Any] = {"score-cam": {"top_k": 4}, "smooth-grad-cam++": {"samples": 2}}.get(method, {})
    loaded = loaded_once(path, "caffe" if name.startswith("squeeze") else None)
    proto = onnxsal.compile(loaded, method=method, bytes_in=name.startswith("squeeze"), **options)
    onnx.checker.check_model(proto, full_check=True)
    assert len(proto.SerializeToString()) <= 1.1 * path.stat().st_size + 2**20
    photo = sorted((shared / "images" / "imagenet").glob("*.jpg"))[5]
    explained = onnxsal.explain(loaded, photo, method=method, **options)
    found = session_of(proto)(**{proto.graph.input[0].name: explained.image[None]})
    np.testing.assert_allclose(found["saliency"][0], explained.saliency, rtol=0, atol=CLOSE)
    assert found[proto.graph.output[0].name].reshape(-1).argmax() == explained.target
