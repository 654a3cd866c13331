"""What a file that is no ONNX model is instead, told by its bytes, and what to do with it. Nothing of it is run."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

_TORCH = "export it with torch.onnx.export, in the program that defines the model"
_KERAS = "load it in Keras and write model.export('model.onnx', format='onnx'), or convert it with tf2onnx"
_SAVED = "convert its folder: python -m tf2onnx.convert --saved-model FOLDER --output model.onnx"
_UNPACK = "unpack it, and name the .onnx file in it"
_IMAGE = "the model comes first, then the picture"
_BACK = "name the ONNX file that it was made from, or export the model it came from"
_ORT = (
    "name the .onnx file that it was made from, or let ONNX Runtime write one of it: open it in an InferenceSession "
    "with options.optimized_model_filepath='model.onnx' and options.graph_optimization_level=ORT_DISABLE_ALL"
)

_MAGIC: tuple[tuple[int, bytes, str, str], ...] = (
    (4, b"ORTM", "a model in ONNX Runtime's own format (.ort)", _ORT),
    (4, b"TFL3", "a TensorFlow Lite model", "convert it: python -m tf2onnx.convert --tflite FILE --output model.onnx"),
    (0, b"version https://git-lfs", "a Git LFS pointer", "run `git lfs pull` where it lies"),
    (0, b"\x89HDF", "an HDF5 file (a Keras model?)", _KERAS),
    (0, b"GGUF", "a GGUF file of weights", "export the model it came from to ONNX"),
    (0, b"RKNN", "a model for Rockchip's processors (.rknn)", _BACK),
    (0, b"CBM1", "a CatBoost model", "write it with model.save_model('model.onnx', format='onnx')"),
    (0, b"\x93NUMPY", "a NumPy array", "it may be what a model takes: the model comes first"),
    (0, b"\x89PNG", "a PNG picture", _IMAGE),
    (0, b"\xff\xd8\xff", "a JPEG picture", _IMAGE),
    (0, b"GIF8", "a GIF picture", _IMAGE),
    (0, b"RIFF", "a RIFF file (a WebP picture, or sound?)", _IMAGE),
    (0, b"BM", "a BMP picture", _IMAGE),
    (0, b"%PDF", "a PDF", "name the model's file"),
    (257, b"ustar", "a tar archive", _UNPACK),
    (0, b"\x1f\x8b", "compressed with gzip", _UNPACK),
    (0, b"BZh", "compressed with bzip2", _UNPACK),
    (0, b"\xfd7zXZ\0", "compressed with xz", _UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "compressed with zstd", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (0, b"Rar!", "a RAR archive", _UNPACK),
    (0, b"Salted__", "encrypted (openssl)", "decrypt it first"),
    (0, b"age-encryption.org", "encrypted (age)", "decrypt it first"),
    (0, b"-----BEGIN PGP", "encrypted (PGP)", "decrypt it first"),
    (0, b"\x7fELF", "a library or a program (a model compiled to code?)", _BACK),
)  # fmt: skip

_OLD_TORCH = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"
"""The number that torch.save wrote first before it wrote zip archives, as a pickle holds it."""

_LONGEST_HEADER = 100_000_000


def foreign(data: bytes) -> str:
    """Return ``"a PNG picture, not an ONNX model: ..."`` where the first bytes say so, else an empty string."""
    for offset, magic, what, advice in _MAGIC:
        if data.startswith(magic, offset):
            return _said(what, advice)
    found = next(filter(None, (look(data) for look in _LOOKS)), None)
    return "" if found is None else _said(*found)


def _said(what: str, advice: str) -> str:
    return f"{what}, not an ONNX model: {advice}"


def _safetensors(data: bytes) -> tuple[str, str] | None:
    """Eight bytes for the length of the JSON header, then that."""
    length = int.from_bytes(data[:8], "little")
    if not (
        2 <= length <= min(_LONGEST_HEADER, len(data) - 8)
        and data[8:9] == b"{"
        and data[7 + length : 8 + length] in b"} "
    ):
        return None
    return "a file of weights (safetensors)", f"it holds no graph; {_TORCH} (Hugging Face models: with optimum)"


def _pickle(data: bytes) -> tuple[str, str] | None:
    if len(data) < 16 or data[0] != 0x80 or not 2 <= data[1] <= 5:
        return None
    if data.startswith(_OLD_TORCH, 2):
        return "a PyTorch checkpoint in the format before 1.6", _TORCH
    if b"sklearn" in data[:4096]:
        return "a pickled scikit-learn model", "convert it with skl2onnx, in a program that trusts the pickle"
    return "a Python pickle", "onnxsal opens none; export the model in it to ONNX in the program that wrote it"


def _zip(data: bytes) -> tuple[str, str] | None:
    if not data.startswith(b"PK\x03\x04"):
        return None
    try:
        names = zipfile.ZipFile(io.BytesIO(data)).namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        return "a zip archive (a PyTorch checkpoint?)", "it is damaged or cut short, copy it again"
    return _archive(names)


def _archive(names: list[str]) -> tuple[str, str]:
    """Return what a zip archive is by the names in it; a model that is only packed comes first."""
    if models := [name for name in names if name.lower().endswith(".onnx")]:
        return (
            f"a zip archive that holds {models[0]!r}",
            "unpack it whole and name that file",
        )
    for marks, what, advice in _ARCHIVES:
        if any(name == mark or name.endswith(f"/{mark}") for name in names for mark in marks):
            return what, advice
    if names and all(name.endswith(".npy") for name in names):
        return "a NumPy archive (.npz)", "name the model's file"
    return "a zip archive", "no .onnx file is in it: name the model's file"


_ARCHIVES: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (("MANIFEST.json",), "a TorchServe archive (.mar)", _TORCH),
    (("model.weights.h5",), "a Keras model (.keras)", _KERAS),
    (("constants.pkl",), "a TorchScript model", "load it with torch.jit.load and export it with torch.onnx.export"),
    (("archive_format", "serialized_exported_program.json"), "a PyTorch exported program (.pt2)",
     "load it with torch.export.load and write torch.onnx.export(program).save('model.onnx')"),
    (("data.pkl",), "a PyTorch checkpoint", f"it holds weights, and its graph is the program's: {_TORCH}"),
    (("saved_model.pb",), "a zip archive of a TensorFlow SavedModel", _SAVED),
    (("model.mlmodel",), "a Core ML package", _BACK),
)  # fmt: skip

_LOOKS: tuple[Callable[[bytes], tuple[str, str] | None], ...] = (_zip, _pickle, _safetensors)


def in_folder(folder: Path) -> str:
    """Return what to name instead of a folder: the models in it, or what it is where it holds none."""
    models = sorted(path.name for path in folder.iterdir() if path.suffix.lower() == ".onnx")
    if models:
        listed = ", ".join(map(repr, models[:4])) + (f" and {len(models) - 4} more" if len(models) > 4 else "")
        return f"is a folder; name the .onnx file in it: {listed}"
    if (folder / "saved_model.pb").is_file():
        return f"is a folder, a TensorFlow SavedModel, not an ONNX model: {_SAVED}"
    if (folder / "Manifest.json").is_file() and (folder / "Data").is_dir():
        return f"is a folder, a Core ML package, not an ONNX model: {_BACK}"
    return "is a folder; name the .onnx file in it"
