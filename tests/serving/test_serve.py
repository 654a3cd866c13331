"""The server on a real socket: answers are those of ``explain`` and of ONNX Runtime, and nothing takes it down."""

from __future__ import annotations

import base64
import io
import json
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from PIL import Image

import onnxsal
from onnxsal.errors import UsageError

pytest.importorskip("starlette", reason="needs the extra serve: starlette, uvicorn, prometheus-client")

from onnxsal.serving import server
from onnxsal.serving.answers import Answer
from onnxsal.serving.gather import Gathering
from onnxsal.serving.limits import Limits
from onnxsal.serving.served import Served
from onnxsal.serving.service import Service

MODELS = Path(__file__).resolve().parent.parent.parent / "models"
FILE, PHOTO = MODELS / "shapes.onnx", (MODELS / "demo.png").read_bytes()
PIXELS = np.asarray(Image.open(MODELS / "demo.png").convert("RGB"))
FLOATS = np.random.default_rng(0).normal(size=(3, 3, 96, 96)).astype(np.float32)
SECONDS = 20


@dataclass
class Said:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def arrays(self) -> dict[str, Any]:
        """The tensors, read by numpy and struct as the protocol says."""
        head = int(self.headers.get("inference-header-content-length", len(self.body)))
        told, rest, found = json.loads(self.body[:head]), self.body[head:], dict[str, Any]()
        types = {"FP32": "<f4", "FP64": "<f8", "UINT8": "u1", "INT64": "<i8"}
        for each in told["outputs"]:
            size = each.get("parameters", {}).get("binary_data_size")
            if size is None:
                found[each["name"]] = each["data"]
                if each["datatype"] != "BYTES":
                    found[each["name"]] = np.array(each["data"], types[each["datatype"]]).reshape(each["shape"])
                continue
            content, rest = rest[:size], rest[size:]
            if each["datatype"] != "BYTES":
                found[each["name"]] = np.frombuffer(content, types[each["datatype"]]).reshape(each["shape"])
                continue
            found[each["name"]] = []
            while content:
                (length,) = struct.unpack("<I", content[:4])
                found[each["name"]].append(content[4 : 4 + length])
                content = content[4 + length :]
        assert not rest
        return found


class Client:
    """One connection that is kept."""

    def __init__(self, port: int) -> None:
        self.connection, self.busy = HTTPConnection("127.0.0.1", port, timeout=SECONDS), False

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Said:
        body = (
            body if body is None or isinstance(body, bytes) or hasattr(body, "__next__") else json.dumps(body).encode()
        )
        self.busy = True
        self.connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        answer = self.connection.getresponse()
        said = Said(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        self.busy = False
        return said

    def post(self, path: str, body: Any, **headers: str) -> Said:
        return self("POST", path, body, **headers)

    def get(self, path: str) -> Said:
        return self("GET", path)


class Running:
    """A server in a thread."""

    def __init__(self, service: Service) -> None:
        self.service, self._up = service, threading.Event()
        self.clients: list[Client] = []
        listener = server.listening("127.0.0.1", 0)
        self.port = int(server.address_of(listener).rpartition(":")[2])
        self.made = server.Server(service, self._up.set)
        self.thread = threading.Thread(target=self.made.serve_at, args=(listener,))
        self.thread.start()
        assert self._up.wait(SECONDS)

    def client(self) -> Client:
        self.clients.append(Client(self.port))
        return self.clients[-1]

    def at_once(self, path: str, body: Any, **headers: str) -> Callable[[], Said]:
        """Return what waits for the answer of a request that is sent now, by another connection."""
        found: list[Said] = []
        thread = threading.Thread(target=lambda: found.append(self.client().post(path, body, **headers)))
        thread.start()

        def answer() -> Said:
            thread.join(SECONDS)
            return found[0]

        return answer

    def counted(self, line: str) -> float:
        text = self.client().get("/metrics").body.decode()
        return float(next((each.rpartition(" ")[2] for each in text.splitlines() if each.startswith(line)), 0))

    def end(self) -> None:
        for each in self.clients:
            if each.connection.sock and not each.busy:  # the server waits a while for those that are open
                each.connection.close()
        self.made.handle_exit(signal.SIGTERM, None)
        self.thread.join(SECONDS)
        for each in self.clients:
            each.connection.close()
        assert not self.thread.is_alive()


@contextmanager
def running(*models: Any, batch: int = 1, **limits: Any) -> Iterator[Running]:
    made = Running(Service(models, Limits(**limits), Gathering(batch=batch, seconds=0.05)))
    try:
        yield made
    finally:
        for each in models:
            if isinstance(each, Held):
                each.let.set()
        made.end()


@pytest.fixture(scope="module")
def up() -> Iterator[Running]:
    served = Served(FILE, "shapes", pixels=10**6, threads=1)
    with running(served, body=2**21) as made:
        yield made


@pytest.fixture(scope="module")
def right() -> onnxsal.Explanation:
    return onnxsal.explain(onnxsal.load(FILE, threads=1), PHOTO, method="layercam", target="ring")


EXPLAIN, INFER = "/v2/models/shapes/explain", "/v2/models/shapes/versions/1/infer"
ASKED = {"method": "layercam", "target": "ring"}


def binary(name: str, datatype: str, shape: Sequence[int], content: bytes, **more: Any) -> tuple[bytes, dict[str, str]]:
    tensor = {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(content)}}
    head = json.dumps({"inputs": [tensor], **more}).encode()
    return head + content, {"inference_header_content_length": str(len(head))}


