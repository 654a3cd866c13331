"""The bundled detector of drawn shapes in every form of head that files of detectors have, made on the fly.

``FORMS["v5"].model()`` is a file, ``FORMS["v5"].found(feeds)`` what is in its first picture, by a reader in NumPy that
shares nothing with onnxsal's. All say what the bundled detector says: its weights, boxes and scores are theirs.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import detector_decoders as read
import detector_forms as forms
import drawn_objects
import numpy as np
import onnx
import onnxruntime
from detector_decoders import Found, Reader
from onnx import TensorProto, helper, numpy_helper, parser
from onnxruntime.quantization import CalibrationDataReader, quantize_static
from onnxruntime.transformers.float16 import convert_float_to_float16

BUNDLED = Path(__file__).resolve().parents[2] / "models" / "detector.onnx"
LABELS = ("disc", "square", "triangle")
VALUES = {"p": "classes/sigmoid", "fine": "head8/raw", "coarse": "head16/raw", "foreground": "foreground/conv"}
"""What the texts call values of the bundled detector whose names are no identifiers."""
FRONT = (
    "float[N, 4, P] boxes, float[N, 3, P] classes, float[N, 3, P] p, float[N, 4, P] ways, "
    "float[N, 1, 24, 24] foreground, float[N, 35, 12, 12] fine, float[N, 35, 6, 6] coarse"
)
ULTRALYTICS = {
    "description": "Ultralytics model trained on shapes", "author": "Ultralytics", "version": "8.4.190",
    "license": "AGPL-3.0 License (https://ultralytics.com/license)", "docs": "https://docs.ultralytics.com",
    "stride": "16", "batch": "1", "imgsz": "[96, 96]", "names": str(dict(enumerate(LABELS))), "channels": "3",
}  # fmt: skip


@dataclass(frozen=True)
class Form:
    """A form of head.

    Args: text: what stands behind the bundled detector. outputs: their declarations, as the text format has them.
        one: whether the file takes one picture, as with NonMaxSuppression. once: whether the file says each object
        once itself. softmax: whether scores are a softmax beside "nothing", and not sigmoids.
        description: what has to be said of it beside the file, where its graph does not prove it. first: the number
            that the file gives the first class.
    """

    text: str
    outputs: str
    reader: Reader
    one: bool = False
    once: bool = False
    softmax: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)
    after: Callable[[onnx.ModelProto], onnx.ModelProto] | None = None
    description: Mapping[str, Any] | None = None
    first: int = 0

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes as the file counts them."""
        return (*("background",) * self.first, *LABELS)

    def model(self) -> onnx.ModelProto:
        """Return the file."""
        model = onnx.ModelProto.FromString(_built(self.text, self.outputs, self.one, self.after))
        helper.set_model_props(model, dict(self.metadata))
        return model

    def found(self, picture: np.ndarray) -> Found:
        """Return what the file, run in ONNX Runtime, says of a picture float32 [3, 96, 96] from 0 to 1."""
        return self.reader(run(self.model(), picture))


def run(model: onnx.ModelProto, picture: np.ndarray) -> dict[str, np.ndarray]:
    """Return a file's outputs for a picture float32 [3, 96, 96] from 0 to 1, whatever it is fed as."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds(model, picture)), strict=True))


def feeds(model: onnx.ModelProto, picture: np.ndarray) -> dict[str, np.ndarray]:
    """Return a picture as the file wants it, and a scale of one where it asks for the photograph's."""
    first = model.graph.input[0]
    if first.type.tensor_type.elem_type == TensorProto.UINT8:
        return {first.name: np.rint(picture * 255).astype(np.uint8).transpose(1, 2, 0)[None]}
    scale = {value.name: np.ones((1, 2), np.float32) for value in model.graph.input[1:]}
    kind = np.float16 if first.type.tensor_type.elem_type == TensorProto.FLOAT16 else np.float32
    return {first.name: picture[None].astype(kind), **scale}


@functools.cache
def bundled() -> onnx.ModelProto:
    """Return the bundled detector."""
    return onnx.load(BUNDLED)


def half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a file of float16, inputs and outputs as well."""
    return convert_float_to_float16(model)


def int8(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a file whose convolutions are of bytes, with scales from twenty pictures; its boxes stay floats."""
    names = [node.name for node in model.graph.node if node.op_type == "Conv" and not node.name.startswith("ways")]
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder, "before.onnx"), Path(folder, "after.onnx")
        onnx.save(model, before)
        quantize_static(before, after, _Pictures(), nodes_to_quantize=names, per_channel=True)
        return onnx.load(after)


