"""Explains a picture with a compiled model; needs onnxruntime, numpy and pillow, not onnxsal.

onnxsal compile model.onnx --bytes-in --give drawing -o explained.onnx
python explain.py explained.onnx photo.jpg drawing.png
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image

if len(sys.argv) != 4:
    sys.exit("usage: python explain.py MODEL PHOTO DRAWING")
model, photo, drawing = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.log_severity_level = 3
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
known = session.get_modelmeta().custom_metadata_map
about = json.loads(known["onnxsal.explainer"])
height, width = about["input"]["size"]
labels = json.loads(known.get("onnxsal.labels", "null")) or range(about["output"]["classes"])

with Image.open(photo) as image:
    pixels = np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR))
scores, drawn = session.run([about["output"]["name"], "drawing"], {about["input"]["name"]: pixels[None]})
Image.fromarray(drawn[0]).save(drawing)
print(labels[scores.argmax()])
