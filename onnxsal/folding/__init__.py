"""The folding reader: programs and records written into the model's own graph, so that one file explains itself."""

from onnxsal.folding.finish import Finish, finish_map
from onnxsal.folding.graft import graft
from onnxsal.folding.guard import guarded
from onnxsal.folding.loop import Folded, check_foldable, fold_record
from onnxsal.folding.tail import fold_tail

__all__ = ["Finish", "Folded", "check_foldable", "finish_map", "fold_record", "fold_tail", "graft", "guarded"]
