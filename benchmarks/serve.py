"""What ``onnxsal serve`` costs, how it answers under load, and what it does where clients break, leave or flood it.

    python benchmarks/serve.py [MODEL[:PREPROCESS]...] [--only costs,load,broken] [--requests 10000]

Clients are threads of this process on loopback, so that on a small machine they take processors from the server: the
seconds of a client are those of both. ``costs`` counts the server's processor time alone, from the kernel's account of
its threads, beside what this process takes for the same maps by ``onnxsal.explain`` and the same encoding; rounds take
turns, and the ratio is the median of theirs. Needs the extra ``serve``.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

import onnxsal
from onnxsal.viz.save import png

BUNDLED = Path(__file__).resolve().parent.parent / "models"
PHOTO = Image.open(BUNDLED / "demo.png").convert("RGB").resize((640, 480))
JSON = {"Content-Type": "application/json"}
PAGE = BUNDLED.parent / "docs" / "serve.md"
MARKS = ("<!-- costs: benchmarks/serve.py --write -->", "<!-- end of costs -->")
HEAD = "| model | Grad-CAM++ | server, ms | one process, ms | ratio |\n| --- | --- | --- | --- | --- |"
PARTS = ("costs", "load", "broken", "full", "leaving", "restart")


@dataclass(frozen=True)
class Sent:
    """A request's path, headers and body."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Served:
    """A server in a process of its own."""

    process: subprocess.Popen[str]
    port: int

    def processor(self) -> float:
        """Return the seconds of processors that its threads took so far."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def resident(self) -> float:
        """Return the megabytes that it holds in memory."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.partition("VmRSS:")[2].split()[0]) / 1024

    def under_way(self) -> float:
        """Return how many requests it has, by its own metrics."""
        text = Client(self.port).get("/metrics")[1].decode()
        return next(float(line.split()[-1]) for line in text.splitlines() if "under_way" in line and line[0] != "#")


class Client:
    """One connection, kept open and made again where it broke."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def send(self, sent: Sent) -> tuple[int, bytes, dict[str, str]]:
        """Return the status, body and headers of the answer."""
        self._connection.request("POST", sent.path, sent.body, sent.headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}

    def get(self, path: str) -> tuple[int, bytes]:
        """Return the status and body of an answer."""
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        return answer.status, answer.read()


@contextlib.contextmanager
def served(model: str, *options: str, port: int = 0) -> Iterator[Served]:
    """Run a server until the block ends."""
    found = started(model, *options, port=port)
    try:
        yield found
    finally:
        found.process.kill()
        found.process.wait()


def started(model: str, *options: str, port: int = 0) -> Served:
    """Return a server that answers."""
    path, _, preprocess = model.partition(":")
    command = [sys.executable, "-m", "onnxsal", "serve", f"m={path}", "--port", str(port), *options]
    command += ["--preprocess", preprocess] if preprocess else []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    return Served(process, int(line.split("//127.0.0.1:")[1].split("/")[0]))


def jpeg() -> bytes:
    """Return a photograph as its file."""
    buffer = io.BytesIO()
    PHOTO.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def photo_sent(**parameters: Any) -> Sent:
    """Return a request with a photograph's file as bytes behind the JSON, its map as bytes in the answer."""
    content = jpeg()
    return tensor_sent("BYTES", [1], struct.pack("<I", len(content)) + content, **parameters)


def pixels_sent(array: np.ndarray, **parameters: Any) -> Sent:
    """Return a request with uint8 pixels behind the JSON."""
    return tensor_sent("UINT8", list(array.shape), array.tobytes(), **parameters)


