#!/bin/sh
# Makes the runtimes that the tests run compiled models in: sh set_up.sh FOLDER, then ONNXSAL_RUNTIMES=FOLDER.
# Needs Python with venv, Node and npm. A browser is not part of it: a Chromium or Chrome on the PATH is taken, or the one
# that ONNXSAL_BROWSER names, with the options in ONNXSAL_BROWSER_FLAGS.
set -e
mkdir -p "$1/node"
python3 -m venv "$1/python"
"$1/python/bin/pip" install -q onnxruntime numpy pillow
python3 -m venv "$1/openvino"
"$1/openvino/bin/pip" install -q openvino numpy pillow
cd "$1/node"
npm init -y >/dev/null
npm install --ignore-scripts onnxruntime-node onnxruntime-web playwright-core
