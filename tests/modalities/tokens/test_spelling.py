"""Tokens as people read them: the package's own decoders and places are the measure, and no byte is lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import tiny_texts as tiny

import onnxsal
from onnxsal.modalities.tokens.tokenizer import Tokenizer, beside

tokenizers = pytest.importorskip("tokenizers", reason="words need the extra text")

SEEN = "der film ist schön — 映画 und 猫 film"
TEXT = f"{SEEN} 鳥"
CORPUS = [SEEN, "a good film, a bad film", "映画 的 猫 schöne filme"] * 3


def trained(kind: str, path: Path) -> Tokenizer:
    """Return a tokenizer of a kind that vocabularies are written in, read as ``onnxsal`` reads one."""
    models, before, decoders = tokenizers.models, tokenizers.pre_tokenizers, tokenizers.decoders
    if kind == "WordPiece":
        own = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
        own.pre_tokenizer, own.decoder = before.WhitespaceSplit(), decoders.WordPiece(cleanup=False)
        made = tokenizers.trainers.WordPieceTrainer(vocab_size=90, special_tokens=["[UNK]"], show_progress=False)
    elif kind == "ByteLevel":
        own = tokenizers.Tokenizer(models.BPE())
        own.pre_tokenizer, own.decoder = before.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
        made = tokenizers.trainers.BpeTrainer(
            vocab_size=280, initial_alphabet=before.ByteLevel.alphabet(), show_progress=False
        )
    else:
        names = ["<unk>", *(f"<0x{n:02X}>" for n in range(256)), *"▁abdefilmnrstu", "fi"]
        vocabulary = {name: i for i, name in enumerate(names)}
        own = tokenizers.Tokenizer(models.BPE(vocabulary, [("f", "i")], byte_fallback=True, unk_token="<unk>"))
        own.pre_tokenizer = before.Metaspace(prepend_scheme="never")
        own.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
        made = None
    if made is not None:
        own.train_from_iterator(CORPUS, made)
    own.save(str(path / "tokenizer.json"))
    found = beside(str(path / "model.onnx"))
    assert isinstance(found, Tokenizer)
    return found


@pytest.mark.parametrize("kind", ["ByteLevel", "Metaspace", "WordPiece"])
def test_ids_are_the_text_that_they_were_made_of(kind: str, tmp_path: Path) -> None:
    own = trained(kind, tmp_path)
    given = SEEN if kind == "WordPiece" else TEXT
    read = own.read(given)
    text, pieces = own.written_out(read.ids.tolist())
    assert text == tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json")).decode(read.ids.tolist()) == given
    assert pieces == read.pieces


def test_bytes_of_a_character_are_one_word_and_targets_are_written_either_way(tmp_path: Path) -> None:
    """Three tokens make a character that is in no vocabulary: nobody is shown a third of it."""
    model = tiny.proto("vocabulary", tiny.SUM)
    path = tiny.written(tmp_path / "writer", model)
    own = trained("ByteLevel", path.parent)
    rows = 280
    for array in model.graph.initializer:
        if array.name in ("table", "to_ids"):
            shape = (rows, tiny.WIDTH) if array.name == "table" else (tiny.WIDTH, rows)
            made = np.random.default_rng(0).normal(size=shape).astype(np.float32)
            array.CopyFrom(onnx.numpy_helper.from_array(made, array.name))
    model.graph.output[0].type.tensor_type.shape.dim[2].dim_value = rows
    onnx.save(model, path)
    ids = own.read(TEXT).ids
    opened = onnxsal.load(path)
    assert opened.labels is not None and not any("�" in name for name in opened.labels.names)
    found = [onnxsal.explain(opened, given, method="gradient", target="next") for given in (TEXT, ids)]
    words = [[word for word, _ in each.words()] for each in found]
    assert words[0] == words[1] == TEXT.split()
    sums = np.linalg.norm(found[0].raw, axis=0)
    parts = [i for i, piece in enumerate(found[0].sample.pieces) if piece.start >= len(SEEN)]
    assert len(parts) == len(" 鳥".encode())
    assert dict(found[0].words())["鳥"] == pytest.approx(sums[parts].sum(), rel=1e-5)
    number = own._own.token_to_id("Ġfilm")
    for written in (" film", "film", "Ġfilm"):
        assert onnxsal.explain(opened, TEXT, method="gradient", target=written).target == number
    half = next(name for name in opened.labels.names if name == "<0xC3>")
    assert onnxsal.explain(opened, TEXT, method="gradient", target="Ã").label == repr(half)
