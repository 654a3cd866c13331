"""Small models of token ids in folders as exporters leave them, with tokenizers, whose outputs have closed forms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = ["oba", "##ma", "lives", "in", "paris", ",", "not", "berlin", "a", "good", "bad", "film", "and", "the", "saw"]
ADDED = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROWS, WIDTH = len(ADDED) + len(WORDS), 6
_RNG = np.random.default_rng(0)
TABLE = _RNG.normal(size=(ROWS, WIDTH)).astype(np.float32)
MIX = (0.5 * _RNG.normal(size=(WIDTH, WIDTH))).astype(np.float32)
LABELS = {"0": "O", "1": "B-PER", "2": "B-LOC"}
HEAD = _RNG.normal(size=(WIDTH, len(LABELS))).astype(np.float32)
TO_IDS = _RNG.normal(size=(WIDTH, ROWS)).astype(np.float32)

MEAN, SUM = "m = ReduceMean <keepdims = 1> (e, time)", "m = CumSum (e, axis)"
"""How a token looks at others: at all of them, or at those before it."""

ENDS = {
    "labels": (f"float[B, T, {len(LABELS)}] logits", "logits = MatMul (h, head)"),
    "vocabulary": (f"float[B, T, {ROWS}] logits", "logits = MatMul (h, to_ids)"),
    "vectors": (f"float[B, T, {WIDTH}] last_hidden_state", "last_hidden_state = Identity (h)"),
    "pooled": (f"float[B, {WIDTH}] sentence_embedding", "sentence_embedding = ReduceMean <keepdims = 0> (h, time)"),
    "classes": ("float[B, 3] logits", "p = ReduceMean <keepdims = 0> (h, time) logits = MatMul (p, head)"),
}


def proto(end: str, looks: str = MEAN) -> onnx.ModelProto:
    """Return tanh(e + m MIX) of the vectors e of ids and what each looks at, m, with one of the ends behind."""
    output, last = ENDS[end]
    made = onnx.parser.parse_model(
        f"""<ir_version: 10, opset_import: ["" : 21]> g (int64[B, T] input_ids) => ({output}) {{
        e = Gather (table, input_ids) {looks} q = MatMul (m, mix) s = Add (e, q) h = Tanh (s) {last} }}"""
    )
    arrays = {"table": TABLE, "mix": MIX, "head": HEAD, "to_ids": TO_IDS, "time": np.array([1]), "axis": np.array(1)}
    read = {name for node in made.graph.node for name in node.input}
    made.graph.initializer.extend(onnx.numpy_helper.from_array(a, n) for n, a in arrays.items() if n in read)
    return made


def bag() -> onnx.ModelProto:
    """Return a bag of words: the logits are the sum over tokens of what each of them counts for, TABLE @ HEAD."""
    made = onnx.parser.parse_model(
        f"""<ir_version: 10, opset_import: ["" : 21]> g (int64[B, T] input_ids) => (float[B, {len(LABELS)}] logits) {{
        e = Gather (table, input_ids) s = ReduceSum <keepdims = 0> (e, time) logits = MatMul (s, head) }}"""
    )
    arrays = {"table": TABLE, "head": HEAD, "time": np.array([1])}
    made.graph.initializer.extend(onnx.numpy_helper.from_array(a, n) for n, a in arrays.items())
    return made


def tokenizer() -> Tokenizer:
    """Return a WordPiece tokenizer of WORDS that puts [CLS] and [SEP] round a text."""
    found = Tokenizer(models.WordPiece({w: i for i, w in enumerate((*ADDED, *WORDS))}, unk_token="[UNK]"))
    found.normalizer = normalizers.BertNormalizer()
    found.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    found.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    found.add_special_tokens(list(ADDED))
    return found


def written(folder: Path, model: onnx.ModelProto, **beside: Any) -> Path:
    """Write a model with a tokenizer and other files of JSON beside it; return its path."""
    folder.mkdir(exist_ok=True)
    onnx.save(model, folder / "model.onnx")
    tokenizer().save(str(folder / "tokenizer.json"))
    for name, content in beside.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder / "model.onnx"


def ids(text: str) -> NDArray[np.int64]:
    """Return the ids of a text, [1, T]."""
    return np.array([tokenizer().encode(text).ids])


def hidden(text: str) -> NDArray[np.float64]:
    """Return h of a model whose tokens look at all of them, float64 [T, WIDTH]."""
    e = TABLE[ids(text)[0]].astype(np.float64)
    return np.tanh(e + e.mean(0) @ MIX.astype(np.float64))


def slope(text: str, position: int, weights: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the gradient of h[position] . weights at the vectors, [WIDTH, T]."""
    h = hidden(text)
    own = (1 - h[position] ** 2) * weights
    found = np.tile(MIX.astype(np.float64) @ own / len(h), (len(h), 1))
    found[position] += own
    return found.T
