"""Every usual kind of picture is served, and every bad one ends in one clear message."""

from __future__ import annotations

import io
import random
import struct
import tempfile
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
from PIL import Image

import onnxsal
from onnxsal.errors import ImageError, UsageError
from onnxsal.modalities.image import read_image


def gradient(height: int = 6, width: int = 8) -> np.ndarray:
    """A picture in which every pixel and channel differs."""
    return np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3)


def saved(folder: Path, image: Image.Image, name: str, **options: object) -> Path:
    image.save(folder / name, **options)
    return folder / name


def pixels(source: object) -> np.ndarray:
    return np.asarray(read_image(source).pixels)  # type: ignore[arg-type]


def test_rgb_comes_through_untouched_and_without_notes(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(gradient()), "rgb.png")
    photo = read_image(path)
    assert (photo.pixels.mode, photo.name, photo.notes) == ("RGB", "rgb.png", ())
    np.testing.assert_array_equal(np.asarray(photo.pixels), gradient())
    np.testing.assert_array_equal(pixels(str(path)), gradient())


def test_grey_and_one_bit_fill_all_channels(tmp_path: Path) -> None:
    grey = gradient()[..., 0]
    np.testing.assert_array_equal(pixels(saved(tmp_path, Image.fromarray(grey), "grey.png")), np.dstack([grey] * 3))
    bits = saved(tmp_path, Image.fromarray(grey).point(lambda level: 255 * (level > 60)).convert("1"), "bits.png")
    np.testing.assert_array_equal(pixels(bits), np.dstack([np.where(grey > 60, 255, 0)] * 3))


def test_transparent_palette_entries_become_white(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([200, 10, 30, 0, 90, 0])
    image.putpixel((2, 1), 1)
    photo = read_image(saved(tmp_path, image, "palette.png", transparency=1))
    assert photo.pixels.getpixel((0, 0)) == (200, 10, 30)
    assert photo.pixels.getpixel((2, 1)) == (255, 255, 255)
    assert photo.notes == ("transparent parts are shown on white",)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_half_transparent_black_is_mid_grey(tmp_path: Path, mode: str) -> None:
    colour = (0, 0, 0, 128) if mode == "RGBA" else (0, 128)
    photo = read_image(saved(tmp_path, Image.new(mode, (3, 3), colour), "alpha.png"))
    assert photo.pixels.getpixel((1, 1)) == (127, 127, 127)
    assert photo.notes


def test_an_opaque_alpha_channel_needs_no_note() -> None:
    assert read_image(np.dstack([gradient(), np.full((6, 8), 255, np.uint8)])).notes == ()


def test_cmyk_is_converted(tmp_path: Path) -> None:
    photo = read_image(saved(tmp_path, Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "cmyk.tif"))
    assert photo.pixels.getpixel((8, 8)) == (255, 0, 0)
    assert "CMYK" in photo.notes[0]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path: Path, suffix: str) -> None:
    levels = np.array([[0, 257, 32768], [65535, 65535 // 2, 1000]], np.uint16)
    photo = read_image(saved(tmp_path, Image.fromarray(levels), f"deep.{suffix}"))
    np.testing.assert_array_equal(np.asarray(photo.pixels)[..., 0], np.rint(levels / 257))
    assert "16-bit" in photo.notes[0]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[0.0, 0.5], [1.0, 0.25]], [[0, 128], [255, 64]]),
        ([[0.0, 100.4], [255.0, 3.0]], [[0, 100], [255, 3]]),
        ([[-10.0, 0.0], [10.0, 5.0]], [[0, 128], [255, 191]]),
        ([[7000.0, 7000.0], [7000.0, 7000.0]], [[0, 0], [0, 0]]),
    ],
)
def test_float_grey_is_scaled_from_the_range_it_has(values: list, expected: list) -> None:
    photo = read_image(Image.fromarray(np.array(values, np.float32)))
    np.testing.assert_array_equal(np.asarray(photo.pixels)[..., 2], expected)


def test_wide_integers_are_scaled_from_the_range_they_have(tmp_path: Path) -> None:
    """TIFFs of 32 bits an integer hold bytes, 16 bits or anything: bytes taken as 16 bits would all be black."""
    cases = (
        ([[0, 100], [255, 3]], [[0, 100], [255, 3]], "8 bits"),
        ([[0, 65535], [257, 2570]], [[0, 255], [1, 10]], "16-bit"),
        ([[-100, 0], [100, 70000]], [[0, 0], [1, 255]], "its own range"),
    )
    for values, expected, said in cases:
        photo = read_image(saved(tmp_path, Image.fromarray(np.array(values, np.int32)), "wide.tif"))
        np.testing.assert_array_equal(np.asarray(photo.pixels)[..., 0], expected)
        assert said in photo.notes[0]


