"""A model repository for Triton against the rules of its core and its ONNX backend, which docs/servers.md tells."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import tables
from tiny_detectors import NAMES, detector

import onnxsal
from onnxsal.cli import main
from onnxsal.errors import UnsupportedError, UsageError

BUNDLED = Path(__file__).resolve().parents[2] / "models" / "shapes.onnx"
WORDS = {"bool": "BOOL", "float": "FP32", "double": "FP64", "int64": "INT64", "uint8": "UINT8", "string": "STRING"}


def parsed(text: str) -> dict[str, list[Any]]:
    """Protobuf's text format: every field by name, as a list of its values."""
    tokens = iter(re.findall(r'"(?:[^"\\]|\\.)*"|[\w.-]+|[{}\[\]:,]', text))

    def message() -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for name in tokens:
            if name == "}":
                break
            sign = next(tokens)
            values = [message()] if sign == "{" else listed(next(tokens))
            found.setdefault(name, []).extend(values)
        return found

    def listed(first: str) -> list[Any]:
        if first != "[":
            return [first.strip('"') if first.startswith('"') else first]
        return [int(each) for each in iter(lambda: next(tokens), "]") if each != ","]

    return message()


def check(folder: Path, name: str) -> dict[str, list[Any]]:
    """Hold a configuration to what the server refuses, and return it."""
    config = parsed((folder / name / "config.pbtxt").read_text(encoding="utf-8"))
    session = onnxruntime.InferenceSession(folder / name / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    assert (config["name"], config["backend"]) == ([name], ["onnxruntime"])
    most = int(config["max_batch_size"][0])
    optional = {each.name: each for each in session.get_overridable_initializers()}
    taken = {each.name: each for each in session.get_inputs()}
    required = [each for each in config["input"] if each.get("optional") != ["true"]]
    assert len(required) == len(taken)  # the backend counts them
    assert not most or len(required) == len(config["input"])  # no optional input where it batches
    for kind, ports in (("input", {**taken, **optional}), ("output", {v.name: v for v in session.get_outputs()})):
        for each in config[kind]:
            port = ports[each["name"][0]]
            assert each["data_type"] == [f"TYPE_{WORDS[port.type[7:-1]]}"]
            own = [d if isinstance(d, int) else -1 for d in port.shape]
            assert each["dims"] and all(d == -1 or d > 0 for d in each["dims"])
            told = each["reshape"][0].get("shape", []) if "reshape" in each else each["dims"]
            assert [*([-1] if most else []), *told] == own or (own == [] and each["dims"] == [1] and not most)
            for label in each.get("label_filename", []):
                names = (folder / name / label).read_text(encoding="utf-8").splitlines()
                assert len(names) == math.prod(each["dims"])
    assert [each["name"] for each in config["output"]] == [[v.name] for v in session.get_outputs()]
    return config


def names(config: dict[str, list[Any]], kind: str) -> list[str]:
    return [each["name"][0] for each in config[kind]]


def test_a_repository_keeps_the_server_s_rules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = [str(BUNDLED), "-m", "gradient", "--runtime", "triton", "-o", f"{tmp_path}/"]
    assert main(["compile", *common]) == 0
    assert Path(capsys.readouterr().out.strip()) == tmp_path / "shapes"
    config = check(tmp_path, "shapes")
    assert (names(config, "input"), config["max_batch_size"]) == (["picture", "explain"], ["8"])
    assert {each["name"][0]: each["dims"] for each in config["output"]} == {"logits": [10], "saliency": [96, 96]}
    assert (tmp_path / "shapes" / "labels.txt").read_text().startswith("disc\nsquare\n")
    assert main(["compile", *common, "-t", "input", "--when", "score < 0.6"]) == 0  # over what was there
    assert names(check(tmp_path, "shapes"), "input") == ["picture", "target"]


def test_what_takes_one_thing_at_a_time_has_no_batches(tmp_path: Path) -> None:
    """And its list of what is detected, as long as it is, is no batch."""
    model = onnxsal.load(detector("three"), labels=list(NAMES))
    made = onnxsal.compile(model, method="gradient", give="saliency,detections", runtime="triton")
    assert onnxsal.save_repository(made, tmp_path, name="boxes") == "boxes"
    assert check(tmp_path, "boxes")["max_batch_size"] == ["0"]
    made = onnxsal.compile(detector("v8"), method="gradient", target="input@input", runtime="triton")
    assert onnxsal.save_repository(made, tmp_path, name="v8", max_batch_size=3) == "v8"
    assert check(tmp_path, "v8")["max_batch_size"] == ["3"]


def test_texts_numbers_alone_and_rows_of_tables(tmp_path: Path) -> None:
    rows = list(tables.ROWS)
    made = onnxsal.compile(
        tables.pipeline(tables.LINEAR), method="shapley", target=1, background=rows[1:4], runtime="triton"
    )
    made.metadata_props.append(onnx.StringStringEntryProto(key="onnxsal.labels", value='["a\\nb", "c"]'))
    name = onnxsal.save_repository(made, tmp_path, name="rows")
    config = check(tmp_path, name)
    by_name = {each["name"][0]: each for each in [*config["input"], *config["output"]]}
    assert by_name["sex"]["data_type"] == ["TYPE_STRING"]
    assert (by_name["base_value"]["dims"], by_name["base_value"]["reshape"]) == ([1], [{"shape": []}])


def test_what_is_no_file_for_triton_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="runtime='triton'"):
        onnxsal.save_repository(onnxsal.compile(BUNDLED, method="gradient"), tmp_path)
    made = onnxsal.compile(BUNDLED, method="gradient", runtime="triton")
    for name in ("../up", "a b", ".", "", "a/b"):
        with pytest.raises(UsageError, match="letters, digits"):
            onnxsal.save_repository(made, tmp_path, name=name)
    node = onnx.helper.make_node("Cast", ["logits"], ["half"], to=onnx.TensorProto.BFLOAT16)
    made.graph.node.append(node)
    made.graph.output.append(onnx.helper.make_tensor_value_info("half", onnx.TensorProto.BFLOAT16, ["N", 10]))
    with pytest.raises(UnsupportedError, match=r"no type for 'half', which is tensor\(bfloat16\)"):
        onnxsal.save_repository(made, tmp_path)
    assert main(["compile", str(BUNDLED), "-o", f"{tmp_path}/"]) == 2
    assert "a model repository is for --runtime triton" in capsys.readouterr().err
    assert not np.any([*tmp_path.iterdir()])
