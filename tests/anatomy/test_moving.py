"""Where layers lie behind operators that move positions: a patch that ONNX Runtime moved is drawn where it was."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.reference
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

from onnxsal.anatomy.layers import _layer
from onnxsal.anatomy.layout import layouts
from onnxsal.graph import load_ir, normalise
from onnxsal.graph.program import values_by_name
from onnxsal.viz.maps import cam_saliency

S = 32
FLIP = np.arange(S)[::-1].copy()


def ints(*numbers):
    return np.array(numbers, np.int64)


def places(*axes):
    """Indices as GatherND and ScatterND take them, of all combinations."""
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).astype(np.int64)


def node(op, inputs, outputs="m", **attributes):
    return helper.make_node(op, ["" if n == "_" else n for n in inputs.split()], outputs.split(), **attributes)


def span(start, end, axis, step):
    return {"start": ints(start), "end": ints(end), "axes": ints(axis), "steps": ints(step)}


def crop(roi, *size):
    how = {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize"}
    return [node("Resize", "x roi _ size", **how)], {"roi": np.array(roi, np.float32), "size": ints(1, 3, *size)}


def grid(theta, *size, corners=0):
    nodes = [node("AffineGrid", "theta size", "g", align_corners=corners)]
    constants = {"theta": np.array([theta], np.float32), "size": ints(1, 3, *size)}
    return [*nodes, node("GridSample", "x g", align_corners=corners)], constants


SLICE = "x start end axes steps"
MOVES = {
    "flip by slice": ([node("Slice", SLICE)], span(-1, -S - 1, 3, -1)),
    "flip both": (
        [node("Slice", SLICE)],
        {"start": ints(99, -1), "end": ints(-99, -S - 1), "axes": ints(2, 3), "steps": ints(-1, -1)},
    ),
    "every second, backwards": (
        [node("Slice", SLICE)],
        {"start": ints(-1), "end": ints(-S - 1), "axes": ints(3), "steps": ints(-2)},
    ),
    "every second of a part": ([node("Slice", SLICE)], span(8, 32, 3, 2)),
    "crop": (
        [node("Slice", "x start end axes")],
        {"start": ints(-28, 4), "end": ints(30, 2**40), "axes": ints(2, 3)},
    ),
    "flip by gather": ([node("Gather", "x i", axis=3)], {"i": FLIP}),
    "flip by negative indices": ([node("Gather", "x i", axis=2)], {"i": np.arange(-1, -S - 1, -1)}),
    "roll by gather": ([node("Gather", "x i", axis=2)], {"i": np.roll(np.arange(S), 10)}),
    "crop by gather": ([node("Gather", "x i", axis=2)], {"i": np.arange(4, 31)}),
    "nearest neighbours by gather": ([node("Gather", "x i", axis=2)], {"i": np.repeat(np.arange(S), 2)}),
    "columns in another order": ([node("Gather", "x i", axis=3)], {"i": np.random.default_rng(3).permutation(S)}),
    "flip by elements": ([node("GatherElements", "x i", axis=3)], {"i": np.tile(FLIP, (1, 3, S, 1))}),
    "crop and flip by GatherND": ([node("GatherND", "x i")], {"i": places([0], range(3), range(3, 32), FLIP)}),
    "letterbox by ScatterND": (
        [node("ScatterND", "zero i x")],
        {"zero": np.zeros((1, 3, 56, 32), np.float32), "i": places([0], range(3), range(8, 40), range(32))},
    ),
    "letterbox by ScatterElements": (
        [node("ScatterElements", "zero i x", axis=2)],
        {"zero": np.zeros((1, 3, 56, 32), np.float32), "i": np.tile(np.arange(20, 52)[:, None], (1, 3, 1, 32))},
    ),
    "a corner overwritten": (
        [node("ScatterND", "x i u")],
        {"i": places([0], range(3), range(3), range(3)), "u": np.zeros((1, 3, 3, 3), np.float32)},
    ),
    "letterbox by Concat": ([node("Concat", "z x z", axis=3)], {"z": np.zeros((1, 3, 32, 20), np.float32)}),
    "letterbox by Pad": ([node("Pad", "x p")], {"p": ints(0, 0, 10, 0, 0, 0, 22, 0)}),
    "Pad of one axis": ([node("Pad", "x p _ axes")], {"p": ints(20, 4), "axes": ints(-1)}),
    "Pad with a mirror": ([node("Pad", "x p", mode="reflect")], {"p": ints(0, 0, 0, 3, 0, 0, 0, 0)}),
    "Pad that crops too": ([node("Pad", "x p")], {"p": ints(0, 0, -4, 12, 0, 0, 12, -3)}),
    "CenterCropPad": ([node("CenterCropPad", "x size", axes=[2, 3])], {"size": ints(50, 27)}),
    "crop and resize": crop([0, 0, 0.1, 0.1, 1, 1, 1, 1], 24, 40),
    "crop and resize, mirrored": crop([0, 0, 0.1, 1, 1, 1, 1, 0.1], 20, 28),
    "crop and resize beyond the picture": crop([0, 0, -0.5, -0.5, 1, 1, 1.5, 1], 40, 36),
    "crop that ONNX Runtime leaves out": crop([0, 0, 0.5, 0.1, 1, 1, 1, 1], 32, 24),
    "grid: zoom and flip": grid([[0.9, 0, 0.1], [0, -0.8, 0.1]], 24, 40),
    "grid: corners": grid([[0.9, 0, 0.1], [0, -0.8, 0.1]], 24, 40, corners=1),
    "grid: a quarter turn": grid([[0, 1, 0], [-1, 0, 0]], 32, 32),
    "grid: uneven columns": (
        [node("GridSample", "x g")],
        {"g": np.stack(np.meshgrid(np.linspace(-1, 1, S) ** 3, np.linspace(-1, 1, S)), -1)[None].astype(np.float32)},
    ),
    "ReverseSequence": (
        [node("Transpose", "x", "t", perm=[3, 0, 1, 2]), node("ReverseSequence", "t n", "r", batch_axis=1, time_axis=0),
         node("Transpose", "r", perm=[1, 2, 3, 0])],
        {"n": ints(S)},
    ),
    "ReverseSequence of a part": (
        [node("Transpose", "x", "t", perm=[2, 0, 1, 3]), node("ReverseSequence", "t n", "r", batch_axis=1, time_axis=0),
         node("Transpose", "r", perm=[1, 2, 0, 3])],
        {"n": ints(20)},
    ),
    "roll by Split": ([node("Split", "x n", "a b", axis=3), node("Concat", "b a", axis=3)], {"n": ints(12, 20)}),
    "torch.roll": (
        [node("Slice", "x c0 c9 axes", "a"), node("Slice", "x c1 c0 axes", "b"), node("Concat", "a b", axis=2)],
        {"c0": ints(21), "c1": ints(0), "c9": ints(2**40), "axes": ints(2)},
    ),
    "several moves": (
        [node("Gather", "x i", "f", axis=3), node("Slice", "f start end axes", "c"), node("Pad", "c p")],
        {"i": FLIP, "start": ints(2, 2), "end": ints(32, 30), "axes": ints(2, 3), "p": ints(0, 0, 0, 0, 0, 0, 30, 9)},
    ),
    "roll by circular margins and a crop": (
        [node("Pad", "x p", "q", mode="wrap"), node("Slice", "q start end axes")],
        {"p": ints(0, 0, 0, 12, 0, 0, 0, 0), "start": ints(0), "end": ints(32), "axes": ints(3)},
    ),
    "margins of a mirror": ([node("Pad", "x p", mode="reflect")], {"p": ints(0, 0, 0, 12, 0, 0, 9, 0)}),
    "margins of a convolution, wider than its window": (
        [node("Conv", "x w", pads=[9, 0, 0, 14])], {"w": np.eye(3, dtype=np.float32)[:, :, None, None]}),
    "a transposed convolution that crops": (
        [node("ConvTranspose", "x w", pads=[0, 0, 14, 6], strides=[2, 2])],
        {"w": np.ones((3, 3, 2, 2), np.float32)},
    ),
    "to and fro": ([node("Gather", "x i", "f", axis=3), node("Gather", "f i", axis=3)], {"i": FLIP}),
    "a flip between space and depth": (
        [node("SpaceToDepth", "x", "s", blocksize=2), node("Gather", "s i", "f", axis=3),
         node("DepthToSpace", "f", blocksize=2)],
        {"i": FLIP[16:].copy()},
    ),
    "RoiAlign of one region": (
        [node("RoiAlign", "x rois at", output_height=28, output_width=14)],
        {"rois": np.array([[3, 3, 31, 31]], np.float32), "at": ints(0)},
    ),
}  # fmt: skip


def model_of(nodes, constants, opset=20):
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    x, y = (helper.make_tensor_value_info(name, 1, shape) for name, shape in (("x", [1, 3, S, S]), ("m", None)))
    graph = helper.make_graph(nodes, "g", [x], [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def layer_of(model):
    graph = normalise(load_ir(model)).graph
    values = values_by_name(graph)
    known = layouts(graph, values["x"], "NCHW")
    return _layer(values["m"], known), known


def centre(values):
    return [float((values * g).sum() / values.sum()) for g in np.mgrid[: values.shape[0], : values.shape[1]]]


@pytest.mark.parametrize("name", MOVES)
@pytest.mark.parametrize("corner", [(20, 20), (7, 19), (12, 8)])
def test_a_patch_is_drawn_where_it_was(name, corner):
    model = model_of(*MOVES[name])
    x = np.zeros((1, 3, S, S), np.float32)
    x[..., corner[0] : corner[0] + 4, corner[1] : corner[1] + 4] = 1
    (maps,) = ort.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    layer, _ = layer_of(model)
    assert layer is not None and maps.shape[2:] == layer.grid and not layer.assumed
    order = [0, layer.channel_axis, *layer.spatial_axes]
    drawn = cam_saliency(maps.transpose(order)[0].sum(axis=0), (S, S), layer.placement)
    near = 1.1 if name.startswith("every second") else 0.6  # a position stands for two
    assert np.abs(np.subtract(centre(drawn), [corner[0] + 1.5, corner[1] + 1.5])).max() < near


WRAPPED = [node("Pad", "x p", "q", mode="wrap"), node("Slice", "q start end axes")]
TO_MARGINS = {"p": ints(0, 0, 0, 12, 0, 0, 0, 0), "start": ints(0), "end": ints(32), "axes": ints(3)}


def test_what_a_margin_alone_shows_is_drawn_where_it_is():
    """Behind circular margins of 12 and a crop, columns 20 to 31 are in the margin alone."""
    layer, _ = layer_of(model_of(WRAPPED, TO_MARGINS))
    assert layer is not None and str(layer.placement) == "columns 62.5-100 % + 0-62.5 %"
    kept, _ = layer_of(model_of([node("Pad", "x p", mode="wrap")], {"p": TO_MARGINS["p"]}))
    assert kept is not None and str(kept.placement) == "columns 0-100 %"


TOKENS = [node("Reshape", "x s", "r"), node("Transpose", "r", "t", perm=[0, 2, 1])]
REGISTERS = [node("Concat", "registers t", "u", axis=1)]
BACKWARDS = {"s": ints(1, 3, S * S), **span(-1, -9999, 1, -1), "registers": np.ones((1, 5, 3), np.float32)}


@pytest.mark.parametrize(("front", "tokens", "behind"), [(TOKENS, "t", 0), ([*TOKENS, *REGISTERS], "u", 5)])
def test_patches_read_from_the_last_one_are_drawn_where_they_are(front, tokens, behind):
    turned = node("Slice", f"{tokens} start end axes steps")
    layer, _ = layer_of(model_of([*front, turned], BACKWARDS))
    assert layer is not None and str(layer.placement) == "rows 100-0 %, columns 100-0 %"
    assert (layer.dropped_tokens, layer.trailing_tokens) == (0, behind)


def test_patches_and_the_same_backwards_are_not_put_together():
    layer, known = layer_of(
        model_of([*TOKENS, node("Slice", SLICE.replace("x", "t", 1), "b"), node("Add", "t b")], BACKWARDS)
    )
    assert layer is None and [node.op_type for node in known.lost] == ["Add"]


ROTATED = grid([[0.7, 0.7, 0], [-0.7, 0.7, 0]], 32, 32)
OUT_OF_SIGHT = {
    "GridSample": ROTATED,
    "Tile": ([node("Tile", "x n")], {"n": ints(1, 1, 1, 2)}),
    "Concat": ([node("Gather", "x i", "f", axis=3), node("Concat", "x f", axis=3)], {"i": FLIP}),
    "Add": ([node("Gather", "x i", "f", axis=3), node("Add", "x f")], {"i": FLIP}),
    "Mul": ([node("Slice", "x start end axes", "c"), node("Resize", "c _ _ size", "r"), node("Mul", "x r")],
            {"start": ints(16), "end": ints(32), "axes": ints(3), "size": ints(1, 3, S, S)}),
    "TopK": ([node("TopK", "x k", "m i", axis=3)], {"k": ints(8)}),
    "Compress": ([node("Compress", "x c", axis=3)], {"c": np.arange(S) % 2 == 0}),
    "DFT": ([node("Unsqueeze", "x four", "u"), node("DFT", "u _ axis", "d"), node("ReduceL2", "d four", keepdims=0)],
            {"four": ints(4), "axis": np.array(3)}),
    "RoiAlign": ([node("RoiAlign", "x rois at", output_height=7, output_width=7)],
                 {"rois": np.array([[0, 0, 9, 9], [9, 9, 31, 31]], np.float32), "at": ints(0, 0)}),
    "ReverseSequence": (
        [node("Transpose", "x", "t", perm=[3, 0, 1, 2]), node("ReduceMax", "x", "h", keepdims=0),
         node("Cast", "h", "hi", to=7), node("Reshape", "hi one", "n"),
         node("ReverseSequence", "t n", "r", batch_axis=1, time_axis=0), node("Transpose", "r", perm=[1, 2, 3, 0])],
        {"one": ints(1)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("operator", OUT_OF_SIGHT)
def test_what_cannot_be_drawn_is_named(operator):
    layer, known = layer_of(model_of(*OUT_OF_SIGHT[operator]))
    assert layer is None
    assert [node.op_type for node in known.lost] == [operator]


def test_a_grid_that_depends_on_the_picture_is_named_as_such():
    learned = [node("GlobalAveragePool", "x", "g"), node("Flatten", "g", "f"), node("Gemm", "f w b", "p"),
               node("Reshape", "p s", "theta"), node("AffineGrid", "theta size", "gr"),
               node("GridSample", "x gr")]  # fmt: skip
    constants = {"w": np.zeros((3, 6), np.float32), "b": np.array([1, 0, 0, 0, 1, 0], np.float32), "s": ints(1, 2, 3),
                     "size": ints(1, 3, S, S)}  # fmt: skip
    layer, known = layer_of(model_of(learned, constants))
    assert layer is None
    assert [why for n, why in known.lost.items() if n.op_type == "GridSample"] == [
        "where it takes its values from depends on the data"
    ]


@pytest.mark.parametrize("padding", [1, 2])
def test_margins_of_a_convolution_move_nothing(padding):
    """As Keras writes it: a Pad, past a Transpose, in front of a convolution without padding."""
    front = [node("Pad", "x p", "q"), node("Transpose", "q", "t", perm=[0, 2, 3, 1]),
             node("Transpose", "t", "u", perm=[0, 3, 1, 2]), node("Conv", "u w", strides=[2, 2])]  # fmt: skip
    constants = {"p": ints(0, 0, padding, 1, 0, 0, padding, 1), "w": np.ones((4, 3, 3, 3), np.float32)}
    layer, _ = layer_of(model_of(front, constants))
    assert layer is not None and layer.placement.is_whole


def test_a_margin_wider_than_the_window_is_a_letterbox():
    front = [node("Pad", "x p", "q"), node("Conv", "q w")]
    constants = {"p": ints(0, 0, 0, 0, 0, 0, 8, 0), "w": np.ones((4, 3, 3, 3), np.float32)}
    layer, _ = layer_of(model_of(front, constants))
    assert layer is not None and not layer.placement.is_whole


def test_a_shift_by_one_position_does_not_part_what_is_put_together():
    """Groups of channels shifted by a column each way, as shift networks have them."""
    front = [node("Pad", "x left", "a"), node("Pad", "x right", "b"), node("Concat", "a x b", axis=1)]
    constants = {"left": ints(0, 0, 0, 1, 0, 0, 0, -1), "right": ints(0, 0, 0, -1, 0, 0, 0, 1)}
    layer, _ = layer_of(model_of(front, constants))
    assert layer is not None and layer.placement.is_whole


def test_a_cropped_shortcut_beside_windows_without_padding_is_the_same_picture():
    """As U-Nets without padding cut their shortcuts: the windows took off what is cut."""
    front = [*(node("Conv", f"{a} w", b) for a, b in (("x", "c1"), ("c1", "c2"), ("c2", "c3"), ("c3", "c4"))),
             node("Slice", "x start end axes", "s"), node("Add", "c4 s")]  # fmt: skip
    constants = {"w": np.ones((3, 3, 5, 5), np.float32), "start": ints(8, 8), "end": ints(24, 24), "axes": ints(2, 3)}
    layer, _ = layer_of(model_of(front, constants))
    assert layer is not None and layer.placement.is_whole


def test_onnx_runtime_crops_no_axis_whose_size_stays():
    """What the layout of tf_crop_and_resize rests on; the standard crops it."""
    nodes, constants = MOVES["crop that ONNX Runtime leaves out"]
    x = np.broadcast_to(np.arange(S, dtype=np.float32)[:, None], (1, 3, S, S)).copy()
    (y,) = ort.InferenceSession(model_of(nodes, constants).SerializeToString()).run(None, {"x": x})
    assert y[0, 0, 0, 0] == 0 and y[0, 0, -1, 0] == S - 1
    narrow = model_of(*crop([0, 0, 0.5, 0.1, 1, 1, 1, 1], 32, 2))  # the evaluator up to 1.21 takes 20 s for 24 columns
    (cropped,) = onnx.reference.ReferenceEvaluator(narrow).run(None, {"x": x[:, :1]})
    assert cropped[0, 0, 0, 0] > 10
