"""YAML as exporters dump it: against PyYAML where that is installed, and by hand."""

from __future__ import annotations

from typing import Any

import pytest

from onnxsal.errors import UsageError
from onnxsal.plain_yaml import parse_yaml

PADDLE = """\
Global:
  model_name: PP-LCNet_x1_0_doc_ori
Hpi:
  backend_configs:
    paddle_infer:
      trt_dynamic_shapes: &id001
        x:
        - - 1
          - 3
          - 224
        - [8, 3, 224]
    tensorrt:
      dynamic_shapes: *id001
PreProcess:
  transform_ops:
  - ResizeImage:
      resize_short: 256
  - NormalizeImage:
      channel_num: 3
      mean:
      - 0.485
      - 0.456
      order: ''
      scale: 0.00392156862745098
      small: 1.0e-05
  - ToCHWImage: null
PostProcess:
  Topk:
    topk: 2   # a comment
    label_list:
    - '0'
    - '180'
    - a long
      name
    - "\\u3000"
    - ''''
    - '#'
    - "tab\\x41"
    - 'yes': 'no'
  empty: []
  none:
"""

EXPECTED: dict[str, Any] = {
    "Global": {"model_name": "PP-LCNet_x1_0_doc_ori"},
    "Hpi": {"backend_configs": {"paddle_infer": {"trt_dynamic_shapes": {"x": [[1, 3, 224], [8, 3, 224]]}},
                                "tensorrt": {"dynamic_shapes": {"x": [[1, 3, 224], [8, 3, 224]]}}}},
    "PreProcess": {"transform_ops": [
        {"ResizeImage": {"resize_short": 256}},
        {"NormalizeImage": {"channel_num": 3, "mean": [0.485, 0.456], "order": "", "scale": 0.00392156862745098,
                            "small": 1e-05}},
        {"ToCHWImage": None}]},
    "PostProcess": {"Topk": {"topk": 2, "label_list": ["0", "180", "a long name", "\u3000", "'", "#", "tabA",
                                                       {"yes": "no"}]},
                    "empty": [], "none": None},
}  # fmt: skip


def test_what_exporters_dump() -> None:
    assert parse_yaml(PADDLE, "here") == EXPECTED


CHARACTERS = [
    "", " ", "\t", "\u3000", "y", "yes", "a: b", "a #b", "- x", "…", "\U0001f600", "0x1F", "1_000", "1e5", ".5", "+1",
    "'a' b", '"a" b', "a:", "&a", "*a", "a,b", "~", "null", "True", "<<", "2001-01-01", "a\\b",
]  # fmt: skip


def test_against_pyyaml() -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    data = {
        "names": {0: "cat", 1: "dog: big", 2: "- fish", 3: "it's", 4: 'a "b"', 5: "#5", 6: "7", 7: "null"},
        "characters": [*"!\"#$%&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~é中", *CHARACTERS],
        "numbers": [1, -2, 0.5, 1e-07, 3.0, True, False, None], "nested": [[1, [2, 3]], {"a": {"b": []}}, {}],
        "long": "word " * 40 + "end",
    }  # fmt: skip
    for style in (None, False):
        assert parse_yaml(yaml.safe_dump(data, default_flow_style=False, allow_unicode=style is None), "here") == data
    shared = [1, 2]
    assert parse_yaml(yaml.safe_dump({"a": shared, "b": shared}), "here") == {"a": shared, "b": shared}


@pytest.mark.parametrize(
    "text",
    ["a: !!python/object:os.system x", "a: |\n  text", "just words", "a: [1, 2", "a: 'open", "a: *missing",
     "a: {b: 1}", "- " * 100 + "1", "a: b\n- c"],
    ids=repr,
)  # fmt: skip
def test_anything_else_is_one_message(text: str) -> None:
    with pytest.raises(UsageError, match=r"here is no YAML of the kind that exporters write"):
        parse_yaml(text, "here")


def test_nothing_is_nothing() -> None:
    assert parse_yaml("", "here") is None
    assert parse_yaml("# only words\n", "here") is None
