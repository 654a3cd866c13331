"""ONNX as data: load and save, normal form, shapes, tape, program. The only place that knows ``onnx_ir``'s passes."""

from onnxsal.graph.attributes import attributes
from onnxsal.graph.files import load_ir, save_ir, to_proto
from onnxsal.graph.infer import infer_shapes
from onnxsal.graph.normal import normalise
from onnxsal.graph.program import Program
from onnxsal.graph.shapes import dims, same_shape
from onnxsal.graph.tape import Tape

__all__ = [
    "Program",
    "Tape",
    "attributes",
    "dims",
    "infer_shapes",
    "load_ir",
    "normalise",
    "same_shape",
    "save_ir",
    "to_proto",
]
