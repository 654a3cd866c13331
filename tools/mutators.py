"""What damage does to a file: to its bytes, to the fields of a model, to JSON, XML, text, pictures and arrays.

A mutator takes the bytes of a file and a ``random.Random``, and returns other bytes; the same seed gives the same.
"""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from random import Random
from typing import Any
from xml.etree import ElementTree

import numpy as np
import onnx
from google.protobuf.descriptor import FieldDescriptor as Field
from PIL import Image

Mutator = Callable[[bytes, Random], bytes]

NUMBERS = (0, 1, -1, 2, 3, 7, 127, 128, 255, 256, 65535, 2**31 - 1, 2**31, -(2**31), 2**40, 2**63 - 1, -(2**63))
FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 1e38, -1e38, float("inf"), float("-inf"), float("nan"))
WORDS = (
    "",
    " ",
    "x",
    "..",
    "../x",
    "/dev/null",
    "a\nb",
    "\0",
    "é",
    "😀" * 3,
    "%s{0}",
    "[red]",
    "x" * 5000,
    "ai.onnx.ml",
    "Relu",
    "If",
    "Loop",
    "picture",
    "logits",
    "-1",
    "nan",
    "1e999",
    "true",
    "null",
    "١٢",
)


def flipped(data: bytes, rng: Random) -> bytes:
    """Return the bytes with one to ten of them changed."""
    found = bytearray(data or b"\0")
    for _ in range(rng.choice((1, 1, 3, 10))):
        found[rng.randrange(len(found))] = rng.randrange(256)
    return bytes(found)


def cut(data: bytes, rng: Random) -> bytes:
    """Return the bytes up to somewhere."""
    return data[: rng.randrange(len(data) + 1)]


def spliced(data: bytes, rng: Random) -> bytes:
    """Return the bytes with a piece of them left out, put in twice, or elsewhere."""
    start, end, to = [*sorted(rng.randrange(len(data) + 1) for _ in range(2)), rng.randrange(len(data) + 1)]
    piece = data[start : min(end, start + 400)]
    left = data[:start] + data[start + len(piece) :]
    return rng.choice((left, data[:to] + piece + data[to:], left[:to] + piece + left[to:]))


# -- models ------------------------------------------------------------------------------------------------------------


