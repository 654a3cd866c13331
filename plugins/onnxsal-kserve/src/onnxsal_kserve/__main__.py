"""``python -m onnxsal_kserve --model_name NAME --model_path FILE``: KServe's server with one model."""

from __future__ import annotations

import argparse

from kserve import ModelServer, model_server

from onnxsal_kserve import Explained


def main() -> None:
    parser = argparse.ArgumentParser(parents=[model_server.parser], conflict_handler="resolve")
    parser.add_argument("--model_path", required=True, help="the .onnx file, such as /mnt/models/model.onnx")
    parser.add_argument("--preprocess", help="a preset or a JSON file, where the model says none")
    parser.add_argument("--labels", help="a file of labels, where none lies beside the model")
    given, _ = parser.parse_known_args()
    how = {name: value for name in ("preprocess", "labels") if (value := getattr(given, name)) is not None}
    model = Explained(given.model_name, given.model_path, **how)
    model.load()
    ModelServer().start([model])


if __name__ == "__main__":
    main()
