"""The report: whole in one file, escaped, and working in a real browser."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markupsafe import Markup

from onnxsal.evaluation import About, Evaluation, Row
from onnxsal.evaluation.journal import Journal
from onnxsal.evaluation.report import (
    Axis,
    Cell,
    Column,
    Figure,
    Interval,
    Section,
    Series,
    Table,
    curves,
    intervals,
    page,
    part,
)
from onnxsal.evaluation.report import Row as Line
from onnxsal.evaluation.thumbnails import image_jpeg, map_png, read_image_entry, read_map


def evaluation() -> Evaluation:
    """An evaluation of two methods on six pictures, one with a hostile name."""
    journal, rows = Journal(), []
    image = np.random.default_rng(0).integers(0, 255, (48, 48, 3), dtype=np.uint8)
    for at in range(6):
        name = f"{at}<script>alert(1)</script>.jpg" if at == 0 else f"picture{at}.jpg"
        journal.add("picture", str(at), image_jpeg(image))
        for method, shift in (("first", 0.0), ("second", 0.5)):
            key = f"{at}{method}"
            journal.add("map", key, {**map_png(np.eye(48) * (at + 1)), "picture": str(at)})
            curve = [[0.0, 1.0], [0.5, 0.5 + shift / 4], [1.0, 0.0]]
            rows.append(Row(name, 3, "a & b", 0.9, method, "deletion", 0.1 * at + shift, curve=curve, map_key=key))
            rows.append(Row(name, 3, "a & b", 0.9, method, "sparseness", 0.9 - 0.1 * at, map_key=key))
    metrics = (About("deletion", "falls fast", False), About("sparseness", "few pixels", True))
    settings = {"model": "model.onnx", "versions": {"onnxsal": "0"}, "methods": {}, "metrics": {}}
    return Evaluation(tuple(rows), (), metrics, settings, journal=journal)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    evaluation().report(path)
    return path


class _Addresses(HTMLParser):
    """Collects everything that a browser would load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "srcset", "href", "action", "poster")]


