"""What a model is given besides itself: photographs, how it wants them, and the names of its classes."""

from onnxsal.inputs.images import ImageSource, Photo, read_image
from onnxsal.inputs.labels import Labels, LabelSource, as_labels, find_labels, imagenet, read_labels
from onnxsal.inputs.preprocess import PRESETS, Fitted, Preprocess, try_presets
from onnxsal.inputs.sources import PreprocessSource, as_preprocess, find_preprocess

__all__ = [
    "PRESETS",
    "Fitted",
    "ImageSource",
    "LabelSource",
    "Labels",
    "Photo",
    "Preprocess",
    "PreprocessSource",
    "as_labels",
    "as_preprocess",
    "find_labels",
    "find_preprocess",
    "imagenet",
    "read_image",
    "read_labels",
    "try_presets",
]
