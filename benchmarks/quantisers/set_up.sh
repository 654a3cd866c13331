#!/bin/sh
# Makes the Pythons of the quantisers that ../quantisers.py compares: sh set_up.sh FOLDER, then
# python benchmarks/quantisers.py FOLDER. Each has its own environment: they ask for other versions.
# What cannot be installed is left out, and the table says so.
mkdir -p "$1"
install() {
    folder=$1/$2
    shift 2
    python3 -m venv "$folder" && "$folder/bin/pip" install -q "$@" || rm -rf "$folder"
}
install "$1" onnxruntime onnxruntime onnx sympy
install "$1" nncf nncf torch onnx onnxruntime
install "$1" quark amd-quark torch onnx onnxruntime
install "$1" brevitas brevitas torch onnx onnxoptimizer
install "$1" modelopt "nvidia-modelopt[onnx]" torch
install "$1" onnx_neural_compressor onnx-neural-compressor onnx onnxruntime prettytable psutil py-cpuinfo pydantic coloredlogs
install "$1" torch torch onnx