def fields(data: bytes, rng: Random) -> bytes:
    """Return a model with one to three fields of its messages changed: any field of any message in it."""
    model = onnx.ModelProto.FromString(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        _field(rng.choice(list(_messages(model))), rng)
    return model.SerializeToString()


def _messages(message: Any) -> Iterator[Any]:
    """Yield a message and those in it."""
    yield message
    for field, value in message.ListFields():
        if field.type == Field.TYPE_MESSAGE:
            for each in value if hasattr(value, "extend") else [value]:
                yield from _messages(each)


def _field(message: Any, rng: Random) -> None:
    there = {field.name for field, _ in message.ListFields()}
    pool = (
        message.DESCRIPTOR.fields if rng.random() < 0.2 else [f for f in message.DESCRIPTOR.fields if f.name in there]
    )
    if not pool:
        return
    field = rng.choice(list(pool))
    if rng.random() < 0.15:
        message.ClearField(field.name)
    elif hasattr(getattr(message, field.name), "extend"):
        _repeated(getattr(message, field.name), field, rng)
    elif field.type == Field.TYPE_MESSAGE:
        _message(getattr(message, field.name), rng)
    else:
        setattr(message, field.name, _scalar(field, getattr(message, field.name), rng))


def _repeated(values: Any, field: Any, rng: Random) -> None:
    """Leave out, repeat, exchange or change an element of a list, or add one."""
    at = rng.randrange(len(values)) if values else None
    what = rng.choice(("out", "twice", "swap", "change", "new")) if values else "new"
    if what == "out":
        del values[at]
    elif what == "swap":
        _swap(values, at, rng.randrange(len(values)))
    elif field.type == Field.TYPE_MESSAGE:
        values.add() if what == "new" else values.add().CopyFrom(values[at]) if what == "twice" else _field(
            values[at], rng
        )
    elif what == "change":
        values[at] = _scalar(field, values[at], rng)
    else:
        values.append(values[at] if what == "twice" else _scalar(field, None, rng))


def _swap(values: Any, one: int, other: int) -> None:
    kept = list(values)
    kept[one], kept[other] = kept[other], kept[one]
    copies = [
        each if not hasattr(each, "SerializeToString") else type(each).FromString(each.SerializeToString())
        for each in kept
    ]
    del values[:]
    values.extend(copies)


def _message(message: Any, rng: Random) -> None:
    _field(message, rng) if message.ListFields() else message.SetInParent()


def _scalar(field: Any, old: Any, rng: Random) -> Any:
    """Return another value of a field's type."""
    if field.type == Field.TYPE_STRING:
        return _word(old or "", rng)
    if field.type == Field.TYPE_BYTES:
        return rng.choice((b"", b"\xff\xfe", flipped(old or b"\0", rng), (old or b"") + b"\0", cut(old or b"", rng)))
    if field.type in (Field.TYPE_FLOAT, Field.TYPE_DOUBLE):
        return rng.choice(FLOATS)
    if field.type == Field.TYPE_ENUM:
        return rng.choice(field.enum_type.values).number
    number = rng.choice((*NUMBERS, (old or 0) + 1, (old or 0) - 1, rng.randrange(30)))
    bits = 31 if field.type == Field.TYPE_INT32 else 63
    low = 0 if field.type == Field.TYPE_UINT64 else -(2**bits)
    return max(low, min(2**bits - 1, number))


def _word(old: str, rng: Random) -> str:
    return rng.choice((rng.choice(WORDS), old + "x", old[:-1], old.upper(), old))


def graph(data: bytes, rng: Random) -> bytes:
    """Return a model whose graph is wired otherwise: other inputs, outputs, types, sizes, operators, places."""
    model = onnx.ModelProto.FromString(data)
    if model.graph.node:
        for _ in range(rng.choice((1, 1, 2))):
            rng.choice(GRAPH)(model, rng)
    return model.SerializeToString()


def _rewire(model: Any, rng: Random) -> None:
    """Have a node read any value of the graph: a circle, another shape, another type."""
    nodes, node = model.graph.node, rng.choice(model.graph.node)
    known = [name for each in nodes for name in each.output] + [t.name for t in model.graph.initializer]
    if node.input:
        node.input[rng.randrange(len(node.input))] = rng.choice([*known, *(v.name for v in model.graph.input), ""])


def _operator(model: Any, rng: Random) -> None:
    """Have a node be of another operator, one of the graph's or one that onnx knows."""
    known = [node.op_type for node in model.graph.node]
    schemas = onnx.defs.get_all_schemas()
    rng.choice(model.graph.node).op_type = rng.choice([rng.choice(known), rng.choice(schemas).name])


def _dimension(model: Any, rng: Random) -> None:
    """Have a declared shape say something else."""
    values = [*model.graph.input, *model.graph.output, *model.graph.value_info]
    dims = [dim for value in values for dim in value.type.tensor_type.shape.dim]
    if dims:
        dim = rng.choice(dims)
        if rng.random() < 0.3:
            dim.dim_param = rng.choice(("N", "x y", "", "3", "N*0", "floor(N/2)"))
        else:
            dim.dim_value = rng.choice((0, -1, 1, 2, 5, 17, 2**20, 2**31, 2**40, 2**62))


def _type(model: Any, rng: Random) -> None:
    """Have an input, output or weight be of another type."""
    kinds = onnx.TensorProto.DataType.values()
    if rng.random() < 0.5 and model.graph.initializer:
        rng.choice(model.graph.initializer).data_type = rng.choice(kinds)
    else:
        rng.choice([*model.graph.input, *model.graph.output]).type.tensor_type.elem_type = rng.choice(kinds)


def _weight(model: Any, rng: Random) -> None:
    """Have a weight be of another shape, with as many numbers or not, without numbers, or not finite."""
    if not model.graph.initializer:
        return
    tensor = rng.choice(model.graph.initializer)
    what = rng.randrange(5)
    if what == 0 and tensor.dims:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice((0, 1, 2, 1000, 2**33, -3))
    elif what == 1:
        _swap(tensor.dims, *(rng.randrange(len(tensor.dims)) for _ in range(2))) if tensor.dims else None
    else:
        array = onnx.numpy_helper.to_array(tensor)
        made = (
            array.ravel(),
            array[..., None],
            array[:0] if array.ndim else array,
            np.full_like(array, rng.choice((0, 1, np.nan if array.dtype.kind == "f" else 3))),
        )
        tensor.CopyFrom(onnx.numpy_helper.from_array(rng.choice(made), tensor.name))


def _outside(model: Any, rng: Random) -> None:
    """Say that a weight lies in a file."""
    if not model.graph.initializer:
        return
    tensor = rng.choice(model.graph.initializer)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, value in (
        ("location", rng.choice(("model.onnx", "model.data", "../x", "/etc/hostname", "", "gone"))),
        ("offset", rng.choice(("0", "-1", "7", "99999999999", "x", "1e3"))),
        ("length", rng.choice(("0", "-5", "16", "99999999999999", "y"))),
    )[: rng.choice((1, 2, 3))]:
        tensor.external_data.add(key=key, value=value)


def _opset(model: Any, rng: Random) -> None:
    """Say another version of operators or of the format."""
    if rng.random() < 0.3:
        model.ir_version = rng.choice((0, 1, 3, 4, 8, 11, 13, 99, -1))
    elif model.opset_import:
        rng.choice(model.opset_import).version = rng.choice(
            (-1, 0, 1, 6, 7, 9, 11, 13, 17, 18, 21, 23, 25, 26, 99, 2**40)
        )


def _ports(model: Any, rng: Random) -> None:
    """Add or take an input or an output."""
    g = model.graph
    what = rng.randrange(4)
    if what == 0:
        g.input.add().CopyFrom(onnx.helper.make_tensor_value_info("extra", rng.choice((1, 7, 8, 9)), [None, 3]))
    elif what == 1 and g.input:
        del g.input[rng.randrange(len(g.input))]
    elif what == 2:
        name = rng.choice([o for node in g.node for o in node.output])
        g.output.add().name = name
    elif g.output:
        del g.output[rng.randrange(len(g.output))]


def _said(model: Any, rng: Random) -> None:
    """Write into the model what it is said to be: preprocessing, labels, a detector's names."""
    key = rng.choice(
        (
            "onnxsal.preprocess",
            "onnxsal.labels",
            "names",
            "imgsz",
            "stride",
            "task",
            "classes",
            "labels",
            "kpt_shape",
            "onnxsal.detection",
            "onnxsal.method",
            "Image.BitmapPixelFormat",
            "x",
        )
    )
    value = rng.choice(
        (*WORDS, "{}", "[]", "[1", '{"preset": 3}', "{0: 'a'}", "[640, 640]", "0", "{'a': {", '{"mean": []}')
    )
    model.metadata_props.add(key=key, value=value)


GRAPH: tuple[Callable[[Any, Random], None], ...] = (
    _rewire,
    _rewire,
    _operator,
    _dimension,
    _type,
    _weight,
    _outside,
    _opset,
    _ports,
    _said,
)


# -- trees and lines ---------------------------------------------------------------------------------------------------


def tree(data: bytes, rng: Random) -> bytes:
    """Return JSON with one to three of its values changed, left out, repeated or of another type."""
    held = [json.loads(data)]
    for _ in range(rng.choice((1, 1, 2, 3))):
        _branch(held, rng)
    return json.dumps(held[0]).encode()


def _branch(held: list[Any], rng: Random) -> None:
    places = list(_places(held))
    owner, key = rng.choice(places)
    old = owner[key]
    what = rng.randrange(6)
    if what == 0 and owner is not held:
        del owner[key]
    elif what == 1:
        other, at = rng.choice(places)
        owner[key] = json.loads(json.dumps(other[at]))
    elif what == 2 and isinstance(old, dict) and old:
        name = rng.choice(list(old))
        old[_word(name, rng)] = old.pop(name)
    elif what == 3 and isinstance(old, list) and old:
        old.append(rng.choice(old))
    else:
        owner[key] = rng.choice(
            (
                None,
                True,
                False,
                [],
                {},
                [[]],
                {"x": 1},
                rng.choice(NUMBERS),
                rng.choice(FLOATS),
                _word(str(old)[:40], rng),
                [old],
                [old, old],
                10**400,
                -0.5,
            )
        )


def _places(held: Any) -> Iterator[tuple[Any, Any]]:
    for key in list(held) if isinstance(held, dict) else range(len(held)):
        yield held, key
        if isinstance(held[key], dict | list):
            yield from _places(held[key])


def elements(data: bytes, rng: Random) -> bytes:
    """Return XML with a text, a tag or an element changed, left out or repeated."""
    root = ElementTree.fromstring(data)
    owners = [each for each in root.iter() if len(each)]
    owner = rng.choice(owners)
    child = rng.choice(list(owner))
    what = rng.randrange(4)
    if what == 0:
        owner.remove(child)
    elif what == 1:
        owner.append(child)
    elif what == 2:
        child.tag = rng.choice(("x", "object", "bndbox", "name", "xmin"))
    else:
        child.text = str(rng.choice((*(w for w in WORDS if "\0" not in w), *NUMBERS, *FLOATS)))
    return ElementTree.tostring(root)


def lines(data: bytes, rng: Random) -> bytes:
    """Return text with a line or a cell of it changed, left out, repeated, or in another encoding."""
    rows = data.decode().split("\n")
    at, what = rng.randrange(len(rows)), rng.randrange(7)
    if what == 0:
        del rows[at]
    elif what == 1:
        rows.insert(rng.randrange(len(rows) + 1), rows[at])
    elif what == 2:
        rows[at] = rng.choice(WORDS)
    elif what == 3:
        return "\n".join(rows).encode(rng.choice(("utf-16", "utf-8-sig", "utf-32")))
    else:
        between = rng.choice((",", ";", " ", ":", '"'))
        cells = rows[at].split(between)
        cells[rng.randrange(len(cells))] = str(rng.choice((*WORDS, *NUMBERS, *FLOATS, '"', "'", "[", "{")))
        rows[at] = between.join(cells)
    return "\n".join(rows).encode()


# -- pictures and arrays -----------------------------------------------------------------------------------------------

FORMATS = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "TIFF": ("1", "L", "I;16", "F", "CMYK", "YCbCr", "LAB", "I"),
    "JPEG": ("L", "RGB", "CMYK"),
    "GIF": ("P", "L"),
    "WEBP": ("RGB", "RGBA"),
    "BMP": ("1", "L", "P", "RGB"),
    "PPM": ("L", "RGB", "1"),
    "TGA": ("L", "RGBA"),
    "ICO": ("RGBA",),
    "PCX": ("L", "RGB"),
    "SGI": ("RGB",),
    "JPEG2000": ("RGB",),
    "IM": ("RGB", "F"),
    "DDS": ("RGBA",),
    "MPO": ("RGB",),
    "AVIF": ("RGB",),
}