def of_bytes(content: bytes) -> bytes:
    return struct.pack("<I", len(content)) + content


def base64_call(**more: Any) -> dict[str, Any]:
    coded = base64.b64encode(PHOTO).decode()
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [coded]}
    return {"inputs": [tensor | {"parameters": {"content_type": "base64"}}], **more}


@pytest.mark.parametrize("way", ["a file", "pixels", "base64", "the body"])
def test_an_explanation_is_that_of_explain_however_it_comes(way: str, up: Running, right: Any) -> None:
    asked = {"parameters": {**ASKED, "binary_data_output": True}, "id": "seven"}
    if way == "a file":
        body, headers = binary("image", "BYTES", [1], of_bytes(PHOTO), **asked)
        said = up.client().post(EXPLAIN, body, **headers)
    elif way == "pixels":
        body, headers = binary("picture", "UINT8", [1, *PIXELS.shape], PIXELS.tobytes(), **asked)
        said = up.client().post(EXPLAIN, body, **headers)
    elif way == "base64":
        said = up.client().post(EXPLAIN, base64_call(parameters=ASKED))
    else:
        more = "binary_data_output=true&outputs=saliency,told"
        said = up.client().post(f"{EXPLAIN}?method=layercam&target=ring&{more}", PHOTO, Content_Type="image/png")
    assert said.status == 200, said.body
    assert said.arrays["saliency"].tobytes() == right.saliency.tobytes()
    told = json.loads(said.arrays["told"][0])
    assert (told["label"], told["score"]) == ("ring", pytest.approx(right.score, abs=1e-7))
    assert told["manifest"]["options"] == right.manifest["options"]
    assert told["baseline_score"] is not None
    assert str(MODELS.parent).encode() not in said.body


def test_a_picture_is_that_of_save(up: Running, right: Any) -> None:
    said = up.client().post(
        f"{EXPLAIN}?method=layercam&target=ring", PHOTO, Content_Type="image/png", Accept="image/png"
    )
    assert (said.status, said.headers["content-type"]) == (200, "image/png")
    assert said.body == right.png()
    for kind in ({}, {"Content_Type": "application/x-www-form-urlencoded"}):  # as curl --data-binary says
        again = up.client().post(f"{EXPLAIN}?method=layercam&target=ring", PHOTO, **kind, Accept="image/png")
        assert again.body == said.body
    asked = up.client().post(EXPLAIN, base64_call(parameters={**ASKED, "drawing": "overlay"}))
    assert base64.b64decode(asked.arrays["picture"][0]) == right.png()


def test_a_body_that_is_no_request_is_told_what_it_is_and_how_pictures_go(up: Running) -> None:
    """As curl -d makes it, which drops the ends of lines, and as -F wraps it; a picture elsewhere than at explain."""
    form, noise = "application/x-www-form-urlencoded", bytes(range(14, 256)) * 20
    stripped = "lost bytes on the way, as by curl -d"
    for path, body, kind, words in [
        (EXPLAIN, PHOTO.replace(b"\r", b"").replace(b"\n", b""), form, stripped),
        (EXPLAIN, b"\xff\xd8\xff" + noise, form, stripped),
        (EXPLAIN, b"--x\r\nContent-Disposition: form-data", "multipart/form-data; boundary=x", "--data-binary"),
        (EXPLAIN, b"%PDF-1.7", "", "it is a PDF"),
        (EXPLAIN.replace("explain", "infer"), PHOTO, "", "the body is a picture's file"),
    ]:
        said = up.client().post(path, body, Content_Type=kind)
        assert said.status == 400 and words in said.json["error"], said.body


