"""Requests to ``onnxsal serve`` as ``mutate.py`` damages them: what goes over the wire, and how it is answered."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import socket
import struct
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import parse_qs, unquote

import numpy as np
from mutators import BYTES, NUMBERS, WORDS, claimed, lines, picture, tree
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
LENGTH = "Inference-Header-Content-Length"
DEADLINE = 3.0
FINE = {200, 400, 404, 405, 408, 411, 413, 415, 422, 431, 503, 504}
"""What a client may be told; 500 is a fault of the server, whatever it was sent."""


class WrongAnswerError(Exception):
    """A server answered what no request may make it answer, or not at all."""


# -- requests ----------------------------------------------------------------------------------------------------------


def http(path: str, body: bytes = b"", headers: Mapping[str, str] | None = None, method: str = "POST") -> bytes:
    """Return a request as it goes over the wire."""
    told = {"Host": "localhost", **(headers or {}), **({"Content-Length": str(len(body))} if method == "POST" else {})}
    return "\r\n".join([f"{method} {path} HTTP/1.1", *(f"{n}: {v}" for n, v in told.items()), "", ""]).encode() + body


def v2(path: str, *inputs: dict[str, Any], behind: bytes = b"", **more: Any) -> bytes:
    """Return a request of version 2, with what lies behind the JSON."""
    head = json.dumps({"inputs": list(inputs), **more}).encode()
    return http(path, head + behind, {LENGTH: str(len(head))} if behind else None)


def tensor(name: str, datatype: str, shape: Iterable[int], data: Any = None, **parameters: Any) -> dict[str, Any]:
    """Return a tensor, its data in JSON or none."""
    made: dict[str, Any] = {"name": name, "datatype": datatype, "shape": list(shape)}
    return made | ({} if data is None else {"data": data}) | ({"parameters": parameters} if parameters else {})


def requests(photo: bytes) -> dict[str, bytes]:
    """Return a request of every kind."""
    floats = np.round(np.random.default_rng(0).normal(size=(1, 3, 16, 16)), 2).astype("f")
    pixels = np.asarray(Image.open(io.BytesIO(photo)).convert("RGB"))
    file, coded = struct.pack("<I", len(photo)) + photo, base64.b64encode(photo).decode()
    asked = {"method": "gradient", "target": 1, "seed": 3, "drawing": "overlay", "format": "png", "opacity": 0.5}
    named = [{"name": "saliency", "parameters": {"binary_data": True}}, {"name": "told"}]
    drawn = {"method": "smoothgrad", "samples": 3, "seed": 1, "seconds": 1.0, "binary_data_output": True}
    explain, text = "/v2/models/pictures/explain", "/v2/models/texts/explain"
    row: Any = {"age": ("FP32", 31.0), "cabin": ("INT64", 2), "sex": ("BYTES", "female"), "port": ("BYTES", "S")}
    cells = [tensor(name, kind, [1, 1], [value]) for name, (kind, value) in row.items()]
    return {
        "v2 infer": v2("/v2/models/pictures/infer", tensor("picture", "FP32", floats.shape, floats.ravel().tolist())),
        "v2 infer binary": v2(
            "/v2/models/pictures/versions/1/infer",
            tensor("picture", "FP32", floats.shape, binary_data_size=floats.nbytes),
            behind=floats.tobytes(), parameters={"binary_data_output": True}, id="seven",
        ),
        "v2 numbers": v2(
            explain, tensor("picture", "FP32", floats.shape, floats.ravel().tolist()), parameters={"method": "rise"}
        ),
        "ids": v2("/v2/models/texts/infer", tensor("input_ids", "INT64", [1, 4], [2, 7, 5, 3])),
        "v2 file": v2(
            explain, tensor("image", "BYTES", [1], binary_data_size=len(file)), behind=file, parameters=asked
        ),
        "v2 pixels": v2(
            explain, tensor("picture", "UINT8", [1, *pixels.shape], binary_data_size=pixels.nbytes),
            behind=pixels.tobytes(), outputs=named, parameters=drawn,
        ),
        "v2 base64": v2(explain, tensor("image", "BYTES", [1], [coded], content_type="base64"), parameters=asked),
        "v1 predict": http("/v1/models/pictures:predict", json.dumps({"instances": floats.tolist()}).encode()),
        "v1 explain": http(
            "/v1/models/pictures:explain",
            json.dumps({"instances": [{"image": {"b64": coded}}] * 2, "parameters": asked}).encode(),
        ),
        "body": http(
            f"{explain}?method=gradient&target=1&outputs=saliency,told&drawing=heat&binary_data_output=true", photo,
            {"Content-Type": "image/png"},
        ),
        "body to picture": http(
            f"{explain}?method=occlusion&seed=2&opacity=0.3&caption=false", photo,
            {"Content-Type": "image/png", "Accept": "image/webp"},
        ),
        "text": v2(text, tensor("text", "BYTES", [1], ["obama lives in paris"]), parameters={"method": "gradient"}),
        "v1 text": http(
            "/v1/models/texts:explain",
            json.dumps({"instances": ["obama in paris"], "parameters": {"method": "gradient"}}).encode(),
        ),
        "rows infer": v2("/v2/models/rows/infer", *cells),
        "rows": v2("/v2/models/rows/explain", *cells),
        "metadata": http("/v2/models/pictures", method="GET"),
    }  # fmt: skip


# -- damage ------------------------------------------------------------------------------------------------------------


def request(data: bytes, rng: Random) -> bytes:
    """Return a request of which the JSON, the bytes behind it, a header or the address says something else."""
    head, _, body = data.partition(b"\r\n\r\n")
    first, *told = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in told)
    split = int(headers.get(LENGTH, 0 if "Content-Type" in headers else len(body)))
    front, rest = body[:split], body[split:]
    what = rng.choice(("tree", "tree", "tree", "text", "rest", "rest", "header", "address", "file"))
    if what == "tree" and front:
        front = tree(front, rng)
    elif what == "text" and front:
        front = rng.choice((lines, *BYTES))(front, rng)
    elif what == "rest" and rest:
        rest = rng.choice(BYTES)(rest, rng)
    elif what == "file" and "Content-Type" in headers:
        rest = rng.choice((picture, picture, claimed))(rest, rng)
    elif what == "header":
        _header(headers, rng)
    else:
        first = _address(first, rng)
    if LENGTH in headers and what != "header" and rng.random() < 0.9:
        headers[LENGTH] = str(len(front))
    if "Content-Length" in headers and what != "header":
        headers["Content-Length"] = str(len(front) + len(rest))
    return "\r\n".join([first, *(f"{n}: {v}" for n, v in headers.items()), "", ""]).encode() + front + rest


def _header(headers: dict[str, str], rng: Random) -> None:
    name = rng.choice(
        (*headers, LENGTH, LENGTH, "Content-Type", "Accept", "Content-Encoding", "Transfer-Encoding", "Expect")
    )
    headers[name] = rng.choice(
        (str(rng.choice(NUMBERS)), str(rng.randrange(400)), *(w for w in WORDS if w.isprintable() and w.isascii()),
         "image/png", "image/", "image/webp;q=1, */*", "gzip", "chunked", "identity", "100-continue", "text/html")
    )  # fmt: skip


def _address(line: str, rng: Random) -> str:
    method, path, version = line.split(" ")
    what = rng.randrange(5)
    if what == 0:
        method = rng.choice(("GET", "PUT", "HEAD", "OPTIONS", "post", "X" * 50))
    elif what == 1:
        parts = path.split("/")
        parts[rng.randrange(1, len(parts))] = rng.choice(
            ("..", "%2e%2e", "", "texts", "rows", "%00", "a" * 3000, "é", "1")
        )
        path = "/".join(parts)
    elif "?" in path:
        own, _, query = path.partition("?")
        pairs = query.split("&")
        at = rng.randrange(len(pairs))
        value = rng.choice((*WORDS, *map(str, NUMBERS), "true", "[1]", "saliency", "like:/etc/hostname", "%ff%fe", "="))
        pairs[at] = rng.choice((f"{pairs[at].split('=')[0]}={value}", f"{value}=1", pairs[at] + "&" + pairs[at]))
        path = f"{own}?{'&'.join(pairs)}"
    else:
        path += rng.choice(("/", "?method=gradient", "?x", "/..", "//"))
    return " ".join([method, re.sub(r"[^!-~]", "%20", path), version])


# -- answers -----------------------------------------------------------------------------------------------------------


@cache
def served() -> Any:
    """Return a service of three models that lasts as long as the process."""
    import tables
    import tiny_models
    import tiny_texts

    from onnxsal.serving.gather import Gathering
    from onnxsal.serving.limits import Limits
    from onnxsal.serving.served import Served
    from onnxsal.serving.service import Service

    place = Path(_kept().name)
    models = {
        "pictures": tiny_models.classifier(), "texts": tiny_texts.proto("labels"), "rows": tables.pipeline(tables.TREES)
    }  # fmt: skip
    for name, proto in models.items():
        (place / name).mkdir()
        (place / name / f"{name}.onnx").write_bytes(proto.SerializeToString())
    (place / "texts" / "config.json").write_text(json.dumps({"id2label": tiny_texts.LABELS}))
    (place / "texts" / "tokenizer.json").write_bytes(tiny_texts.tokenizer().to_str().encode())
    several = [Served(place / name / f"{name}.onnx", name, pixels=10**6, threads=1) for name in models]
    return Service(several, Limits(body=2**20, deadline=DEADLINE), Gathering(batch=1, seconds=0.0))


@cache
def _kept() -> Any:
    return tempfile.TemporaryDirectory(prefix="served")


@cache
def _port() -> int:
    """Return where a server listens that lasts as long as the process."""
    from onnxsal.serving import server

    listener, up = server.listening("127.0.0.1", 0), threading.Event()
    made = server.Server(served(), up.set)
    threading.Thread(target=made.serve_at, args=(listener,), daemon=True).start()
    if not up.wait(60):
        raise WrongAnswerError("the server did not start")
    return int(listener.getsockname()[1])


@cache
def _application() -> Any:
    from onnxsal.serving.app import application

    return application(served())


def asked() -> int:
    """Hand the request of the current folder to the application, as its server would."""
    data = Path("request.http").read_bytes()
    head, _, body = data.partition(b"\r\n\r\n")
    first, *told = head.split(b"\r\n")
    method, path, *_ = (*first.split(b" "), b"", b"")
    raw, _, query = path.partition(b"?")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method.decode("latin-1"),
        "path": unquote(raw.decode("latin-1")), "raw_path": raw, "query_string": query, "scheme": "http",
        "root_path": "", "server": ("127.0.0.1", 1), "client": ("127.0.0.1", 2),
        "headers": [(n.strip().lower(), v.strip()) for n, _, v in (line.partition(b":") for line in told)],
    }  # fmt: skip
    parse_qs(query.decode("latin-1"))
    status, headers, content = asyncio.run(_through(scope, body))
    return _judged(status, headers, content, method == b"HEAD")


async def _through(scope: dict[str, Any], body: bytes) -> tuple[int, dict[str, str], bytes]:
    messages, sent = [{"type": "http.request", "body": body, "more_body": False}], list[dict[str, Any]]()

    async def receive() -> dict[str, Any]:
        if not messages:
            await asyncio.sleep(3600)  # the client waits
        return messages.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    try:
        await asyncio.wait_for(_application()(scope, receive, send), 5 * DEADLINE)
    except TimeoutError:
        raise WrongAnswerError(f"there was no answer within {5 * DEADLINE} s") from None
    if not sent or sent[0]["type"] != "http.response.start":
        raise WrongAnswerError("nothing was answered")
    headers = {n.decode().lower(): v.decode("latin-1") for n, v in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(each.get("body", b"") for each in sent[1:])


def sent() -> int:
    """Send the bytes of the current folder to the server's socket; it has to answer, and to go on answering."""
    data = Path("request.http").read_bytes()
    said = _over(data)
    live = _over(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    if not live.startswith(b"HTTP/1.1 200"):
        raise WrongAnswerError("the server does not live any more")
    if not said:
        return 0  # the head of the request never ended, and the client left
    head, _, content = said.partition(b"\r\n\r\n")
    if head.startswith(b"HTTP/1.1 400") and content.endswith(b"Invalid HTTP request received."):
        print("onnxsal: no HTTP", file=sys.stderr)  # what is no request at all is answered by uvicorn itself
        return 1
    first, *told = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in told)
    content = content[: int(headers.get("content-length", len(content)))]  # what comes behind answers the next request
    return _judged(int(first.split(" ")[1]), headers, content, data.startswith(b"HEAD"))