def tensor_sent(datatype: str, shape: list[int], content: bytes, *outputs: str, **parameters: Any) -> Sent:
    """Return a request with one tensor's bytes behind the JSON. Args: outputs: by default all."""
    one = {"name": "image", "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(content)}}
    asked: dict[str, Any] = {"inputs": [one], "parameters": {"binary_data_output": True, **parameters}}
    asked |= {"outputs": [{"name": name} for name in outputs]} if outputs else {}
    head = json.dumps(asked).encode()
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
    return Sent("/v2/models/m/explain", headers, head + content)


def costs(model: str, rounds: int, count: int) -> list[str]:
    """Print the server's processor time over that of the same maps in one process; return rows of docs/serve.md."""
    rows = list[str]()
    path, _, preprocess = model.partition(":")
    own = onnxsal.load(path, threads=1, preprocess=preprocess or None)
    pixels = np.asarray(PHOTO.resize(own.image_size[::-1]))
    content = jpeg()

    def map_of(thing: Any) -> bytes:
        found = onnxsal.explain(own, thing)
        return found.saliency.tobytes() + json.dumps(found.to_dict(maps=False)).encode()

    def picture_of(thing: Any) -> bytes:
        from onnxsal.explanation.figure import draw

        found = onnxsal.explain(own, thing)
        return png(draw(found)) + json.dumps(found.to_dict(maps=False)).encode()

    kinds: dict[str, tuple[Sent, Callable[[], bytes]]] = {
        "photograph in, map drawn on it out": (
            Sent("/v2/models/m/explain", {"Content-Type": "image/jpeg", "Accept": "image/png"}, content),
            lambda: picture_of(content),
        ),
        "photograph in, tensor out": (photo_sent(), lambda: map_of(content)),
        "uint8 tensor in, tensor out": (pixels_sent(pixels[None]), lambda: map_of(pixels)),
    }
    with served(model, "--threads", "1") as server:
        for name, (sent, alone) in kinds.items():
            ratios, both = [], []
            for at in range(-1, rounds):
                pair = _server_seconds(server, sent, count), _own_seconds(alone, count)
                if at >= 0:  # the first opens and compiles
                    ratios.append(pair[0] / pair[1])
                    both.append(pair)
            one, other = (1000 * median(pair[i] for pair in both) / count for i in (0, 1))
            quarters = np.percentile(ratios, [25, 75])
            print(
                f"{Path(path).name}: {name}: server {one:.2f} ms, one process {other:.2f} ms of a processor a map; "
                f"ratio {median(ratios):.3f} (quartiles {quarters[0]:.3f} to {quarters[1]:.3f})",
                flush=True,
            )
            rows.append(f"| {Path(path).name} | {name} | {one:.1f} | {other:.1f} | {median(ratios):.2f} |")
    return rows


def _server_seconds(server: Served, sent: Sent, count: int) -> float:
    client, before = Client(server.port), server.processor()
    for _ in range(count):
        status, body, _ = client.send(sent)
        assert status == 200, body
    return server.processor() - before


def _own_seconds(alone: Callable[[], bytes], count: int) -> float:
    before = time.process_time()
    for _ in range(count):
        alone()
    return time.process_time() - before


def load(model: str, seconds: float) -> None:
    """Print requests a second and the latency of photographs by clients at a time."""
    with served(model) as server:
        flood(server, [photo_sent()], 1, 1.0)
        for clients in (1, 8, 32):
            spent, statuses = flood(server, [photo_sent()], clients, seconds)
            low, high, most = (1000 * np.percentile(spent, q) for q in (50, 95, 99))
            print(
                f"{Path(model).name}: {clients} clients: {len(spent) / seconds:.1f} a second, "
                f"p50 {low:.0f} ms, p95 {high:.0f} ms, p99 {most:.0f} ms; statuses {dict(statuses)}",
                flush=True,
            )


def flood(server: Served, sent: list[Sent], clients: int, seconds: float) -> tuple[list[float], Counter[int]]:
    """Return the latencies of what clients send one after the other for so long, and the statuses."""
    spent, statuses, end = list[float](), Counter[int](), time.perf_counter() + seconds

    def run(at: int) -> None:
        client = Client(server.port)
        while (begun := time.perf_counter()) < end:
            status, *_ = client.send(sent[at % len(sent)])
            spent.append(time.perf_counter() - begun)
            statuses[status] += 1

    _in_threads(run, clients)
    return spent, statuses


def _in_threads(run: Callable[[int], None], count: int) -> None:
    threads = [threading.Thread(target=run, args=(at,)) for at in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def broken_ones() -> list[tuple[str, Sent]]:
    """Return requests that cannot be served, by what is wrong with them."""
    good = photo_sent()
    bomb = io.BytesIO()
    Image.new("1", (9000, 9000)).save(bomb, "PNG")
    image = {"Content-Type": "image/png"}
    return [
        ("a cut photograph", Sent(good.path, {"Content-Type": "image/jpeg"}, jpeg()[:3000])),
        ("no photograph", Sent(good.path, image, b"\x89PNG and nothing behind")),
        ("more pixels than are decoded", Sent(good.path, image, bomb.getvalue())),
        ("no JSON", Sent(good.path, JSON, b'{"inputs": [')),
        ("a length of the JSON that is wrong", Sent(good.path, good.headers | {
            "Inference-Header-Content-Length": "999999999"}, good.body)),
        ("an unknown method", photo_sent(method="grad-cam+++")),
        ("an unknown target", photo_sent(target=10**9)),
        ("a shape that its bytes have not", tensor_sent("UINT8", [1, 8, 8, 3], bytes(5))),
        ("NaN", tensor_sent("FP32", [1, 3, 96, 96], np.full((1, 3, 96, 96), np.nan, np.float32).tobytes())),
        ("no such model", Sent("/v2/models/other/explain", good.headers, good.body)),
        ("a way out of the folder", Sent("/v2/models/..%2f..%2fm/explain", good.headers, good.body)),
        ("too large a body", Sent(good.path, image, bytes(33 * 2**20))),
    ]  # fmt: skip


def broken(model: str, requests: int) -> None:
    """Print what became of requests of which one in twenty is broken: every whole one's map, bit for bit."""
    rng = np.random.default_rng(0)
    things = [rng.integers(0, 256, (1, 96, 96, 3), np.uint8) for _ in range(8)]
    asked = [
        tensor_sent("UINT8", list(each.shape), each.tobytes(), "saliency", target=k) for k, each in enumerate(things)
    ]
    wrong = broken_ones()
    with served(model, "--queue", "64") as server:
        own = onnxsal.load(model)
        expected = [onnxsal.explain(own, each[0], target=k).saliency.tobytes() for k, each in enumerate(things)]
        numbers, found, lost, held = iter(range(requests)), Counter[str](), list[str](), list[str]()
        lock, begun = threading.Lock(), time.perf_counter()

        def run(at: int) -> None:
            client = Client(server.port)
            while True:
                with lock:
                    number = next(numbers, None)
                    if number in (1000, requests - 1):
                        held.append(f"{server.resident():.0f} MB after {number}")
                if number is None:
                    return
                if number % 20 == 0:
                    what, sent = wrong[number // 20 % len(wrong)]
                    try:
                        status, body, _ = client.send(sent)
                    except (OSError, http.client.HTTPException):  # a body that is too large is not read to its end
                        client, status = Client(server.port), 413 if "too large" in what else 0
                    found[f"{what}: {status}"] += 1
                    if not 400 <= status < 500:
                        lost.append(f"{what}: {status}")
                    continue
                status, body, _ = client.send(asked[number % 8])
                if status != 200 or not body.endswith(expected[number % 8]):
                    lost.append(f"request {number}: {status} {body[:200]!r}")
                found["whole: 200" if status == 200 else f"whole: {status}"] += 1

        _in_threads(run, 8)
        took = time.perf_counter() - begun
        print(f"{requests} requests, one in twenty broken, {took:.0f} s: {len(lost)} lost {lost[:3]}")
        print(f"  resident memory of the server: {', '.join(held)} requests")
        for name, count in sorted(found.items()):
            print(f"  {name}: {count}")
        assert not lost and server.process.poll() is None


def full(model: str) -> None:
    """Print what 32 clients get of a server that takes on four requests."""
    slow = photo_sent(method="occlusion", patch=16, stride=8)
    with served(model, "--queue", "4") as server:
        found, waits = Counter[int](), Counter[str]()

        def run(at: int) -> None:
            status, _, headers = Client(server.port).send(slow)
            found[status] += 1
            if status == 503:
                waits[headers.get("retry-after", "none")] += 1

        _in_threads(run, 32)
        after, *_ = Client(server.port).send(photo_sent())
        print(
            f"queue of 4, 32 clients at once: {dict(found)}, Retry-After {dict(waits)}; afterwards {after}", flush=True
        )
        assert set(found) == {200, 503} and "none" not in waits and after == 200


def leaving(model: str) -> None:
    """Print how long a server goes on for a client that has left."""
    slow = photo_sent(method="rise", samples=200_000)
    with served(model) as server:
        Client(server.port).send(photo_sent())
        sender = socket.create_connection(("127.0.0.1", server.port))
        head = "".join(f"{name}: {value}\r\n" for name, value in slow.headers.items())
        line = f"POST {slow.path} HTTP/1.1\r\nHost: m\r\nContent-Length: {len(slow.body)}\r\n{head}\r\n"
        sender.sendall(line.encode() + slow.body)
        while server.under_way() < 1:
            time.sleep(0.01)
        time.sleep(1)
        sender.close()
        begun = time.perf_counter()
        while server.under_way() > 0:
            time.sleep(0.01)
        let_go, busy = time.perf_counter() - begun, time.perf_counter()
        while True:
            before = server.processor()
            time.sleep(0.1)
            if server.processor() - before < 0.02:
                break
        print(
            f"a client that leaves: forgotten after {let_go:.2f} s, idle after {time.perf_counter() - busy:.2f} s more"
        )


def restart(model: str) -> None:
    """Print what clients see of a server that is killed, and of one that is told to end, under load."""
    server = started(model)
    sent = photo_sent()
    Client(server.port).send(sent)
    found, stop = Counter[str](), threading.Event()

    def run(at: int) -> None:
        while not stop.is_set():
            client = Client(server.port)
            with contextlib.suppress(ConnectionRefusedError):
                try:
                    while not stop.is_set():
                        status, *_ = client.send(sent)
                        found[str(status)] += 1
                except (OSError, http.client.HTTPException) as error:
                    if not isinstance(error, ConnectionRefusedError):
                        found[type(error).__name__] += 1
            time.sleep(0.02)

    clients = threading.Thread(target=_in_threads, args=(run, 4))
    clients.start()
    time.sleep(2)
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()
    begun, killed = time.perf_counter(), dict(found)
    again = started(model, port=server.port)
    whole = Client(again.port).send(sent)[0]
    took = time.perf_counter() - begun
    print(f"killed: until then {killed}; the next one on the same port answers {whole} after {took:.1f} s")
    time.sleep(2)
    before = dict(found)
    os.kill(again.process.pid, signal.SIGTERM)
    code = again.process.wait(60)
    stop.set()
    clients.join()
    print(f"told to end: exit {code}; answers since the restart {Counter(found) - Counter(killed)}, of them at the end "
          f"{dict(Counter(found) - Counter(before))}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="*", default=[str(BUNDLED / "shapes.onnx")])
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--write", action="store_true", help="The table of costs into docs/serve.md.")
    asked = parser.parse_args()
    rows = list[str]()
    bundled, only = str(BUNDLED / "shapes.onnx"), asked.only.split(",")
    for model in asked.models:
        if "costs" in only:
            rows += costs(model, asked.rounds, asked.count)
        if "load" in only:
            load(model, asked.seconds)
    if asked.write and rows:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(MARKS[0])
        PAGE.write_text("\n".join([before + MARKS[0], HEAD, *rows, MARKS[1]]) + rest.partition(MARKS[1])[2], "utf-8")
    if "broken" in only:
        broken(bundled, asked.requests)
    for name, part in {"full": full, "leaving": leaving, "restart": restart}.items():
        if name in only:
            part(bundled)


if __name__ == "__main__":
    main()