def test_float_grey_with_nan_is_refused() -> None:
    with pytest.raises(ImageError, match="not finite"):
        read_image(Image.fromarray(np.array([[1, np.nan], [0, 1]], np.float32)))


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = read_image(saved(tmp_path, Image.fromarray(gradient()), "turned.png", exif=exif))
    np.testing.assert_array_equal(np.asarray(photo.pixels), np.rot90(gradient(), -1))
    assert "EXIF" in photo.notes[0]


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_of_several_frames_the_first_is_used_and_said_so(tmp_path: Path, suffix: str) -> None:
    red, blue = Image.new("RGB", (8, 8), (255, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 255))
    options = {"lossless": True} if suffix == "webp" else {}
    path = saved(tmp_path, red, f"moving.{suffix}", save_all=True, append_images=[blue, red, blue], **options)
    photo = read_image(path)
    assert photo.pixels.getpixel((4, 4)) == (255, 0, 0)
    assert "4" in photo.notes[0]
    assert "first" in photo.notes[0]


@pytest.mark.parametrize("shape", [(6, 8), (6, 8, 1), (6, 8, 3), (6, 8, 4)])
def test_arrays_of_every_accepted_shape(shape: tuple[int, ...]) -> None:
    array = np.full(shape, 255, np.uint8)
    array[2, 3] = 255 if len(shape) == 3 and shape[2] == 4 else 9
    expected = np.full((6, 8, 3), 255)
    expected[2, 3] = array[2, 3].ravel()[0]
    np.testing.assert_array_equal(pixels(array), expected)


@pytest.mark.parametrize("array", [np.zeros((4, 4)), np.zeros((4, 4, 2), np.uint8), np.zeros((1, 4, 4, 3), np.uint8)])
def test_other_arrays_are_a_misuse(array: np.ndarray) -> None:
    with pytest.raises(UsageError, match=r"\[H, W, 3\]"):
        read_image(array)


def test_other_things_are_a_misuse() -> None:
    with pytest.raises(UsageError, match="got list"):
        read_image([1, 2])  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1)])
def test_too_small_a_picture_has_nothing_to_explain(tmp_path: Path, size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match=f"{size[0]} x {size[1]} pixels: nothing to explain"):
        read_image(saved(tmp_path, Image.new("RGB", size), "dot.png"))


def test_an_empty_array_has_nothing_to_explain() -> None:
    with pytest.raises(ImageError, match="nothing to explain"):
        read_image(np.zeros((0, 4, 3), np.uint8))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.png", b"", "empty"),
        ("notes.jpg", b"a shopping list\n" * 20, "text file"),
        ("drawing.png", b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        ("page.png", b"%PDF-1.7\n\x80\x81", "PDF"),
        ("noise.jpg", bytes(range(256)), "format is unknown"),
        ("model.onnx", b"anything at all", "the model comes first, then the picture"),
        ("model.bin", b"\x08\x08\x12\x07pytorch\x1a\x03", "the model comes first, then the picture"),
        ("photo.heic", b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00", "HEIC"),
        ("drawing.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "PostScript"),
    ],
)
def test_files_that_are_no_picture(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=said) as caught:
        read_image(tmp_path / name)
    assert name in str(caught.value)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    saved(tmp_path, Image.fromarray(gradient()), "robin.png")
    with pytest.raises(ImageError, match=r"no such picture.*did you mean 'robin.png'"):
        read_image(tmp_path / "robbin.png")
    with pytest.raises(ImageError, match="does not exist"):
        read_image(tmp_path / "nowhere" / "robin.png")
    with pytest.raises(ImageError, match="folder"):
        read_image(tmp_path)
    with pytest.raises(ImageError, match="null"):
        read_image("a\0b.png")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
def test_truncated_pictures_are_said_to_be_damaged(tmp_path: Path, kind: str) -> None:
    whole = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    Image.fromarray(noise).save(whole, kind)
    path = tmp_path / f"cut.{kind.lower()}"
    path.write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    with pytest.raises(ImageError, match=path.name):
        read_image(path)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_header(side: int) -> bytes:
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(bytes(1000)))


@pytest.mark.parametrize("side", [10_000, 60_000])
def test_decompression_bombs_are_refused_with_size_and_limit(tmp_path: Path, side: int) -> None:
    (tmp_path / "bomb.png").write_bytes(png_header(side))
    said = rf"{side * side:,} pixels is more than the limit of {Image.MAX_IMAGE_PIXELS:,}"
    with pytest.raises(ImageError, match=said):
        read_image(tmp_path / "bomb.png")


def test_arrays_and_pil_pictures_have_the_same_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)
    for source in (gradient(), Image.fromarray(gradient())):
        with pytest.raises(ImageError, match="48 pixels is more than the limit of 40"):
            read_image(source)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TGA", "ICO"])