def picture(data: bytes, rng: Random) -> bytes:
    """Return a picture in another format, mode and size, its bytes damaged or not."""
    kind = rng.choice(list(FORMATS))
    with Image.open(io.BytesIO(data)) as image:
        small = image.convert("RGB").resize(rng.choice(((60, 40), (1, 1), (2, 2), (1, 300), (500, 2), (33, 17))))
    mode = rng.choice(FORMATS[kind])
    made = (
        Image.fromarray(np.asarray(small.convert("L")).astype(np.uint16) * 257) if mode == "I;16" else _in(small, mode)
    )
    out = io.BytesIO()
    made.save(
        out, kind, **({"save_all": True, "append_images": [made, made]} if kind in ("GIF", "TIFF", "MPO") else {})
    )
    return rng.choice((lambda d, _: d, flipped, flipped, cut, spliced))(out.getvalue(), rng)


def _in(image: Image.Image, mode: str) -> Image.Image:
    if mode == "LAB":
        return Image.merge("LAB", image.split())
    return image.convert(mode)


def claimed(data: bytes, rng: Random) -> bytes:
    """Return a PNG, BMP or PPM whose head claims a size that the rest does not have."""
    wide, high = (rng.choice((0, 1, 3, 5000, 12000, 2**16, 2**31 - 1, 2**32 - 1)) for _ in range(2))
    what = rng.randrange(3)
    if what == 1:
        head = struct.pack(
            "<IIIIiiHHIIiiII", 0, 54, 0, 40, min(wide, 2**31 - 1), min(high, 2**31 - 1), 1, 24, 0, 0, 0, 0, 0, 0
        )
        return b"BM" + head[2:] + bytes(300)
    if what == 2:
        return b"P6 %d %d 255\n" % (wide, high) + bytes(300)
    head = struct.pack(">II", wide, high) + bytes((rng.choice((1, 8, 16, 3)), rng.choice((0, 2, 3, 4, 6, 5)), 0, 0, 0))
    chunk = struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    return data[:8] + chunk + data[33:]


