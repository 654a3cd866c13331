"""From a model, a picture and a method to the map, and what is kept of how it came to be."""

from onnxsal.explanation.explanation import Explanation

__all__ = ["Explanation"]