def test_several_of_one_call_and_other_outputs(up: Running) -> None:
    body, headers = binary(
        "picture", "FP32", FLOATS.shape, FLOATS.tobytes(), parameters=ASKED, outputs=[{"name": "raw"}]
    )
    said = up.client().post(EXPLAIN, body, **headers)
    model = onnxsal.load(FILE, threads=1)
    wanted = [onnxsal.explain(model, each[None], **ASKED).raw for each in FLOATS]
    assert list(said.arrays) == ["raw"]
    np.testing.assert_array_equal(said.arrays["raw"], np.stack(wanted))


def test_a_prediction_is_that_of_the_file(up: Running) -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(FILE), options)
    wanted, of_two = (session.run(None, {"picture": x})[0] for x in (FLOATS, FLOATS[:2]))
    body, headers = binary("picture", "FP32", FLOATS.shape, FLOATS.tobytes(), parameters={"binary_data_output": True})
    assert up.client().post(INFER, body, **headers).arrays["logits"].tobytes() == wanted.tobytes()
    as_text = up.client().post("/v1/models/shapes:predict", {"instances": FLOATS[:2].tolist()}).json["predictions"]
    np.testing.assert_array_equal(np.array(as_text, np.float32), of_two)


def test_version_1_explains(up: Running, right: Any) -> None:
    instance = {"image": {"b64": base64.b64encode(PHOTO).decode()}}
    said = up.client().post("/v1/models/shapes:explain", {"instances": [instance, instance], "parameters": ASKED})
    # KServe, "V1 Protocol" (docs/concepts/architecture/data-plane/v1-protocol): :explain answers "explanations",
    # and "predictions" beside them, which ours are asked for by :predict: its payload "is not strictly enforced".
    assert list(said.json) == ["explanations"] and len(said.json["explanations"]) == 2
    for each in said.json["explanations"]:
        np.testing.assert_array_equal(np.array(each["saliency"], np.float32), right.saliency)


