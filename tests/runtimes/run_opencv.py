"""Runs compiled models in OpenCV."""

from pathlib import Path

import cv2
from job import Arrays, each


def run(path: Path, feeds: Arrays, outputs: list[str]) -> Arrays:
    net = cv2.dnn.readNetFromONNX(str(path), engine=cv2.dnn.ENGINE_NEW)
    if net.empty():
        raise RuntimeError("does not read the file")
    for name, array in feeds.items():
        net.setInput(array, name)
    return dict(zip(outputs, net.forward(outputs), strict=True))


each(f"opencv {cv2.__version__}", run)