def test_flipped_bytes_give_a_picture_or_one_clear_error(tmp_path: Path, kind: str) -> None:
    whole, path = io.BytesIO(), tmp_path / f"flipped.{kind.lower()}"
    Image.fromarray(gradient(24, 24)).save(whole, kind)
    dice, outcomes = random.Random(kind), set()
    for _ in range(120):
        damaged = bytearray(whole.getvalue())
        for _ in range(dice.choice([1, 4])):
            damaged[dice.randrange(min(len(damaged), 120))] = dice.randrange(256)
        path.write_bytes(damaged)
        try:
            outcomes.add(read_image(path).pixels.mode)
        except ImageError as error:
            outcomes.add(type(error).__name__)
    assert "ImageError" in outcomes
    assert outcomes <= {"ImageError", "RGB"}


def broken_exif(path: Path) -> Path:
    """A JPEG whose EXIF block promises an entry that is not there: Pillow warns, and reads the picture."""
    exif = b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x05\x00\x1a\x01"
    Image.new("RGB", (8, 6), (200, 30, 10)).save(path, exif=exif)
    return path


def test_pillow_warns_through_the_filters_of_the_host(tmp_path: Path) -> None:
    path = broken_exif(tmp_path / "a.jpg")
    with pytest.warns(UserWarning, match="Corrupt EXIF"):
        assert read_image(path).pixels.size == (8, 6)
    with pytest.raises(ImageError, match=r"a.jpg'.*Pillow warns of it, and your filters.*Corrupt EXIF"):
        read_image(path)  # tests make warnings errors


def test_the_filters_of_the_process_are_never_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (8, 6)).save(tmp_path / "a.png")
    before = list(warnings.filters)
    for name in ("catch_warnings", "simplefilter", "filterwarnings", "resetwarnings"):
        monkeypatch.setattr(warnings, name, lambda *_, **__: pytest.fail("other threads would see it"))
    for source in (tmp_path / "a.png", Image.new("RGB", (8, 6)), np.zeros((8, 6, 3), np.uint8)):
        read_image(source)
    assert warnings.filters == before


def encoded(kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview, io.BytesIO], ids=lambda wrap: wrap.__name__)
def test_a_picture_files_content_is_that_picture(wrap: Any, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded())
    found, expected = read_image(wrap(encoded())), read_image(tmp_path / "a.png")
    assert found.pixels.tobytes() == expected.pixels.tobytes()
    assert found.name == ("picture" if wrap is io.BytesIO else "bytes")


def test_an_open_file_is_read_from_where_it_stands_and_left_open(tmp_path: Path) -> None:
    (tmp_path / "two.bin").write_bytes(b"head" + encoded("GIF"))
    with open(tmp_path / "two.bin", "rb") as file:
        file.seek(4)
        assert read_image(file).name == "two.bin" and not file.closed
        with pytest.raises(ImageError, match=r"'two.bin'.*a file that was read before is at its end"):
            read_image(file)
    with pytest.raises(ImageError, match=r"cannot read 'two.bin': read of closed file"):
        read_image(file)


def test_a_member_of_an_archive_and_a_nameless_file_are_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("deep/dog.png", encoded())
        with archive.open("deep/dog.png") as member:
            assert read_image(member).name == "dog.png"
    with tempfile.TemporaryFile() as file:  # its name is a number
        file.write(encoded())
        file.seek(0)
        assert read_image(file).name == "picture"


def test_content_that_is_no_picture_is_said_to_be_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"'bytes' is not a picture that can be read: it is a text file"):
        read_image(b"hello, this is text")
    with pytest.raises(ImageError, match=r"the picture 'bytes' is damaged or truncated"):
        read_image(encoded("JPEG")[:200])
    (tmp_path / "a.png").write_bytes(encoded())
    with open(tmp_path / "a.png", encoding="latin-1") as file, pytest.raises(UsageError, match=r"'rb'\); got str"):
        read_image(file)  # type: ignore[arg-type]


def test_an_npy_file_is_the_array_that_it_holds(tmp_path: Path) -> None:
    """Of floats it is taken as it is, of bytes it is a picture."""
    opened = onnxsal.load(tiny_models.classifier(), preprocess="unit")
    x = np.random.default_rng(0).uniform(0, 1, (3, *opened.size)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "bytes.npy", np.rint(x.transpose(1, 2, 0) * 255).astype(np.uint8))
    np.testing.assert_array_equal(opened.prepare(tmp_path / "x.npy").x, x)
    assert opened.prepare(tmp_path / "x.npy").name == "x.npy"
    np.testing.assert_allclose(opened.prepare(str(tmp_path / "bytes.npy")).x, x, atol=0.51 / 255)
    (tmp_path / "text.npy").write_text("no array")
    with pytest.raises(ImageError, match="no array that NumPy can read"):
        opened.prepare(tmp_path / "text.npy")