class _Pictures(CalibrationDataReader):  # type: ignore[misc]
    """Drawn pictures to calibrate with."""

    def __init__(self) -> None:
        self._left = iter(range(60_000_000, 60_000_020))

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next picture, if there is one."""
        seed = next(self._left, None)
        return None if seed is None else {"images": drawn_objects.picture(seed)[None]}


@functools.cache
def _built(text: str, outputs: str, one: bool, after: Callable[[onnx.ModelProto], onnx.ModelProto] | None) -> bytes:
    model = _joined(text, outputs)
    _without_unread(model.graph)
    _named_as_exported(model.graph)
    if one:
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    del model.metadata_props[:]
    model.producer_name, model.graph.name = "pytorch", "main_graph"
    made = model if after is None else after(model)
    onnx.checker.check_model(made, full_check=True)
    return made.SerializeToString()


def _joined(text: str, outputs: str) -> onnx.ModelProto:
    """Return the bundled detector with a head's text behind it, and the constants that the text reads."""
    head = parser.parse_model(
        f'<ir_version: 10, opset_import: ["": 18]> head ({FRONT}, float[N, 2] scale_factor) => ({outputs}) {{ {text} }}'
    ).graph
    read_names = {name for node in _nodes(head) for name in node.input}
    _renamed(head, VALUES)
    model = onnx.ModelProto.FromString(bundled().SerializeToString())
    del model.graph.output[:]
    model.graph.node.remove(next(node for node in model.graph.node if "output0" in node.output))
    model.graph.node.extend(head.node)
    model.graph.output.extend(head.output)
    wanted = {name: array for name, array in forms.CONSTANTS.items() if name in read_names}
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in wanted.items())
    if "scale_factor" in read_names:
        model.graph.input.append(helper.make_tensor_value_info("scale_factor", TensorProto.FLOAT, [1, 2]))
    return model


def _without_unread(graph: onnx.GraphProto) -> None:
    """Take out what no output reads, which no exporter would have written."""
    needed, kept = {output.name for output in graph.output}, []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed.update(name for each in _with_bodies(node) for name in each.input)
            needed.update(value.name for body in _bodies(node) for value in body.output)
            kept.append(node)
    weights = [weight for weight in graph.initializer if weight.name in needed]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(weights)


def _named_as_exported(graph: onnx.GraphProto) -> None:
    """Give ``boxes_out`` the name ``boxes``, which a value of the bundled detector has."""
    names = {output.name: output.name.removesuffix("_out") for output in graph.output}
    _renamed(graph, {new: f"inner/{new}" for old, new in names.items() if old != new} | names)
    for output in graph.output:
        output.name = names[output.name]


