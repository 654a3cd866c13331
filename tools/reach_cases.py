"""The cases of tools/reach.py: what the owner of a file wants explained, and what goes in."""

from __future__ import annotations

import tomllib
import zlib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from straight import opened

STEPS = (1e-3, 1e-4, 3e-5, 1e-5)
"""Of the input's range. Kinks spoil the large ones, rounding the small ones."""

Array = NDArray[Any]


@dataclass(frozen=True)
class Case:
    """What is wanted of a file."""

    name: str
    file: Path
    kind: str
    explained: str
    """The name of the input that is explained."""
    x: Array
    span: float
    held: Mapping[str, Array]
    score: str = ""
    reduce: str = "sum"
    target: Any = None
    load: Mapping[str, Any] = field(default_factory=dict)
    like: Array | None = None
    """Of an embedding: what it is compared with, a value of the input."""
    ids: Array | None = None
    """What is fed to the file where `explained` is a value inside of it that is computed from this."""
    steps: Sequence[float] = STEPS
    rounds: bool = False
    """Whether the file rounds values inside (int8), so that it moves in steps: differences are taken without them."""
    undeclared: bool = False
    """Whether the sizes that the file declares are wrong, so that ONNX Runtime would refuse what its owner feeds."""
    refused: str = ""
    """Why the file is to be refused, a word of the message; empty where it is to be explained."""


def read_cases(table: Path, folder: Path, names: Sequence[str]) -> list[Case]:
    """Return the cases whose file lies there, in the order of the table."""
    found = tomllib.loads(table.read_text(encoding="utf-8"))
    cases = [_case(name, about, folder) for name, about in found.items() if not names or name in names]
    return [case for case in cases if case.file.exists()]


_AS_WRITTEN = ("score", "reduce", "target", "steps", "rounds", "undeclared", "refused")


def _case(name: str, about: dict[str, Any], folder: Path) -> Case:
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    low, high = about.get("range", (0.0, 1.0))
    drawn = written(rng, about["shape"], about["text"]) if "text" in about else noisy(rng, about["shape"])
    x = (low + (high - low) * drawn).astype(about.get("type", "float32"))
    held = {key: made(rng, value) for key, value in about.get("held", {}).items()}
    like = (low + (high - low) * noisy(rng, about["shape"])).astype(x.dtype) if about.get("like") else None
    case = Case(
        name=name, file=folder / f"{about.get('file', name)}.onnx", kind=about["kind"], explained=about["input"], x=x,
        span=high - low, held=held, like=like, load=loading(about, held),
        **{key: about[key] for key in _AS_WRITTEN if key in about},
    )  # fmt: skip
    return behind_ids(case, about["inside"]) if "inside" in about and case.file.exists() else case


def behind_ids(case: Case, value: str) -> Case:
    """Return the case with what the file computes from its ids in their place, as the value that is explained."""
    model = onnx.load(case.file)
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(value))
    (found,) = opened(model).run([value], {case.explained: case.x, **case.held})
    held = {**case.held, case.explained: case.x}
    load = {"explained": value, "inputs": held}
    return replace(case, explained=value, x=found, ids=case.x, held=held, span=float(np.ptp(found)), load=load)


def judged_file(case: Case, score: str) -> onnx.ModelProto:
    """Return the original file for the judge, with the value `score` put out.

    Sizes that are declared wrongly are off; where a value inside is explained, the file is cut there.
    """
    model = onnx.load(case.file)
    for value in model.graph.input if case.undeclared else ():
        for size in value.type.tensor_type.shape.dim:
            size.Clear()
    if score not in {value.name for value in model.graph.output}:
        model.graph.output.append(onnx.helper.make_empty_tensor_value_info(score))
    if case.ids is not None:
        _cut(model.graph, case.explained, score)
    return model


def _cut(graph: onnx.GraphProto, value: str, score: str) -> None:
    """The value becomes an input, and what the score does not need goes."""
    made = {name: node for node in graph.node for name in node.output}
    needed, todo = set[str](), [score]
    while todo:
        name = todo.pop()
        if name not in needed and name != value:
            needed.add(name)
            todo += read_by(made[name]) if name in made else []
    _keep(graph.node, [node for node in graph.node if needed & set(node.output)])
    _keep(graph.input, [each for each in graph.input if each.name in needed])
    _keep(graph.output, [each for each in graph.output if each.name == score])
    graph.input.append(onnx.helper.make_tensor_value_info(value, onnx.TensorProto.FLOAT, None))


def _keep(field_of: Any, kept: Sequence[Any]) -> None:
    copies = deepcopy(list(kept))
    del field_of[:]
    field_of.extend(copies)


def read_by(node: onnx.NodeProto) -> list[str]:
    """Return the names that a node reads, in its branches too."""
    inner = [name for each in node.attribute for other in each.g.node for name in read_by(other)]
    return [name for name in (*node.input, *inner) if name]


def written(rng: np.random.Generator, shape: Sequence[int], text: str) -> Array:
    """Return a page [1, C, H, W] with a line of text on it, in (0, 1), with a little noise."""
    height, width = shape[2:]
    page = Image.new("L", (width, height), 235)
    font = ImageFont.load_default(min(height * 0.6, 1.6 * width / len(text)))
    ImageDraw.Draw(page).text((width // 2, height // 2), text, 20, font, anchor="mm")
    return np.asarray(page, np.float64) / 255 + rng.uniform(-0.05, 0.05, shape)


def noisy(rng: np.random.Generator, shape: Sequence[int]) -> Array:
    """Return a slow wave along the axes with noise on it, in (0, 1): flat inputs sit on ties."""
    wave = np.zeros(shape)
    for axis, size in enumerate(shape):
        along = np.sin(np.linspace(0, rng.uniform(3, 9), size) + rng.uniform(0, 6))
        wave += along.reshape([-1 if axis == i else 1 for i in range(len(shape))])
    mixed = wave / max(1, len(shape)) * 0.25 + rng.normal(0, 0.12, shape) + 0.5
    return np.asarray(np.clip(mixed, 0.02, 0.98))


def made(rng: np.random.Generator, about: Any) -> Array:
    """Return a held input: a number, or {shape, value | range | ids, type}."""
    if not isinstance(about, dict):
        return np.asarray(about, np.int64 if isinstance(about, int) else np.float32)
    shape, kind = about["shape"], about.get("type", "float32")
    if "data" in about:
        return np.asarray(about["data"], kind).reshape(shape)
    if "ids" in about:
        return np.asarray(rng.integers(0, about["ids"], shape), kind)
    if "range" in about:
        return np.asarray(rng.uniform(about["range"][0], about["range"][1], shape), kind)
    return np.full(shape, about.get("value", 0), kind)


def loading(about: dict[str, Any], held: Mapping[str, Array]) -> dict[str, Any]:
    """Return the arguments of `load`: those of the table, and which inputs are held where there are several."""
    several = {"explained": about["input"], "inputs": dict(held)} if held else {}
    return {**several, **about.get("load", {})}
