#!/bin/sh
# Puts beside the page what is not in the repository: onnxruntime-web from npm, and the bundled models, compiled.
set -e
cd "$(dirname "$0")"
npm install --silent --no-save --no-package-lock --ignore-scripts --prefix ort/npm onnxruntime-web
cp ort/npm/node_modules/onnxruntime-web/dist/ort.wasm.min.mjs ort/npm/node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.mjs \
  ort/npm/node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm ort/
rm -r ort/npm
onnxsal compile ../../models/shapes.onnx -m smoothgrad -t input --explain-required -o model.onnx
cp ../../models/demo.png example.png
onnxsal compile ../../models/detector.onnx -m layercam -t input@input --give saliency,detections --explain-required -o detector.onnx
cp ../../models/demo_boxes.png boxes.png