def from_bytes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a file that takes bytes [1, H, W, 3], as TensorFlow's detectors do."""
    shape = [1, forms.SIZE, forms.SIZE, 3]
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("input_tensor", TensorProto.UINT8, shape))
    model.graph.initializer.append(numpy_helper.from_array(forms.CONSTANTS["channels"], "channels"))
    front = [
        helper.make_node("Cast", ["input_tensor"], ["as_float"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["as_float", "channels"], ["in_shares"]),
        helper.make_node("Transpose", ["in_shares"], ["images"], perm=[0, 3, 1, 2]),
    ]
    nodes = [*front, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def _bodies(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    return [attribute.g for attribute in node.attribute if attribute.type == onnx.AttributeProto.GRAPH]


def _with_bodies(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    yield node
    for body in _bodies(node):
        yield from _nodes(body)


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield from _with_bodies(node)


def _renamed(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Rename values, those that bodies read as well."""
    for node in _nodes(graph):
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]


def _ultralytics(task: str = "detect", **more: str) -> dict[str, str]:
    return {**ULTRALYTICS, "task": task, **more}


GRID = {
    "boxes": "output[:, :, 0:4]", "format": "cxcywh", "unit": "pixels", "objectness": "output[:, :, 4:5]",
    "scores": "output[:, :, 5:8]", "activation": "none", "strides": [8, 16],
}  # fmt: skip
SAID = {
    "mmdeploy": {
        "boxes": "dets[:, :, 0:4]", "format": "ltrb", "scores": "dets[:, :, 4:5]", "classes": "labels", "nms": False,
    },
    "efficient": {
        "boxes": "det_boxes", "format": "ltrb", "scores": "det_scores", "classes": "det_classes", "nms": False,
    },
    "loop": {
        "boxes": "output[:, :, 0:4]", "format": "ltrb", "scores": "output[:, :, 4:5]", "classes": "output[:, :, 5:6]",
        "nms": False,
    },
    "levels": {
        "boxes": ["bbox_8", "bbox_16"], "format": "distances", "unit": "strides", "scores": ["score_8", "score_16"],
        "strides": [8, 16],
    },
    "raw": {
        "boxes": ["output0[:, 0:32, :, :]", "output1[:, 0:32, :, :]"], "format": "distances", "unit": "strides",
        "scores": ["output0[:, 32:35, :, :]", "output1[:, 32:35, :, :]"], "activation": "sigmoid", "bins": 8,
        "strides": [8, 16],
    },
    "detr": {
        "boxes": "pred_boxes", "format": "cxcywh", "unit": "shares", "scores": "logits", "activation": "sigmoid",
        "nms": False,
    },
}  # fmt: skip
V8 = "output0 = Concat <axis = 1> (boxes, p)"
ROW = "float[N, {0}, P] output0"
FORMS: dict[str, Form] = {
    "v8": Form(V8, ROW.format(7), read.v8, metadata=_ultralytics()),
    "v5": Form(forms.V5, "float[N, P, 8] output0", read.v5, metadata={"stride": "16", "names": ULTRALYTICS["names"]}),
    "v4": Form(forms.V4, "float[N, P, 1, 4] boxes_out, float[N, P, 3] confs", read.v4),
    "yolox": Form(forms.YOLOX, "float[N, P, 8] output", read.yolox, description=GRID),
    "end2end": Form(
        forms.END2END, "float[N, M, 6] output0", read.end2end, once=True, metadata=_ultralytics(end2end="True")
    ),
    "mmdeploy": Form(
        forms.MMDEPLOY,
        "float[N, M, 5] dets, int64[N, M] labels",
        read.mmdeploy,
        once=True,
        description=SAID["mmdeploy"],
    ),
    "efficient": Form(
        forms.EFFICIENT,
        "int32[N, 1] num_dets, float[N, M, 4] det_boxes, float[N, M] det_scores, int32[N, M] det_classes",
        read.efficient,
        once=True,
        description=SAID["efficient"],
    ),
    "rows": Form(forms.ROWS, "float[n, 6] output", read.rows6, one=True, once=True),
    "v7": Form(forms.V7, "float[n, 7] output", read.v7, one=True, once=True),
    "centred": Form(forms.CENTRED_ROWS, "float[n, 6] output", read.rows6, one=True, once=True),
    "v3": Form(
        forms.V3,
        "float[1, P, 4] boxes_out, float[1, 3, P] scores_out, int64[n, 3] indices",
        read.v3,
        one=True,
        once=True,
    ),
    "paddle": Form(forms.PADDLE, "float[n, 6] detected, int32[N] bbox_num", read.paddle, one=True, once=True),
    "torchvision": Form(
        forms.TORCHVISION,
        "float[n, 4] boxes_out, int64[n] labels, float[n] scores_out",
        read.torchvision,
        one=True,
        once=True,
        first=1,
    ),
    "tensorflow": Form(
        forms.TENSORFLOW,
        "float[1, M, 4] detection_boxes, float[1, M] detection_classes, float[1, M] detection_scores, "
        "float[1] num_detections",
        read.tensorflow,
        one=True,
        once=True,
        after=from_bytes,
        first=1,
    ),
    "if": Form(forms.IF_EMPTY, "float[n, 6] output", read.rows6, one=True, once=True),
    "loop": Form(forms.LOOP, "float[N, M, 6] output", read.loop, once=True, description=SAID["loop"]),
    "detr": Form(
        forms.DETR,
        "float[N, P, 3] logits_out, float[N, P, 4] pred_boxes",
        read.detr,
        once=True,
        description=SAID["detr"],
    ),
    "detr softmax": Form(
        forms.DETR_SOFTMAX,
        "float[N, P, 4] logits_out, float[N, P, 4] pred_boxes",
        read.detr_softmax,
        once=True,
        softmax=True,
        description={**SAID["detr"], "activation": "softmax", "background": 3},
    ),
    "rtdetr": Form(forms.RTDETR, "float[N, P, 7] output0", read.rtdetr, once=True, metadata=_ultralytics()),
    "ssd": Form(forms.SSD, "float[N, P, 4] scores_out, float[N, P, 4] boxes_out", read.ssd, softmax=True, first=1),
    "levels": Form(
        forms.LEVELS,
        "float[N, A, 3] score_8, float[N, B, 3] score_16, float[N, A, 4] bbox_8, float[N, B, 4] bbox_16",
        read.levels,
        description=SAID["levels"],
    ),
    "raw": Form(
        forms.RAW, "float[N, 35, 12, 12] output0, float[N, 35, 6, 6] output1", read.raw, description=SAID["raw"]
    ),
    "segment": Form(
        forms.SEGMENT,
        f"{ROW.format(13)}, float[N, 6, 24, 24] output1",
        read.segment,
        metadata=_ultralytics("segment"),
    ),
    "pose": Form(forms.POSE, ROW.format(22), read.pose, metadata=_ultralytics("pose", kpt_shape="[5, 3]")),
    "obb": Form(forms.OBB, ROW.format(8), read.v8, metadata=_ultralytics("obb")),
    "float16": Form(V8, ROW.format(7), read.v8, metadata=_ultralytics(half="True"), after=half),
    "int8": Form(V8, ROW.format(7), read.v8, metadata=_ultralytics(), after=int8),
}
"""Every form by its name."""
