"""Files of pictures and texts: similarities and their gradients against closed forms, words and pictures held."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

import onnxsal
from onnxsal.cli import main
from onnxsal.errors import ImageError, UsageError

RNG = np.random.default_rng(0)
WORDS = ["[PAD]", "[UNK]", "[CLS]", "a", "red", "cat", "dog,", "tree"]
SIDE, WIDTH, SCALE = 4, 5, 7.0
TABLE = RNG.normal(0, 1, (len(WORDS), WIDTH)).astype(np.float32)
WEIGHTS = RNG.normal(0, 1, (3 * SIDE * SIDE, WIDTH)).astype(np.float32)
PICTURES = RNG.normal(0, 1, (2, 3, SIDE, SIDE)).astype(np.float32)

MODEL = """<ir_version: 10, opset_import: ["" : 21]>
g (int64[TEXT, T] input_ids, float[PICTURE, 3, 4, 4] pixel_values, int64[TEXT, T] attention_mask) => (
    float[PICTURE, TEXT] logits_per_image, float[TEXT, PICTURE] logits_per_text, float[TEXT, 5] text_embeds,
    float[PICTURE, 5] image_embeds)
<int64[1] one = {1}, int64[1] two = {2}, float scale = {7.0}> {
    e = Gather (table, input_ids)
    t = Tanh (e)
    m = Cast <to = 1> (attention_mask)
    u = Unsqueeze (m, two)
    tm = Mul (t, u)
    ts = ReduceSum <keepdims = 0> (tm, one)
    tn = ReduceL2 <keepdims = 1> (ts, one)
    text_embeds = Div (ts, tn)
    f = Flatten (pixel_values)
    s = Tanh (f)
    i = MatMul (s, w)
    n = ReduceL2 <keepdims = 1> (i, one)
    image_embeds = Div (i, n)
    across = Transpose <perm = [1, 0]> (image_embeds)
    product = MatMul (text_embeds, across)
    logits_per_text = Mul (product, scale)
    logits_per_image = Transpose <perm = [1, 0]> (logits_per_text)
}"""

NAMES = {
    "two names": ("PICTURE", "TEXT"),
    "one name": ("batch", "batch"),
    "no names": ("?", "?"),
}
"""What a file calls the axes of pictures and of texts."""


def write(folder: Path, names: str = "two names") -> str:
    """Write the model, its tokenizer and what prepares its pictures; return the path of the first."""
    proto = onnx.parser.parse_model(MODEL)
    called = dict(zip(("PICTURE", "TEXT"), NAMES[names], strict=True))
    for value in (*proto.graph.input, *proto.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param and names == "no names":
                dim.ClearField("dim_param")
            elif dim.dim_param:
                dim.dim_param = called.get(dim.dim_param, dim.dim_param)
    for name, array in {"table": TABLE, "w": WEIGHTS}.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    onnx.save(proto, folder / "both.onnx")
    tokenizers = pytest.importorskip("tokenizers", reason="words need the extra text")
    own = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    own.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    own.add_special_tokens(WORDS[:3])
    own.post_processor = tokenizers.processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 2)])
    own.save(str(folder / "tokenizer.json"))
    said = {"do_resize": True, "size": {"height": SIDE, "width": SIDE}, "do_rescale": True, "do_normalize": True,
            "image_mean": [0.5] * 3, "image_std": [0.25] * 3}  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    return str(folder / "both.onnx")


def embedded(ids: list[int]) -> np.ndarray:
    """Return a text's vector before it is made one long."""
    return np.tanh(TABLE[ids].astype(np.float64)).sum(0)


def seen(picture: np.ndarray) -> np.ndarray:
    """Return a picture's vector before it is made one long."""
    return np.tanh(picture.astype(np.float64).reshape(-1)) @ WEIGHTS


