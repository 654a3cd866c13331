"""ONNX as data: load and save, normal form, shapes, tape, program. The only place that knows ``onnx_ir``'s passes."""

import logging

from onnxsal.graph.attributes import attributes
from onnxsal.graph.files import load_ir, made_whole, save_ir, to_proto, told_of_files, warn_of_files
from onnxsal.graph.infer import infer_shapes
from onnxsal.graph.normal import normalise
from onnxsal.graph.program import Program, Trace, empty
from onnxsal.graph.shapes import dims, same_shape
from onnxsal.graph.tape import Tape

# onnx_ir warns of damaged models on stderr before the error that says so.
logging.getLogger("onnx_ir").addHandler(logging.NullHandler())

__all__ = [
    "Program",
    "Tape",
    "Trace",
    "attributes",
    "dims",
    "empty",
    "infer_shapes",
    "load_ir",
    "made_whole",
    "normalise",
    "same_shape",
    "save_ir",
    "to_proto",
    "told_of_files",
    "warn_of_files",
]
