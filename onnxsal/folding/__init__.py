"""The folding reader: programs and records written into the model's own graph, so that one file explains itself."""

from onnxsal.folding.finish import Finish, Output, finish_map
from onnxsal.folding.graft import graft
from onnxsal.folding.guard import guarded

__all__ = ["Finish", "Output", "finish_map", "graft", "guarded"]
