"""What a file that is not a picture is instead, said so that the reader sees the mistake at once."""

from __future__ import annotations

_KNOWN = (
    (b"%PDF", "it is a PDF; save the page as PNG"),
    (b"PK\x03\x04", "it is a ZIP archive; unpack it first"),
    (b"\x1f\x8b", "it is compressed (gzip); unpack it first"),
    (b"\x93NUMPY", "it is a numpy file; load it and hand the array over in Python"),
    (b"\x89HDF", "it is an HDF5 file"),
)
_PICTURES = (
    (0, b"\x89PNG"), (0, b"\xff\xd8\xff"), (8, b"WEBP"), (0, b"GIF8"), (0, b"BM"), (0, b"II*\0"), (0, b"MM\0*"),
    (0, b"II+\0"), (0, b"MM\0+"), (4, b"ftypavi"), (0, b"\0\0\0\x0cjP  "),
)  # fmt: skip
"""Where the kinds of pictures that are read have what tells them."""
_LATEST_IR = 30


def is_picture(content: bytes) -> bool:
    """Return whether bytes begin as the file of a picture does; no text and no JSON does."""
    return any(content.startswith(magic, at) for at, magic in _PICTURES)


def what_is(head: bytes, suffix: str) -> str:
    """Return a clause on what the file holds, from its first bytes and its suffix."""
    if suffix.lower() == ".onnx" or _looks_like_onnx(head):
        return "it is an ONNX model: the model comes first, then the picture"
    if head[4:8] == b"ftyp" and head[8:12] != b"avif":
        return "it is a film or a HEIC photograph; save it as JPEG or PNG"
    for magic, said in _KNOWN:
        if head.startswith(magic):
            return said
    return _as_text(head)


def _looks_like_onnx(head: bytes) -> bool:
    """Field 1 of ModelProto, the IR version, as a small number, followed by a length-delimited or varint field."""
    return len(head) > 2 and head[0] == 0x08 and 0 < head[1] < _LATEST_IR and head[2] in (0x12, 0x1A, 0x22, 0x2A, 0x3A)


def _as_text(head: bytes) -> str:
    text = head.decode("utf-8", errors="replace")[:-4] or head.decode("utf-8", errors="replace")
    if "<svg" in text:
        return "it is an SVG drawing; save it as PNG"
    if "\ufffd" in text or any(ord(letter) < 32 and letter not in "\t\n\r\f" for letter in text):
        return "its format is unknown, or the file is damaged"
    return "it is a text file"
