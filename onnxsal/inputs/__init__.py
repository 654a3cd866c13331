"""What a model is given besides itself: photographs, how it wants them, and the names of its classes."""

from onnxsal.inputs.images import ImageSource, Photo, read_image
from onnxsal.inputs.preprocess import PRESETS, Fitted, Preprocess, try_presets
from onnxsal.inputs.sources import PreprocessSource, as_preprocess, find_preprocess

__all__ = [
    "PRESETS",
    "Fitted",
    "ImageSource",
    "Photo",
    "Preprocess",
    "PreprocessSource",
    "as_preprocess",
    "find_preprocess",
    "read_image",
    "try_presets",
]