def slope(of: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Return the gradient of SCALE times the cosine of two vectors with respect to the first."""
    length, unit = np.linalg.norm(of), like / np.linalg.norm(like)
    return SCALE * (unit - (of @ unit) / length**2 * of) / length


def logit(picture: np.ndarray, ids: list[int]) -> float:
    """Return the similarity of both, times SCALE."""
    a, b = seen(picture), embedded(ids)
    return float(SCALE * a @ b / np.linalg.norm(a) / np.linalg.norm(b))


TEXTS = {"a cat": [2, 3, 5], "a red dog,": [2, 3, 4, 6], "tree": [2, 7]}
"""Of three lengths, one with a comma: a name is not a list of synonyms."""


@pytest.mark.parametrize("names", list(NAMES))
def test_a_picture_is_compared_with_each_of_the_words_that_are_held(names: str, tmp_path: Path) -> None:
    model = onnxsal.load(write(tmp_path, names), inputs={"input_ids": list(TEXTS)})
    picture = PICTURES[0]
    shown = {each.label: each.logit for each in model.predict(picture)}
    assert shown == {text: pytest.approx(logit(picture, ids), rel=1e-4) for text, ids in TEXTS.items()}
    for text, ids in TEXTS.items():
        found = onnxsal.explain(model, picture, method="gradient", target=text)
        wanted = (1 - np.tanh(picture.astype(np.float64)) ** 2) * (
            WEIGHTS @ slope(seen(picture), embedded(ids))
        ).reshape(picture.shape)
        np.testing.assert_allclose(found.raw, wanted, rtol=1e-3, atol=1e-5 * np.abs(wanted).max())
    one = onnxsal.load(model.name, inputs={"input_ids": "a cat"})
    (number,) = one.predict(picture)
    assert (number.label, number.logit) == ("a cat", pytest.approx(logit(picture, TEXTS["a cat"]), rel=1e-4))
    covered = onnxsal.explain(one, picture, method="occlusion", patch=2, stride=2, baseline="zero", batch_size=4)
    for (y, x), drop in np.ndenumerate(covered.raw):  # each cell of the four alone
        without = picture.copy()
        without[:, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2] = 0
        assert drop == pytest.approx(logit(picture, TEXTS["a cat"]) - logit(without, TEXTS["a cat"]), abs=1e-4)


@pytest.mark.parametrize("names", list(NAMES))
def test_words_are_explained_by_the_pictures_that_are_held(names: str, tmp_path: Path) -> None:
    path = write(tmp_path, names)
    for pictures in (PICTURES[:1], PICTURES):
        model = onnxsal.load(path, explained="input_ids", inputs={"pixel_values": pictures})
        at = len(pictures) - 1
        found = onnxsal.explain(model, {"input_ids": "a red dog,"}, method="gradient", target=at)
        ids = TEXTS["a red dog,"]
        wanted = slope(embedded(ids), seen(pictures[at])) * (1 - np.tanh(TABLE[ids].astype(np.float64)) ** 2)
        assert found.logit == pytest.approx(logit(pictures[at], ids), rel=1e-4)
        np.testing.assert_allclose(found.raw, wanted.T, rtol=1e-3, atol=1e-5)
    one = {"pixel_values": PICTURES[:1]}  # logits of texts and of pictures are one number, and nothing is asked
    assert not onnxsal.load(path, explained="input_ids", inputs=one, activation="sigmoid").question


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path)
    photo = np.full((SIDE, SIDE, 3), (255, 0, 0), np.uint8)
    Image.fromarray(photo).save(tmp_path / "red.png")
    values = ((photo / 255 - 0.5) / 0.25).transpose(2, 0, 1)
    assert main(["predict", path, str(tmp_path / "red.png"), "--input", 'input_ids=["a cat", "tree"]', "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["results"][0]["classes"]
    assert {r["label"]: r["logit"] for r in rows} == {t: pytest.approx(logit(values, TEXTS[t]), rel=1e-4)
                                                       for t in ("a cat", "tree")}  # fmt: skip
    held = ["--explained", "input_ids", "--input", f"pixel_values={tmp_path / 'red.png'}"]
    assert main(["explain", path, "a cat", *held, "-m", "gradient", "--npz", str(tmp_path / "map.npz"), "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["explanations"]
    assert told["logit"] == pytest.approx(logit(values, TEXTS["a cat"]), rel=1e-4)
    assert re.search(r"red\.png, prepared by \S*preprocessor_config\.json", json.dumps(told["manifest"]))


def test_what_cannot_be_held_is_said(tmp_path: Path) -> None:
    path = write(tmp_path)
    with pytest.raises(ImageError, match=r"no such file: 'gone.txt'"):
        onnxsal.load(path, inputs={"input_ids": "gone.txt"})
    with pytest.raises(UsageError, match="is empty"):
        onnxsal.load(path, inputs={"input_ids": ["a cat", " "]})
    with pytest.raises(ImageError, match=r"gone.png"):
        onnxsal.load(path, explained="input_ids", inputs={"pixel_values": "gone.png"})
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(UsageError, match=r"are words, and there is no tokenizer.json"):
        onnxsal.load(path, inputs={"input_ids": "a cat"})