ARRAYS: tuple[Callable[[Any, Random], Any], ...] = (
    lambda a, r: a.astype(r.choice(("f2", "f8", "i1", "u1", "i8", "?", "c8", "U5", ">f4", "S3"))),
    lambda a, r: a[..., None],
    lambda a, r: a[None],
    lambda a, r: a.ravel(),
    lambda a, r: a[:0],
    lambda a, r: a[..., :1],
    lambda a, r: np.asfortranarray(a.T),
    lambda a, r: np.float64(3),
    lambda a, r: np.where(np.arange(a.size).reshape(a.shape) % 7 == 0, r.choice((np.nan, np.inf, -np.inf, 1e300)), 1.0),
    lambda a, r: np.full(a.shape, r.choice((0, -1, 5))),
    lambda a, r: np.array([{"x": 1}, None], object),
    lambda a, r: np.zeros(a.shape, [("x", "f4"), ("y", "i2")]),
    lambda a, r: np.array(["2020-01-01"], "M8[D]"),
    lambda a, r: np.broadcast_to(a, (2, *a.shape)),
)


def array(data: bytes, rng: Random) -> bytes:
    """Return a .npy of another type, shape or content, or one whose head says so."""
    held = np.load(io.BytesIO(data))
    if rng.random() < 0.3:
        shape = str(held.shape).encode()
        other = rng.choice((b"(9999999999,)", b"(-1, 3)", b"()", b"(0,)", b"(1e3,)", b"('a',)", b"[3, 4]"))
        return data.replace(shape, other.ljust(len(shape))[: max(len(shape), len(other))], 1)
    return _npy(rng.choice(ARRAYS)(held, rng))


