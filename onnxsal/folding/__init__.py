"""The folding reader: programs and records written into the model's own graph, so that one file explains itself."""

from onnxsal.folding.each import each_of
from onnxsal.folding.finish import Finish, finish_map, fuse, normalised
from onnxsal.folding.folded import Folded, fits_any_length, image_elements, raw_shape, typed
from onnxsal.folding.graft import elements_read, graft, laid
from onnxsal.folding.guard import guarded
from onnxsal.folding.images import Style, coloured, values_of_bytes
from onnxsal.folding.loop import Shared, fold_record
from onnxsal.folding.sums import repeated
from onnxsal.folding.tail import fold_tail
from onnxsal.folding.unroll import unroll

__all__ = [
    "Finish",
    "Folded",
    "Shared",
    "Style",
    "coloured",
    "each_of",
    "elements_read",
    "finish_map",
    "fits_any_length",
    "fold_record",
    "fold_tail",
    "fuse",
    "graft",
    "guarded",
    "image_elements",
    "laid",
    "normalised",
    "raw_shape",
    "repeated",
    "typed",
    "unroll",
    "values_of_bytes",
]  # fmt: skip