def test_nothing_is_loaded_from_elsewhere(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    reader = _Addresses()
    reader.feed(text)
    assert reader.found
    assert [a[:40] for a in reader.found if not a.startswith(("data:image/", "#"))] == []
    assert re.findall(r"url\(|@import|https?://", text) == []


def test_names_from_outside_are_text(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_the_examples_of_a_method_are_its_best_and_its_worst() -> None:
    from onnxsal.evaluation.report.examples import examples

    found = re.findall(
        r'<figure data-item="([^"]*)" data-method="first" data-metric="deletion"', examples(evaluation())
    )
    assert [each.split(":")[0] + each.split(":")[1] for each in found] == [
        "best 0.000", "best 0.100", "best 0.200", "worst 0.300", "worst 0.400", "worst 0.500",
    ]  # fmt: skip


@pytest.mark.parametrize(("methods", "metrics"), [(7, 10), (16, 4), (40, 2), (3, 70)])
def test_where_examples_are_too_many_every_metric_keeps_some(methods: int, metrics: int) -> None:
    from onnxsal.evaluation.report.examples import MOST, _kept

    names, judges = [f"m{k}" for k in range(methods)], [About(f"j{k}", "", True) for k in range(metrics)]
    kept = _kept(names, judges)
    assert {metric.name for _, metric in kept} == {metric.name for metric in judges}
    assert {method for method, _ in kept} == set(names)
    assert len(set(kept)) == len(kept) <= max(MOST, metrics)
    assert _kept(names[:2], judges[:2]) == [(a, b) for a in names[:2] for b in judges[:2]]


def test_it_is_said_how_many_examples_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    from onnxsal.evaluation.report import examples

    assert "pairs of a method and a metric" not in str(examples.examples(evaluation()))
    monkeypatch.setattr(examples, "MOST", 2)
    assert "Examples of 2 of the 4 pairs of a method and a metric" in str(examples.examples(evaluation()))


def test_a_curve_stands_where_its_numbers_say() -> None:
    drawn = curves("c", [Series("s", [0, 1], [0, 1])], x=Axis("x", 0, 1), y=Axis("y", 0, 1))
    html = part("charts", "chart", drawn)
    points = re.search(r'<polyline class="line s0 d0" points="([^"]*)"', html)
    assert points is not None
    assert points[1] == "46.0,260.0 508.0,10.0"


def test_an_interval_is_a_line_from_end_to_end() -> None:
    html = part("charts", "chart", intervals("i", [Interval("m", 0.5, 0.25, 1.0)], x=Axis("v", 0, 1)))
    line = re.search(r'<line y1="[\d.]+" y2="[\d.]+" class="s0" stroke-width="2.2" x1="([\d.]+)" x2="([\d.]+)"', html)
    dot = re.search(r'<circle cx="([\d.]+)"', html)
    assert line is not None and dot is not None
    left, right, middle = float(line[1]), float(line[2]), float(dot[1])
    assert (middle - left) / (right - left) == pytest.approx(1 / 3, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("n" * 42, "n" * 42), ("n" * 43, "n" * 41 + "…"), ("골" * 21, "골" * 21), ("골" * 22, "골" * 20 + "…"),
        ("n" + "犬" * 21, "n" + "犬" * 20 + "…"),
    ],
)  # fmt: skip
def test_a_name_beside_its_interval_is_cut_where_there_is_no_room(name: str, shown: str) -> None:
    html = part("charts", "chart", intervals("i", [Interval(name, 0.5, 0.25, 1.0)], x=Axis("v", 0, 1)))
    assert re.findall(r'class="name">([^<]*)<', html) == [shown]
    assert f"<title>{name}: 0.5" in html


def test_missing_numbers_have_no_value_to_sort_by() -> None:
    shown = Table([Column("a"), Column("n", numeric=True)], [Line(["x", Cell("–", float("nan"))])], "t")
    html = part("tables", "table", shown)
    assert '<td class="number" data-value="">–</td>' in html


def test_small_pictures_keep_their_pixels() -> None:
    pixels = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    html = part("pictures", "gallery", [Figure(pixels, "tiny")])
    data = re.search(r'src="data:image/png;base64,([^"]*)"', html)
    assert data is not None
    from io import BytesIO

    from PIL import Image

    back = np.asarray(Image.open(BytesIO(base64.b64decode(data[1]))))
    assert np.array_equal(back, pixels)


def test_sections_are_reached_from_the_bar() -> None:
    html = page("t", [Section("All values", Markup("<p>x</p>"))])
    assert '<a href="#all-values">All values</a>' in html and '<section id="all-values">' in html


def test_thumbnails_keep_sign_and_shape() -> None:
    values = np.linspace(-2, 1, 64 * 64).reshape(64, 64)
    assert np.abs(read_map(map_png(values)) - values / 2).max() < 1 / 127
    image = np.full((300, 150, 3), 200, np.uint8)
    assert read_image_entry(image_jpeg(image)).shape == (224, 112, 3)


# --- in a browser -----------------------------------------------------------------------------------------------------


class Browser:
    """Chromium without a window, spoken to over its debugging protocol."""

    def __init__(self, socket_: socket.socket) -> None:
        self._socket, self._number = socket_, 0

    def call(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        _send(self._socket, json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(_receive(self._socket))
            if answer.get("id") == self._number:
                return answer.get("result", answer)

    def run(self, script: str) -> Any:
        """Return the value of an expression in the page."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")


def _send(to: socket.socket, text: str) -> None:
    data, mask = text.encode(), os.urandom(4)
    head = bytes([0x81]) + (
        bytes([0x80 | len(data)]) if len(data) < 126 else bytes([0xFE]) + struct.pack(">H", len(data))
    )
    to.sendall(head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data)))


def _exactly(source: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = source.recv(count - len(data))
        if not part:
            raise ConnectionError("the browser is gone")
        data += part
    return data


def _receive(source: socket.socket) -> str:
    text = b""
    while True:
        first, second = _exactly(source, 2)
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", _exactly(source, 2))
        elif length == 127:
            (length,) = struct.unpack(">Q", _exactly(source, 8))
        text += _exactly(source, length)
        if first & 0x80:
            return text.decode()


_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--remote-debugging-port=0",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-allow-origins=*",
    "--window-size=1200,900",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    program = next((found for name in names if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("needs a browser: Chromium or Chrome")
    home = tmp_path_factory.mktemp("browser")
    process = subprocess.Popen(
        [program, *_FLAGS, f"--user-data-dir={home}", file.as_uri()],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        connection = _connected(home / "DevToolsActivePort")
        if connection is None:
            pytest.skip("the browser does not start here")
        with connection:
            found = Browser(connection)
            _until(lambda: found.run("document.readyState == 'complete' && document.querySelector('h1') != null"))
            yield found
    finally:
        process.kill()
        process.wait()


def _until(done: Any, seconds: float = 30.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if done():
            return True
        time.sleep(0.05)
    return False


def _connected(port_file: Path) -> socket.socket | None:
    if not _until(lambda: port_file.exists() and len(port_file.read_text().split()) >= 1):
        return None
    port = int(port_file.read_text().split()[0])
    pages: list[Any] = []

    def listed() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=5) as answer:
                pages[:] = [each for each in json.load(answer) if each["type"] == "page"]
        except OSError:
            return False
        return bool(pages)

    if not _until(listed):
        return None
    path = pages[0]["webSocketDebuggerUrl"].split(f":{port}", 1)[1]
    found = socket.create_connection(("127.0.0.1", port), timeout=30)
    key = base64.b64encode(os.urandom(16)).decode()
    found.sendall(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += _exactly(found, 1)
    return found


_METHODS = "[...document.querySelectorAll('#summary-table tbody th')].map(e => e.textContent)"


def test_it_opens(browser: Browser) -> None:
    assert browser.run("document.querySelector('h1').textContent") == "How model.onnx is explained"
    assert browser.run("document.querySelectorAll('figure.chart > svg').length") == 3
    assert browser.run("document.documentElement.scrollWidth <= innerWidth") is True


def test_it_sorts(browser: Browser) -> None:
    click = "document.querySelectorAll('#summary-table thead button')[1].click()"
    browser.run(click)
    assert browser.run(_METHODS) == ["first", "second"]
    browser.run(click)
    assert browser.run(_METHODS) == ["second", "first"]
    assert browser.run("document.querySelectorAll('#summary-table thead th')[1].ariaSort") == "descending"


def test_it_filters(browser: Browser) -> None:
    script = """(() => {
      const box = document.querySelector('[data-filters="values-table"]');
      box.querySelector('input').value = 'picture3';
      box.querySelector('select[name="method"]').value = 'second';
      box.dispatchEvent(new Event('input'));
      const rows = [...document.querySelectorAll('#values-table tbody tr')].filter(r => !r.hidden);
      return [rows.length, box.querySelector('.count').textContent, rows[0].textContent.includes('picture3')];
    })()"""
    assert browser.run(script) == [2, "2 of 24", True]


def test_pictures_zoom(browser: Browser) -> None:
    browser.run("document.querySelector('#examples-list button.zoom').click()")
    assert browser.run("document.getElementById('zoom').open") is True
    assert browser.run("document.querySelector('#zoom img').getBoundingClientRect().width") > 400
    before = browser.run("document.querySelector('#zoom span').textContent")
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key="ArrowRight", code="ArrowRight")
    assert browser.run("document.querySelector('#zoom span').textContent") != before
    browser.run("document.querySelector('#zoom button').click()")
    assert browser.run("document.getElementById('zoom').open") is False


def test_a_curve_can_be_taken_away(browser: Browser) -> None:
    script = """(() => {
      const chart = document.querySelector('figure.chart');
      chart.querySelector('.legend button').click();
      return chart.querySelector('[data-series="first"]').style.display;
    })()"""
    assert browser.run(script) == "none"


def test_light_and_dark(browser: Browser) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert browser.run(colour) == "rgb(20, 23, 27)"
    browser.run("document.getElementById('theme').click()")
    assert browser.run(colour) == "rgb(255, 255, 255)"


EDGES: dict[str, tuple[Row, ...]] = {
    "nothing": (),
    "one value": (Row("a.jpg", 0, "c", 0.5, "m", "deletion", 0.25, curve=[[0, 1], [1, 0]]),),
    "values that are not defined": tuple(Row(n, 0, "c", 0.5, "m", "deletion", float("nan")) for n in "ab"),
    "curves of different steps": (
        Row("a.jpg", 0, "c", 0.5, "m", "deletion", 0.25, curve=[[0, 1], [1, 0]]),
        Row("b.jpg", 0, "c", float("nan"), "m", "deletion", 0.25, curve=[[0, 1], [0.5, float("nan")], [1, 0]]),
    ),
}


@pytest.mark.parametrize("case", EDGES)
def test_odd_results_have_a_page_too(case: str) -> None:
    from onnxsal.evaluation import Failure
    from onnxsal.evaluation.report.evaluation import report

    failures = (Failure("x<y>.jpg", "m", "the map is not finite"), Failure("z.jpg", None, "z.jpg: broken"))
    metrics = (About("deletion", "", False), About("never", "", True))
    text = report(Evaluation(EDGES[case], failures, metrics, {}, {"energy-pointing": 2}))
    assert "x&lt;y&gt;.jpg, m: the map is not finite" in text
    assert "<li>z.jpg: broken</li>" in text
    assert "the object of 2 pictures is not" in text
    assert ">nan<" not in text and 'points="nan' not in text


def test_a_curve_that_falls_below_0_stays_inside_its_frame() -> None:
    from onnxsal.evaluation.report.evaluation import report

    curve = [[0.0, 0.5], [0.5, -0.75], [1.0, -0.25]]
    rows = tuple(Row(f"{i}.jpg", 0, "c", 0.5, "m", "sensitivity-n", -0.2, curve=curve) for i in range(2))
    text = report(Evaluation(rows, (), (About("sensitivity-n", "", True),), {}))
    (line,) = re.findall(r'<polyline class="line s0 d0" points="([^"]+)"', text)
    heights = [float(pair.split(",")[1]) for pair in line.split()]
    assert min(heights) >= 10 and max(heights) <= 300 - 40
    assert heights[1] > heights[2] > heights[0]


def test_the_band_of_a_curve_is_the_interval_of_its_mean() -> None:
    """Of three pictures Student's, by hand: 4.303 standard errors to both sides."""
    from onnxsal.evaluation.report.evaluation import _band

    rows = [
        Row(f"{i}.jpg", 0, "c", 0.5, "m", "insertion", 0, curve=[[0, 0], [1, v]]) for i, v in enumerate((0.7, 0.8, 0.9))
    ]
    series = _band(rows, About("insertion", "", True), "m", 0)
    assert series is not None and series.low is not None and series.high is not None
    assert (series.low[1], series.high[1]) == pytest.approx((0.8 - 4.303 * 0.1 / 3**0.5, 0.8 + 4.303 * 0.1 / 3**0.5))


@pytest.mark.parametrize(("scores", "high"), [((0.2, 0.9, 1.0), 1.0), ((0.2, 0.9, 1.1), None)])
def test_a_band_stays_where_the_metrics_values_can_be(scores: tuple[float, ...], high: float | None) -> None:
    """A curve that goes beyond the metric's ends is of something else, and has none."""
    from onnxsal.evaluation.report.evaluation import _band

    rows = [Row(f"{i}.jpg", 0, "c", 0.5, "m", "road", 0, curve=[[0, 0], [1, v]]) for i, v in enumerate(scores)]
    free, held = (_band(rows, About("road", "", True, "", ends), "m", 0) for ends in ((-np.inf, np.inf), (-1, 1)))
    assert free is not None and free.high is not None and free.high[1] > 1.1
    assert held is not None and held.high is not None
    assert held.high[1] == (high or free.high[1])


def test_one_picture_has_no_interval() -> None:
    from onnxsal.evaluation.report.evaluation import report

    row = Row("a.jpg", 0, "c", 0.5, "m", "sparseness", 0.25)
    found = Evaluation((row,), (), (About("sparseness", "", True),), {})
    assert "no interval" in report(found) and not re.search(r"[\"> ,\[]nan\b", report(found))
    assert "0.250*" in found.table() and "nan" not in found.table()


def test_pictures_without_a_value_are_counted_beside_the_means() -> None:
    """Also where every method has the same number of values: a mean over half of the pictures says so."""
    from onnxsal.evaluation.report.evaluation import report

    nan = float("nan")
    values = {("cam", "sparseness"): (0.2, nan, nan), ("cam", "deletion"): (0.2, 0.4, nan), ("flat", "deletion"): [nan]}
    rows = [Row(f"{at}.jpg", 0, "c", 0.5, *names, value)
            for names, several in values.items() for at, value in enumerate(several)]  # fmt: skip
    metrics = About("sparseness", "", True), About("deletion", "", False)
    every = "cam 2 of 3 pictures (sparseness); cam 1 of 3 pictures (deletion); flat 1 of 1 pictures (deletion)"
    for left, said in ((rows, every), (rows[:3], "cam 2 of 3 pictures"), (rows[:1], "")):
        table = Evaluation(tuple(left), (), metrics, {}).table()
        assert table.endswith(f"No value, as for a map that is the same everywhere: {said}." if said else "by chance.")
    assert "n = 1 of 3" in report(Evaluation(tuple(rows), (), metrics, {}))