def _over(data: bytes) -> bytes:
    """Return what comes back for bytes: one answer, or nothing where the server waits for more."""
    with socket.create_connection(("127.0.0.1", _port()), timeout=DEADLINE * 3) as connection:
        whole = b"\r\n\r\n" in data
        if not whole:
            connection.settimeout(0.3)
        found = b""
        try:
            connection.sendall(data)
            while part := connection.recv(1 << 16):
                found += part
                if _is_whole(found, data.startswith(b"HEAD")):
                    break
        except TimeoutError:
            if whole:
                raise WrongAnswerError(f"there was no answer within {DEADLINE * 3} s") from None
        except ConnectionError:
            pass
        return found


def _is_whole(found: bytes, headless: bool) -> bool:
    head, end, content = found.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    return bool(end) and bool(length) and (headless or len(content) >= int(length[1]))  # type: ignore[index]


def _judged(status: int, headers: Mapping[str, str], content: bytes, headless: bool) -> int:
    """Return 0 for a result and 1 for a message, which is told. Raises: WrongAnswerError: it is neither."""
    kind = headers.get("content-type", "")
    if status not in FINE:
        raise WrongAnswerError(f"{status}: {content[:300]!r}")
    if headless:
        return 0
    if status == 200:
        split = int(headers.get(LENGTH.lower(), len(content)))
        if kind == "application/json" or LENGTH.lower() in headers:
            _clean(content[:split].decode())
            json.loads(content[:split], parse_constant=_no_constant)
        elif kind.startswith("image/"):
            Image.open(io.BytesIO(content)).load()
        elif not kind.startswith("text/plain"):
            raise WrongAnswerError(f"an answer of {kind!r}")
        return 0
    told = json.loads(content, parse_constant=_no_constant)
    text = told.get("error") if set(told) == {"error"} else None
    if not isinstance(text, str) or not text.strip() or "\n" in text or len(text) > 8000:
        raise WrongAnswerError(f"{status} without one line: {content[:300]!r}")
    _clean(text)
    print(f"onnxsal: {status} {text}", file=sys.stderr)
    return 1


def _no_constant(text: str) -> None:
    raise WrongAnswerError(f"{text} is no JSON")


def _clean(text: str) -> None:
    """Raises: WrongAnswerError: it tells where something lies on this machine."""
    places = (_kept().name, str(ROOT), sys.prefix, str(Path.home()) + "/", "site-packages", str(Path.cwd()))
    told = next((place for place in places if len(place) > 3 and place in text), None)
    if told:
        raise WrongAnswerError(f"an answer tells a path: {text[max(0, text.index(told) - 60) :][:200]!r}")