def test_small_answers_are_sent_at_once() -> None:
    with server.listening("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP, "asyncio leaves Nagle's algorithm on for others: 40 ms an answer"


def test_what_there_is(up: Running) -> None:
    client = up.client()
    assert client.get("/v2").json["extensions"][0] == "binary_tensor_data"
    for path in (
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/shapes/ready",
        "/v2/models/shapes/versions/1/ready",
    ):
        assert client.get(path).status == 200
    told = client.get("/v2/models/shapes").json
    assert told["inputs"] == [{"name": "picture", "datatype": "FP32", "shape": [-1, 3, 96, 96]}]
    assert client.get("/v1/models").json == {"models": ["shapes"]}
    assert client.get("/v1/models/shapes").json == {"name": "shapes", "ready": True}


BROKEN: dict[str, tuple[int, str, str, Any, dict[str, str]]] = {
    "no such model": (404, "POST", "/v2/models/shape/infer", {}, {}),
    "a path": (404, "GET", "/v2/models/..", None, {}), "a file": (404, "GET", "/v2/models/..%2f..%2fetc", None, {}),
    "its own path": (404, "GET", "/v2/models/models%2Fshapes.onnx", None, {}),
    "another version": (404, "POST", "/v2/models/shapes/versions/2/infer", {}, {}),
    "no such address": (404, "GET", "/etc/passwd", None, {}), "another verb": (405, "GET", INFER, None, {}),
    "no JSON": (400, "POST", EXPLAIN, b"{", {}),
    "compressed": (415, "POST", INFER, b"", {"content_encoding": "gzip"}),
    "no picture": (400, "POST", EXPLAIN, b"no picture", {"content_type": "image/png"}),
    "a file as a target": (400, "POST", f"{EXPLAIN}?target=like:/etc/passwd", PHOTO, {"content_type": "image/png"}),
    "no such method": (400, "POST", f"{EXPLAIN}?method=grad-kam", PHOTO, {"content_type": "image/png"}),
    "twice": (400, "POST", f"{EXPLAIN}?target=1&target=2", PHOTO, {"content_type": "image/png"}),
    "too large": (413, "POST", EXPLAIN, b"a" * (2**21 + 1), {"content_type": "image/png"}),
    "other input": (400, "POST", INFER, {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}, {}),
    "other shape": (400, "POST", INFER,
                    {"inputs": [{"name": "picture", "shape": [1], "datatype": "FP32", "data": [1]}]}, {}),
    "no such output": (400, "POST", EXPLAIN, base64_call(outputs=[{"name": "salience"}]), {}),
    "numbers that no model runs on": (422, "POST", EXPLAIN, {"inputs": [
        {"name": "picture", "shape": [1, 3, 96, 96], "datatype": "FP32", "data": [1e38] * (3 * 96 * 96)}]}, {}),
    "instances that differ": (400, "POST", "/v1/models/shapes:predict", {"instances": [[1], [1, 2]]}, {}),
}  # fmt: skip


def test_what_is_wrong_is_one_clear_message_and_the_connection_lives_on(up: Running) -> None:
    client = up.client()
    for case, (status, method, path, body, headers) in BROKEN.items():
        said = client(method, path, body, **headers)
        assert said.status == status, (case, said.body)
        error = said.json["error"]
        assert 10 < len(error) < 400, case
        assert not [word for word in ("Traceback", str(MODELS)) if word in error], case
    parts = iter([b"a" * 2**20] * 3)
    assert client.post(EXPLAIN, parts, content_type="image/png").status == 413  # chunked, of no length that is told
    assert client.post(EXPLAIN, png_of(1001, 1000), content_type="image/png").status == 413
    assert client.get("/v2/health/live").status == 200
    assert up.counted('onnxsal_requests_total{endpoint="explain",model="shapes",status="413"}') == 3


def png_of(height: int, width: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (width, height)).save(file, "PNG")
    return file.getvalue()


class Held:
    """A model whose explanations begin, and end when they are let, or when nobody waits for them."""

    name = "held"

    def __init__(self) -> None:
        self.begun, self.let, self.stopped = threading.Semaphore(0), threading.Event(), threading.Event()
        self.batches: list[int] = []
        self.threads: set[int] = set()

    def metadata(self) -> dict[str, Any]:
        return {"inputs": [{"name": "x", "datatype": "INT64"}]}

    def rows(self, inputs: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        return [inputs]

    def wanted(self, inputs: Mapping[str, Any], parameters: Mapping[str, Any]) -> Any:
        self.threads.add(threading.get_ident())

        @dataclass
        class Wanted:
            number: int
            key: str = "one"

        return Wanted(int(inputs["x"][0]))

    def infer(self, inputs: Mapping[str, Any], outputs: Sequence[str] = ()) -> dict[str, Any]:
        return {"y": inputs["x"] + 1}

    def explain(self, wanted: Sequence[Any], stopped: Callable[[], bool]) -> list[Answer | Exception]:
        self.batches.append(len(wanted))
        self.threads.add(threading.get_ident())
        for _ in wanted:
            self.begun.release()
        while not self.let.wait(0.005):
            if stopped():
                self.stopped.set()
                break
        numbers = [each.number for each in wanted]
        return [
            UsageError("this one is broken") if n < 0 else Answer({"saliency": np.float32([n])}, None, {"n": n})
            for n in numbers
        ]


HELD = "/v2/models/held/explain"


def asked(number: int) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [number]}]}


def test_a_full_queue_is_told_when_to_come_back_and_predictions_do_not_wait() -> None:
    held = Held()
    with running(held, queue=3) as up:
        several = [up.at_once(HELD, asked(number)) for number in (1, 2)]
        assert held.begun.acquire(timeout=SECONDS)
        while up.service.admission.requests < 2:
            time.sleep(0.002)
        assert up.client().post("/v2/models/held/infer", asked(4)).json["outputs"][0]["data"] == [5]
        several.append(up.at_once(HELD, asked(3)))
        while up.service.admission.requests < 3:
            time.sleep(0.002)
        said = up.client().post(HELD, asked(4))
        assert (said.status, 1 <= int(said.headers["retry-after"]) <= 60) == (503, True)
        held.let.set()
        assert [each().arrays["saliency"].tolist() for each in several] == [[[1.0]], [[2.0]], [[3.0]]]
        assert len(held.threads) == 1  # that explains alone reads too: a hop to another thread costs
        assert up.service.admission.bytes == 0


