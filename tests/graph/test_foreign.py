"""Files of other kinds are named as what they are, with what to do; nothing in them is run."""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper

from onnxsal.errors import ModelError
from onnxsal.graph import load_ir


def packed(*names: str) -> bytes:
    """Return a zip archive of files with these names."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in names:
            archive.writestr(name, "something")
    return made.getvalue()


def tarred() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.onnx"))
    return made.getvalue()


def array(**arrays: np.ndarray) -> bytes:
    made = io.BytesIO()
    np.savez(made, **arrays)
    return made.getvalue()


class Trap:
    """Unpickled, it would fail the test."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('it was run')",)


OLD_TORCH = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2) + pickle.dumps(1001, protocol=2)
WEIGHTS = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}  '
OTHERS = {
    "net.pt": (packed("net/data.pkl", "net/version"), "is a PyTorch checkpoint.*torch.onnx.export"),
    "script.pt": (packed("a/data.pkl", "a/constants.pkl"), "is a TorchScript model.*torch.jit.load"),
    "program.pt2": (packed("p/archive_format", "p/models/model.json"), "is a PyTorch exported program"),
    "old.pth": (OLD_TORCH, "PyTorch checkpoint in the format before 1.6"),
    "forest.pkl": (pickle.dumps({"sklearn": 1}), "scikit-learn model.*skl2onnx"),
    "trap.pkl": (pickle.dumps(Trap()), "is a Python pickle.*opens none"),
    "net.keras": (packed("metadata.json", "config.json", "model.weights.h5"), "is a Keras model"),
    "net.h5": (b"\x89HDF\r\n\x1a\n" + bytes(99), "HDF5 file.*Keras"),
    "net.tflite": (b"\x1c\0\0\0TFL3" + bytes(99), "TensorFlow Lite model.*--tflite"),
    "net.safetensors": (struct.pack("<Q", len(WEIGHTS)) + WEIGHTS + bytes(4), "file of weights .safetensors.*no graph"),
    "export.zip": (packed("labels.txt", "export/model.onnx"), "holds 'export/model.onnx'.*unpack it"),
    "net.mar": (packed("MAR-INF/MANIFEST.json", "net.pt"), "TorchServe"),
    "saved.zip": (packed("m/saved_model.pb"), "zip archive of a TensorFlow SavedModel.*--saved-model"),
    "arrays.npz": (array(a=np.zeros(3)), "NumPy archive"),
    "other.zip": (packed("readme"), "zip archive.*no .onnx file is in it"),
    "cut.zip": (packed("net/data.pkl")[:40], "zip archive .a PyTorch checkpoint.*damaged or cut short"),
    "net.tar": (tarred(), "is a tar archive.*unpack it"),
    "net.tar.gz": (b"\x1f\x8b\x08" + bytes(99), "compressed with gzip.*unpack it"),
    "net.gguf": (b"GGUF" + bytes(99), "GGUF"),
    "net.enc": (b"Salted__" + bytes(99), "encrypted .openssl.*decrypt it first"),
    "picture.webp": (b"RIFF" + bytes(99), "WebP picture.*the model comes first, then the picture"),
    "pointer.onnx": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer.*git lfs pull"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_files_of_other_kinds(tmp_path: Path, name: str) -> None:
    data, said = OTHERS[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ModelError, match=said) as caught:
        load_ir(tmp_path / name)
    assert "not an ONNX model" in str(caught.value)


def small() -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(name, 1, ["n", 3]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def converted(source: str, target: Path) -> None:
    """Let ONNX Runtime write what it made of a file, in the format that the target's name says."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.optimized_model_filepath = str(target)
    ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def test_onnx_runtimes_own_format_and_the_way_back(tmp_path: Path) -> None:
    """What the message tells is what works."""
    onnx.save(small(), tmp_path / "m.onnx")
    converted(str(tmp_path / "m.onnx"), tmp_path / "m.ort")
    with pytest.raises(
        ModelError, match=r"own format \(.ort\).*optimized_model_filepath='model.onnx'.*ORT_DISABLE_ALL"
    ):
        load_ir(tmp_path / "m.ort")
    converted(str(tmp_path / "m.ort"), tmp_path / "model.onnx")
    assert [node.op_type for node in load_ir(tmp_path / "model.onnx").graph] == ["Relu"]


def test_folders_name_the_models_in_them(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is a folder; name the .onnx file in it$"):
        load_ir(tmp_path)
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(ModelError, match=r"folder, a TensorFlow SavedModel.*--saved-model"):
        load_ir(tmp_path)
    onnx.save(small(), tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=r"name the .onnx file in it: 'm\.onnx'$"):
        load_ir(tmp_path)
    package = tmp_path / "m.mlpackage"
    (package / "Data").mkdir(parents=True)
    (package / "Manifest.json").touch()
    with pytest.raises(ModelError, match="a Core ML package"):
        load_ir(package)
