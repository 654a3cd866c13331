"""NumPy's files: one reader for all that is read of them, and one sentence for each way in which one is broken."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from onnxsal.errors import ImageError, UsageError
from onnxsal.evaluation.sources import Stored, Subject
from onnxsal.modalities.image.masks import read_mask
from onnxsal.modalities.npy import is_npy, opened, read_array, read_file
from onnxsal.modalities.registry import Sample
from onnxsal.model.constants import Constant
from onnxsal.tasks.embedding import Embedding, Like

ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3)


def stored(path: Path) -> object:
    """Read a map that was made elsewhere."""
    source, sample = Stored("maps", path.parent, {"photo": path}), Sample(ARRAY[None], "photo")
    return source.map(Subject(sample, "photo", None, None)).saliency  # type: ignore[arg-type]


def reference(path: Path) -> object:
    """Read a vector that an embedding is compared with."""
    return Embedding("e", "e", 6, "", proven=True).looked_at(Like(path), lambda thing: {"dot": thing.reshape(-1)})


READERS: dict[str, Callable[[Path], object]] = {
    "": lambda path: read_array(path, "an array").array, "the map: ": stored, "the mask: ": read_mask,
    "input 'state': ": lambda path: Constant.of(str(path), "state").array, "the reference: ": reference,
}  # fmt: skip
"""What is read, by what its messages open with."""


def header(text: str) -> bytes:
    line = text.ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(line).to_bytes(2, "little") + line + bytes(24)


BROKEN = {
    "text": b"no array", "nothing": b"", "magic alone": b"\x93NUMPY", "cut header": header("{'shape': (2,"),
    "no array in it": header("{'descr': '|O', 'fortran_order': False, 'shape': (2, 3), }"),
    "too few numbers": header("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 300), }"),
    "archive cut off": b"PK\x03\x04" + bytes(40),
}  # fmt: skip


@pytest.mark.parametrize("contents", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("opening", READERS, ids=lambda text: text.strip(": ") or "an array")
def test_a_broken_file_is_one_sentence(tmp_path: Path, opening: str, contents: bytes) -> None:
    path = tmp_path / "broken.npy"
    path.write_bytes(contents)
    with pytest.raises(ImageError, match=f"^{opening}'.*broken.npy' is no array that NumPy can read: ."):
        READERS[opening](path)


def test_a_mask_of_more_pixels_than_there_can_be_is_one_sentence(tmp_path: Path) -> None:
    """Pillow's refusal is no OSError, and its other complaints of damaged pictures are of many kinds."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 1 << 20, 1 << 20, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head)) + bytes(4) + b"IDAT" + bytes(4)
    (tmp_path / "mask.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk)
    with pytest.raises(ImageError, match=r"^the mask '.*mask\.png' cannot be read: .*exceeds limit"):
        read_mask(tmp_path / "mask.png")


@pytest.mark.parametrize(("contents", "why"), [(b"no array", r"it begins with b'no array', and an \.npy file with"),
                         (b"\x89PNG\r\n\x1a\n", r"it begins with b'\\x89PNG"), (b"", "it is empty")])  # fmt: skip
def test_nobody_is_told_to_unpickle_what_is_no_array(tmp_path: Path, contents: bytes, why: str) -> None:
    (tmp_path / "broken.npy").write_bytes(contents)
    with pytest.raises(ImageError, match=why) as raised:
        read_file(tmp_path / "broken.npy")
    assert "pickle" not in str(raised.value)


@pytest.mark.parametrize("opening", READERS, ids=lambda text: text.strip(": ") or "an array")
def test_several_arrays_are_none(tmp_path: Path, opening: str) -> None:
    path = tmp_path / "several.npy"
    with path.open("wb") as file:
        np.savez(file, a=ARRAY, b=ARRAY)
    with pytest.raises(ImageError, match=f"^{opening}'.*several.npy' holds several arrays; name an .npy file of one"):
        READERS[opening](path)


@pytest.mark.parametrize("opening", [each for each in READERS if "input" not in each])
def test_a_missing_file_names_its_nearest(tmp_path: Path, opening: str) -> None:
    np.save(tmp_path / "array.npy", ARRAY)
    with pytest.raises(ImageError, match=f"^{opening}no such file: '.*aray.npy'.*did you mean 'array.npy'"):
        READERS[opening](tmp_path / "aray.npy")


@pytest.mark.parametrize("opening", READERS, ids=lambda text: text.strip(": ") or "an array")
def test_capitals_are_an_ending_too(tmp_path: Path, opening: str) -> None:
    path = tmp_path / "ARRAY.NPY"
    with path.open("wb") as file:
        np.save(file, ARRAY)
    READERS[opening](path)
    assert is_npy(path) and is_npy(str(path)) and not is_npy(ARRAY)
    np.testing.assert_array_equal(opened(path), ARRAY)
    np.testing.assert_array_equal(read_file(path), ARRAY)


def test_what_is_neither_is_refused() -> None:
    with pytest.raises(UsageError, match="what is explained is an array or an"):
        read_array([1.0], "what is explained is an array")
