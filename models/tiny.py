"""Small models for the pages of the site and for the gallery: the bundled classifier with another end, or fitted here.

Each is made in a second or two from nothing but numpy, onnx and the bundled files, from fixed seeds; none is good at
anything but being explained.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from scenes import LABELS, draw_scene

Floats = NDArray[np.floating[Any]]

SHAPES = Path(__file__).resolve().parent / "shapes.onnx"
LAYER = "block3/relu"
"""The classifier's last layer, [N, 48, 24, 24]."""

RATE = 8000
"""Samples a second of the model of sounds."""
FLATS = ("area", "rooms", "floor", "year")
WORDS = {
    "positive": ("fine", "great", "lovely", "moving", "clever", "warm", "brilliant"),
    "negative": ("dull", "weak", "boring", "messy", "cold", "clumsy", "awful"),
    "plain": ("the", "film", "story", "cast", "music", "and", "is", "was", "very", "but"),
}


def write(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    weights: Mapping[str, Any],
    ends: tuple[tuple[str, int, list[Any]], tuple[str, list[Any]]],
    says: Mapping[str, str],
) -> Path:
    """Write a model of one input and one output of floats. Args: says: its metadata. Returns: where."""
    (name, kind, shape), (out, out_shape) = ends
    graph = helper.make_graph(
        nodes, path.stem, [helper.make_tensor_value_info(name, kind, shape)],
        [helper.make_tensor_value_info(out, TensorProto.FLOAT, out_shape)],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in weights.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    helper.set_model_props(proto, dict(says))
    onnx.checker.check_model(proto)
    onnx.save(proto, path)
    return path


def cut(path: Path, nodes: Sequence[onnx.NodeProto], weights: Mapping[str, Any], out: tuple[str, list[Any]]) -> Path:
    """Write the bundled classifier up to its last layer, with another end. Returns: where."""
    proto = onnx.load(SHAPES)
    kept = [node for node in proto.graph.node if node.op_type not in ("ReduceMean", "Gemm")]
    del proto.graph.node[:]
    proto.graph.node.extend([*kept, *nodes])
    proto.graph.initializer.extend(numpy_helper.from_array(np.asarray(a), n) for n, a in weights.items())
    read = {name for node in proto.graph.node for name in node.input}
    for weight in [w for w in proto.graph.initializer if w.name not in read]:
        proto.graph.initializer.remove(weight)
    if out[1][1] != len(LABELS):  # names are of classes alone
        helper.set_model_props(proto, {p.key: p.value for p in proto.metadata_props if p.key != "onnxsal.labels"})
    del proto.graph.output[:]
    proto.graph.output.append(helper.make_tensor_value_info(out[0], TensorProto.FLOAT, out[1]))
    onnx.save(proto, path)
    return path


def segmenter(folder: Path) -> Path:
    """Return a file that says a class at every position of the last layer, enlarged to the picture."""
    nodes = [
        helper.make_node("Unsqueeze", ["head.weight", "two"], ["kernel"]),
        helper.make_node("Conv", [LAYER, "kernel", "head.bias"], ["coarse"]),
        helper.make_node("Resize", ["coarse", "", "four"], ["large"], mode="linear"),
        helper.make_node("Softmax", ["large"], ["regions"], axis=1),
    ]
    weights = {"two": np.array([2, 3]), "four": np.array([1, 1, 4, 4], np.float32)}
    return cut(folder / "segmenter.onnx", nodes, weights, ("regions", ["N", 10, 96, 96]))


def embedder(folder: Path) -> Path:
    """Return a file that gives the mean of the last layer, at unit length."""
    nodes = [
        helper.make_node("ReduceMean", [LAYER, "pool.axes"], ["mean"], keepdims=0),
        helper.make_node("LpNormalization", ["mean"], ["embedding"], axis=1, p=2),
    ]
    return cut(folder / "embedder.onnx", nodes, {}, ("embedding", ["N", 48]))


def sizer(folder: Path) -> Path:
    """Return a file that says how many percent of a picture its objects cover: least squares on the last layer."""
    mean = helper.make_node("ReduceMean", [LAYER, "pool.axes"], ["mean"], keepdims=0)
    half = cut(folder / "sizer.onnx", [mean], {}, ("mean", ["N", 48]))
    scenes = [draw_scene(70_000_000 + n) for n in range(600)]
    session = onnxruntime.InferenceSession(half, providers=["CPUExecutionProvider"])
    pictures = np.stack([scene.image for scene in scenes]).transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1
    features = np.concatenate([session.run(None, {"picture": part})[0] for part in np.split(pictures, 12)])
    weights, bias = ridge(features, np.array([[100 * scene.mask.mean()] for scene in scenes]), 1e-2)
    nodes = [mean, helper.make_node("Gemm", ["mean", "size.weight", "size.bias"], ["covered"])]
    given = {"size.weight": weights.astype(np.float32), "size.bias": bias.astype(np.float32)}
    return cut(half, nodes, given, ("covered", ["N", 1]))


def ridge(x: Floats, y: Floats, strength: float) -> tuple[Floats, Floats]:
    """Return weights and bias of the least squares of y, [n, k], on x, [n, f]. Args: strength: of the penalty."""
    middle, wide = x.mean(0), x.std(0) + 1e-6
    scaled = (x - middle) / wide
    found = np.linalg.solve(scaled.T @ scaled / len(x) + strength * np.eye(x.shape[1]), scaled.T @ (y - y.mean(0)))
    weights = found / len(x) / wide[:, None]
    return weights, y.mean(0) - middle @ weights


def sound(seed: int, *, whistle: float | None = None, knock: float | None = None, seconds: float = 2.0) -> Floats:
    """Return a faint noise with a whistle and a knock that begin at these seconds, float32 [samples], -1 to 1."""
    rng = np.random.default_rng(seed)
    wave = 0.01 * rng.standard_normal(round(RATE * seconds))
    if whistle is not None:
        t = np.arange(round(0.3 * RATE)) / RATE
        low = 1200 + rng.uniform(-200, 200)
        wave[round(whistle * RATE) :][: len(t)] += (
            0.3 * np.sin(np.pi * t / 0.3) * np.sin(2 * np.pi * (low * t + 2000 * t**2))
        )
    if knock is not None:
        t = np.arange(round(0.1 * RATE)) / RATE
        wave[round(knock * RATE) :][: len(t)] += np.exp(-t / 0.02) * (
            0.4 * np.sin(2 * np.pi * rng.uniform(150, 300) * t) + 0.15 * rng.standard_normal(len(t))
        )
    return wave.clip(-1, 1).astype(np.float32)


def listener(folder: Path) -> Path:
    """Return a model of waveforms that tells a whistle from a knock: a spectrogram, weighed frame by frame."""
    size, hop, bins = 128, 64, 64
    angles = 2 * np.pi * np.arange(bins)[:, None] * np.arange(size) / size
    window = np.hanning(size + 1)[:-1]
    kernel = np.concatenate([np.cos(angles), -np.sin(angles)])[:, None] * window

    def frames(wave: Floats) -> Floats:
        cut_up = np.lib.stride_tricks.sliding_window_view(wave, size)[::hop]
        return np.log(np.abs(np.fft.rfft(cut_up * window)[:, :bins]) ** 2 + 1e-2)

    heard, asked = [], []
    for n in range(80):
        start = {("whistle", "knock")[n % 2]: float(np.random.default_rng(n).uniform(0.1, 0.6))}
        at = np.arange(len(heard_now := frames(sound(n, seconds=1.0, **start)))) * hop / RATE + size / RATE / 2
        ((name, begin),) = start.items()
        inside = (at > begin) & (at < begin + {"whistle": 0.3, "knock": 0.06}[name])
        heard.append(heard_now)
        asked.append(np.stack([inside & (name == kind) for kind in ("whistle", "knock")], 1))
    weights, bias = ridge(np.concatenate(heard), 8 * np.concatenate(asked).astype(float) - 4, 1e-3)
    nodes = [
        helper.make_node("Unsqueeze", ["wave", "one"], ["channel"]),
        helper.make_node("Conv", ["channel", "sines"], ["parts"], strides=[hop]),
        helper.make_node("Mul", ["parts", "parts"], ["squares"]),
        helper.make_node("Split", ["squares"], ["real", "imaginary"], axis=1, num_outputs=2),
        helper.make_node("Add", ["real", "imaginary"], ["power"]),
        helper.make_node("Add", ["power", "faint"], ["floor"]),
        helper.make_node("Log", ["floor"], ["spectrogram"]),
        helper.make_node("Conv", ["spectrogram", "kinds", "bias"], ["frames"]),
        helper.make_node("ReduceLogSumExp", ["frames", "two"], ["logits"], keepdims=0),
        helper.make_node("Softmax", ["logits"], ["heard"], axis=1),
    ]
    given = {
        "one": np.array([1]), "two": np.array([2]), "sines": kernel.astype(np.float32), "faint": np.float32(1e-2),
        "kinds": weights.T[:, :, None].astype(np.float32), "bias": bias.astype(np.float32),
    }  # fmt: skip
    ends = (("wave", TensorProto.FLOAT, ["batch", "samples"]), ("heard", ["batch", 2]))
    says = {"sample_rate": str(RATE), "onnxsal.labels": json.dumps(["whistle", "knock"])}
    return write(folder / "listener.onnx", nodes, given, ends, says)


def reader(folder: Path) -> Path:
    """Return a model of short reviews, its ``tokenizer.json`` beside it: the mean of words' vectors, two classes."""
    good, bad, plain = WORDS["positive"], WORDS["negative"], WORDS["plain"]
    number = {word: at for at, word in enumerate(("[PAD]", "[UNK]", *plain, *good, *bad))}
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1], 45)
    told = [rng.choice(good if label else bad, 2) for label in labels]
    things, verbs = rng.choice(["film", "story", "cast", "music"], 90), rng.choice(["is", "was"], 90)
    texts = [("the", thing, verb, a, "and", b) for thing, verb, (a, b) in zip(things, verbs, told, strict=True)]
    ids = np.array([[number[word] for word in text] for text in texts])
    vectors, head = rng.normal(0, 0.3, (len(number), 8)), rng.normal(0, 0.3, (8, 2))
    for _ in range(400):
        mean = vectors[ids].mean(1)
        hidden = np.maximum(mean, 0)
        scores = np.exp(hidden @ head)
        wrong = scores / scores.sum(1, keepdims=True) - np.eye(2)[labels]
        back = (wrong @ head.T) * (mean > 0) / ids.shape[1]
        head -= 0.5 * hidden.T @ wrong / len(ids)
        np.add.at(vectors, ids, -5 * np.repeat(back[:, None], ids.shape[1], 1) / len(ids))
    nodes = [
        helper.make_node("Gather", ["words", "input_ids"], ["embedded"]),
        helper.make_node("ReduceMean", ["embedded", "axis"], ["mean"], keepdims=0),
        helper.make_node("Relu", ["mean"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "head"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["meant"], axis=1),
    ]
    weights = {"words": vectors.astype(np.float32), "head": head.astype(np.float32), "axis": np.array([1])}
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None,
        "model": {"type": "WordLevel", "vocab": number, "unk_token": "[UNK]"},
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    ends = (("input_ids", TensorProto.INT64, ["batch", "tokens"]), ("meant", ["batch", 2]))
    says = {"onnxsal.labels": json.dumps(["negative", "positive"])}
    return write(folder / "reader.onnx", nodes, weights, ends, says)


def flats(count: int, seed: int) -> tuple[Floats, Floats]:
    """Return rows of flats, [count, 4], and their rents: made up, so that what counts is known."""
    rng = np.random.default_rng(seed)
    area = rng.uniform(25, 120, count).round()
    rooms = np.clip((area / 28 + rng.normal(0, 0.6, count)).round(), 1, 5)
    floor, year = rng.integers(0, 9, count), rng.integers(1900, 2021, count)
    rent = 150 + 11 * area + 30 * floor + np.where(year > 1990, 200, 0) + rng.normal(0, 30, count)
    return np.stack([area, rooms, floor, year], 1).astype(np.float32), rent


def valuer(folder: Path) -> Path:
    """Return a boosted ensemble of 120 trees of one split each, fitted to rents of made-up flats."""
    x, y = flats(400, 0)
    base, fitted = y.mean(), np.full(len(y), y.mean())
    splits = [(k, cutting) for k in range(x.shape[1]) for cutting in np.unique(x[:, k])[:-1]]
    below = np.stack([x[:, k] <= cutting for k, cutting in splits], 1).astype(float)
    trees = []
    for _ in range(120):
        rest = y - fitted
        low, high = rest @ below / below.sum(0), rest @ (1 - below) / (1 - below).sum(0)
        best = int(np.argmax(low**2 * below.sum(0) + high**2 * (1 - below).sum(0)))
        leaves = 0.3 * low[best], 0.3 * high[best]
        fitted += np.where(below[:, best] > 0, *leaves)
        trees.append((*splits[best], *leaves))
    many = range(len(trees))
    node = helper.make_node(
        "TreeEnsembleRegressor", ["flat"], ["rent"], domain="ai.onnx.ml", n_targets=1, base_values=[float(base)],
        nodes_treeids=[t for t in many for _ in range(3)], nodes_nodeids=[0, 1, 2] * len(trees),
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"] * len(trees),
        nodes_featureids=[k for tree in trees for k in (int(tree[0]), 0, 0)],
        nodes_values=[v for tree in trees for v in (float(tree[1]), 0.0, 0.0)],
        nodes_truenodeids=[1, 0, 0] * len(trees), nodes_falsenodeids=[2, 0, 0] * len(trees),
        target_treeids=[t for t in many for _ in range(2)], target_nodeids=[1, 2] * len(trees),
        target_ids=[0] * 2 * len(trees), target_weights=[float(v) for tree in trees for v in tree[2:]],
    )  # fmt: skip
    ends = (("flat", TensorProto.FLOAT, ["rows", len(FLATS)]), ("rent", ["rows", 1]))
    return write(folder / "valuer.onnx", [node], {}, ends, {"feature_names": json.dumps(FLATS)})
