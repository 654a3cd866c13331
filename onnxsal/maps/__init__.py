"""Maps as data: rows of a table, written and read without pictures, drawn later."""

from onnxsal.maps.read import Maps, read_maps
from onnxsal.maps.record import SavedMap
from onnxsal.maps.write import map_writer

__all__ = ["Maps", "SavedMap", "map_writer", "read_maps"]
