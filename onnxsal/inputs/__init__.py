"""What a model is given besides itself: photographs, how it wants them, and the names of its classes."""

from onnxsal.inputs.images import ImageSource, Photo, read_image

__all__ = ["ImageSource", "Photo", "read_image"]
