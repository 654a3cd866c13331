"""Photographs: read, preprocessed as the model wants them."""

from onnxsal.modalities.image.images import ImageSource, Photo, content_of, name_of, read_image
from onnxsal.modalities.image.preprocess import PRESETS, Fitted, Preprocess, try_presets
from onnxsal.modalities.image.sources import PreprocessSource, as_preprocess, find_preprocess

__all__ = [
    "PRESETS",
    "Fitted",
    "ImageSource",
    "Photo",
    "Preprocess",
    "PreprocessSource",
    "as_preprocess",
    "content_of",
    "find_preprocess",
    "name_of",
    "read_image",
    "try_presets",
]