def _npy(held: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, held, allow_pickle=True)
    return out.getvalue()


def arrays(data: bytes, rng: Random) -> bytes:
    """Return a .npz with an array changed, left out or called otherwise."""
    with np.load(io.BytesIO(data)) as file:
        held = dict(file)
    name, what = rng.choice(list(held)), rng.randrange(4)
    if what == 0:
        del held[name]
    elif what == 1:
        held[rng.choice(("x", "arr_0", "map", "map.npy"))] = held.pop(name)
    else:
        old = held[name]
        held[name] = (
            rng.choice(ARRAYS)(old, rng) if old.dtype.kind in "fiub" and old.ndim else np.array(rng.choice(WORDS))
        )
    out = io.BytesIO()
    np.savez(out, **held)
    return out.getvalue()


def columns(data: bytes, rng: Random) -> bytes:
    """Return a Parquet file with a column of another type, without one, or whose header says something else."""
    import pyarrow
    from pyarrow import parquet

    table = parquet.read_table(io.BytesIO(data))
    kept = {k: v for k, v in parquet.read_metadata(io.BytesIO(data)).metadata.items() if k != b"ARROW:schema"}
    at, what = rng.randrange(table.num_columns), rng.randrange(4)
    name = table.column_names[at]
    if what == 0:
        table = table.drop_columns([name])
    elif what == 1:
        other: Any = rng.choice(([None], [1], [1.5], ["x"], [b"\0"], [[1, 2]], [True], [{"a": 1}]))
        table = table.set_column(at, name, pyarrow.array(other * table.num_rows))
    elif what == 2:
        table = table.slice(0, rng.randrange(2))
    else:
        kept = {key: tree(value, rng) for key, value in kept.items()}
    out = io.BytesIO()
    parquet.write_table(table.replace_schema_metadata(kept), out)
    return out.getvalue()


BYTES: tuple[Mutator, ...] = (flipped, cut, spliced)
BY_SUFFIX: dict[str, tuple[Mutator, ...]] = {
    "onnx": (fields, fields, fields, graph, graph, graph, flipped, cut, spliced),
    "json": (tree, tree, tree, lines, *BYTES),
    "jsonl": (lines, lines, *BYTES),
    "xml": (elements, elements, lines, *BYTES),
    "txt": (lines, lines, lines, *BYTES),
    "yaml": (lines, lines, lines, *BYTES),
    "yml": (lines, lines, lines, *BYTES),
    "csv": (lines, lines, lines, *BYTES),
    "png": (picture, picture, picture, claimed, *BYTES),
    "jpg": BYTES,
    "npy": (array, array, *BYTES),
    "npz": (arrays, arrays, *BYTES),
    "parquet": (columns, columns, *BYTES),
}


def mutators(name: str) -> tuple[Mutator, ...]:
    """Return what a file of that name may undergo; of a kind that is not in the table, changes of its bytes."""
    if name.endswith(".http"):
        from mutate_requests import request

        return (request, request, request, request, *BYTES)
    return BY_SUFFIX.get(name.rpartition(".")[2], BYTES)