def test_a_broken_request_harms_none_that_is_explained_with_it() -> None:
    held = Held()
    with running(held, batch=4) as up:
        first = up.at_once(HELD, asked(0))
        assert held.begun.acquire(timeout=SECONDS)
        several = [up.at_once(HELD, asked(number)) for number in (1, -2, 3)]
        while up.counted("onnxsal_explanations_waiting") < 3:
            time.sleep(0.002)
        held.let.set()
        assert [first().status, *(each().status for each in several)] == [200, 200, 400, 200]
        assert several[1]().json == {"error": "this one is broken"}
    assert held.batches == [1, 3]


def test_too_late_is_504_and_what_runs_is_told_to_stop() -> None:
    held = Held()
    with running(held, deadline=0.2) as up:
        said = up.client().post(HELD, asked(1))
        assert (said.status, held.stopped.wait(SECONDS)) == (504, True)
        assert "0.2 s" in said.json["error"]
        with socket.create_connection(("127.0.0.1", up.port), SECONDS) as slow:
            slow.sendall(f"POST {HELD} HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n123".encode())
            assert slow.recv(2**12).startswith(b"HTTP/1.1 408")
        assert up.service.idle


def test_a_client_that_does_not_read_its_answer_is_let_go() -> None:
    with running(Held()) as up, socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**12)
        slow.settimeout(SECONDS)
        slow.connect(("127.0.0.1", up.port))
        numbers = np.zeros(2**20, np.int64)
        body, headers = binary("x", "INT64", [2**20], numbers.tobytes(), parameters={"binary_data_output": True})
        told = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        head = f"POST /v2/models/held/infer HTTP/1.1\r\nhost: a\r\n{told}content-length: {len(body)}\r\n\r\n"
        slow.sendall(head.encode() + body)
        assert slow.recv(12) == b"HTTP/1.1 200"
        up.service.limits = Limits(deadline=0.1)
        end = time.monotonic() + SECONDS
        while up.made.server_state.connections:
            assert time.monotonic() < end
            time.sleep(0.01)


def test_a_client_that_leaves_ends_its_explanation() -> None:
    held = Held()
    with running(held) as up:
        body = json.dumps(asked(1))
        head = f"POST {HELD} HTTP/1.1\r\nhost: a\r\ncontent-length: {len(body)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", up.port), SECONDS) as client:
            client.sendall((head + body).encode())
            assert held.begun.acquire(timeout=SECONDS)
        assert held.stopped.wait(SECONDS)
        while not up.service.idle:
            time.sleep(0.002)
        assert up.counted("onnxsal_clients_left_total") == 1
        held.let.set()
        assert up.client().post(HELD, asked(2)).status == 200


def test_told_to_end_it_finishes_what_runs_and_refuses_the_rest() -> None:
    held = Held()
    with running(held) as up:
        kept = up.client()
        assert "connection" not in kept.get("/v2/health/live").headers
        runs = up.at_once(HELD, asked(1))
        assert held.begun.acquire(timeout=SECONDS)
        waits = up.at_once(HELD, asked(2))
        while up.service.admission.requests < 2:
            time.sleep(0.002)
        up.made.handle_exit(signal.SIGTERM, None)
        refused = waits()
        assert (refused.status, refused.headers["connection"]) == (503, "close")
        said = kept.get("/v2/health/ready")  # on a connection that was open before: never reset, told that it ends
        assert (said.status, said.headers["connection"]) == (503, "close")
        client = up.client()
        assert client.get("/v2/health/live").status == 200
        assert client.get("/v2/health/ready").status == client.post(HELD, asked(3)).status == 503
        assert up.thread.is_alive()
        held.let.set()
        done = runs()
        assert (done.arrays["saliency"].tolist(), done.headers["connection"]) == ([[1.0]], "close")
        up.thread.join(SECONDS)
        assert not up.thread.is_alive()
        with pytest.raises(OSError):
            up.client().get("/v2")


def test_what_runs_beyond_the_grace_is_refused_and_stopped() -> None:
    held = Held()
    with running(held, grace=0.1) as up:
        runs = up.at_once(HELD, asked(1))
        assert held.begun.acquire(timeout=SECONDS)
        up.end()
        assert runs().status == 503
        assert held.stopped.is_set()
