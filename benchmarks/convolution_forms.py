"""Prints what each way of writing a convolution's gradient costs, in multiples of the forward convolution.

Processor time on ONNX Runtime's CPU provider, waiting threads asleep, medians of interleaved runs: other work on the
machine shifts it less than wall time. The rules choose by this table; docs/speed.md keeps it.

    python benchmarks/convolution_forms.py [--runs 7] [--weights]

The table is of the input's gradient, with ``--weights`` of the weight's, undivided convolutions alone.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import onnxruntime as ort

from onnxsal.autodiff.rules.convolution import flipped_weight
from onnxsal.autodiff.rules.correlation import by_convolution, by_products
from onnxsal.autodiff.rules.windows import Window
from onnxsal.graph.program import empty
from onnxsal.graph.tape import Tape

BATCH = 8
MOST = 7  # a kernel's side beyond which a product for every position is out of the question


@dataclass(frozen=True)
class Shape:
    """A square convolution: channels out and in, kernel, stride, pad, input size, groups."""

    m: int
    c: int
    k: int
    s: int
    p: int
    size: int
    group: int = 1

    @property
    def out(self) -> int:
        return (self.size + 2 * self.p - self.k) // self.s + 1

    @property
    def rest(self) -> int:
        return (self.size + 2 * self.p - self.k) % self.s

    def __str__(self) -> str:
        kind = "depthwise " if self.group > 1 else ""
        return f"{kind}{self.k} x {self.k} / {self.s}, {self.c} -> {self.m}, {self.size} x {self.size}"


SHAPES = [
    Shape(64, 64, 3, 1, 1, 56), Shape(256, 256, 3, 1, 1, 14), Shape(512, 512, 3, 1, 1, 7), Shape(256, 64, 1, 1, 0, 56),
    Shape(144, 144, 3, 1, 1, 56, 144), Shape(576, 576, 3, 1, 1, 14, 576), Shape(240, 240, 5, 1, 2, 28, 240),
    Shape(96, 96, 7, 1, 3, 56, 96),
    Shape(128, 64, 3, 2, 1, 56), Shape(256, 128, 3, 2, 1, 28), Shape(512, 512, 3, 2, 1, 14), Shape(32, 3, 3, 2, 1, 224),
    Shape(64, 3, 7, 2, 3, 224), Shape(128, 64, 1, 2, 0, 56), Shape(2048, 1024, 1, 2, 0, 14),
    Shape(192, 96, 2, 2, 0, 56), Shape(96, 3, 4, 4, 0, 224), Shape(768, 3, 16, 16, 0, 224),
    Shape(96, 96, 3, 2, 1, 112, 96), Shape(144, 144, 5, 2, 2, 56, 144),
]  # fmt: skip

Form = Callable[[Tape, ir.Value, np.ndarray, Shape], ir.Value]


def transposed(op: Tape, g: ir.Value, w: np.ndarray, s: Shape) -> ir.Value:
    extra = [s.rest] * 2 if s.rest else None
    return op.ConvTranspose(g, w, strides=[s.s] * 2, pads=[s.p] * 4, output_padding=extra, group=s.group)


def flipped(op: Tape, g: ir.Value, w: np.ndarray, s: Shape) -> ir.Value:
    return op.Conv(g, flipped_weight(op, op.const(w), s.group), pads=[s.k - 1 - s.p] * 4, group=s.group)


def phases(w: np.ndarray, s: Shape) -> np.ndarray:
    """Return [stride, stride, C, M/group, taps, taps]: the kernel that each phase of the input sees, reversed."""
    taps = -(-s.k // s.s)
    swapped = w.reshape(s.group, s.m // s.group, -1, s.k, s.k).swapaxes(1, 2).reshape(s.c, s.m // s.group, s.k, s.k)
    wide = np.zeros((*swapped.shape[:2], taps * s.s, taps * s.s), w.dtype)
    wide[:, :, : s.k, : s.k] = swapped
    split = wide.reshape(*swapped.shape[:2], taps, s.s, taps, s.s)[:, :, ::-1, :, ::-1]
    return np.ascontiguousarray(split.transpose(3, 5, 0, 1, 2, 4))


def _span(s: Shape) -> tuple[int, int, int]:
    first, last = s.p // s.s, (s.size - 1 + s.p) // s.s
    return first, last, s.p - first * s.s


def _cut(op: Tape, y: ir.Value, s: Shape) -> ir.Value:
    first, last, offset = _span(s)
    if offset == 0 and (last - first + 1) * s.s == s.size:
        return y
    return op.Slice(y, [offset] * 2, [offset + s.size] * 2, [2, 3])


def depth_to_space(op: Tape, g: ir.Value, w: np.ndarray, s: Shape) -> ir.Value:
    """One convolution with stride^2 C outputs, then DepthToSpace."""
    kernels = phases(w, s)
    taps, (first, last, _) = kernels.shape[-1], _span(s)
    order = (0, 1, 2, 3, 4, 5) if s.group == 1 else (2, 0, 1, 3, 4, 5)
    stacked = kernels.transpose(order).reshape(-1, s.m // s.group, taps, taps)
    before, after = taps - 1 - first, last - s.out + 1
    y = op.Conv(g, stacked, pads=[before, before, after, after], group=s.group)
    return _cut(op, op.DepthToSpace(y, blocksize=s.s, mode="DCR" if s.group == 1 else "CRD"), s)


def spaced(op: Tape, g: ir.Value, w: np.ndarray, s: Shape) -> ir.Value:
    """Zeros between the elements (nearest Resize times a grid), then the flipped convolution."""
    grid = np.zeros((1, 1, s.out * s.s, s.out * s.s), np.float32)
    grid[:, :, :: s.s, :: s.s] = 1
    scales = np.array([1, 1, s.s, s.s], np.float32)
    modes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    wide = op.Mul(op.Resize(g, None, scales, **modes), grid)
    before = s.k - 1 - s.p
    after = s.size + s.k - 1 - before - s.out * s.s
    return op.Conv(wide, flipped_weight(op, op.const(w), s.group), pads=[before, before, after, after], group=s.group)


def forms(s: Shape) -> dict[str, Form]:
    if s.s == 1:
        return {"ConvTranspose": transposed, "flipped Conv": flipped}
    found: dict[str, Form] = {"ConvTranspose": transposed, "Conv + DepthToSpace": depth_to_space}
    return {**found, "spaced + flipped Conv": spaced} if s.s == 2 and s.k > 1 else found


def session(build: Callable[[Tape], ir.Value], **shapes: tuple[int, ...]) -> Callable[[], np.ndarray]:
    op = empty(21)
    for name, shape in shapes.items():
        op.input(name, ir.DataType.FLOAT, shape)
    proto = op.finish(y=build(op)).to_proto()
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    run = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(1)
    feeds = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return lambda: run.run(None, feeds)[0]


def measure(jobs: list[Callable[[], np.ndarray]], runs: int) -> list[float]:
    """Return the median processor time of each job; the jobs take turns."""
    times: list[list[float]] = [[] for _ in jobs]
    for _ in range(runs):
        for job, spent in zip(jobs, times, strict=True):
            start = time.process_time()
            job()
            spent.append(time.process_time() - start)
    return [statistics.median(t) for t in times]


def forward(s: Shape, w: np.ndarray) -> Callable[[], np.ndarray]:
    window = {"strides": [s.s] * 2, "pads": [s.p] * 4, "group": s.group}
    return session(lambda op: op.Conv(op.graph.inputs[0], w, **window), x=(BATCH, s.c, s.size, s.size))


def inputs(s: Shape, w: np.ndarray) -> dict[str, Callable[[], np.ndarray]]:
    """Return the forms of the input's gradient."""
    g = (BATCH, s.m, s.out, s.out)
    return {name: session(lambda op, f=f: f(op, op.graph.inputs[0], w, s), g=g) for name, f in forms(s).items()}


def weights(s: Shape, _: np.ndarray) -> dict[str, Callable[[], np.ndarray]]:
    """Return the forms of the weight's gradient."""
    window = Window((s.k,) * 2, (s.s,) * 2, (1, 1), (s.p,) * 2, (s.p,) * 2)
    x, g = (BATCH, s.c, s.size, s.size), (BATCH, s.m, s.out, s.out)
    found = {"Conv": session(lambda op: by_convolution(op, *op.graph.inputs, window, 1), x=x, g=g)}
    if s.k <= MOST:
        found["MatMul a position"] = session(lambda op: by_products(op, *op.graph.inputs, window), x=x, g=g)
    return found


def row(s: Shape, runs: int, of: Callable[[Shape, np.ndarray], dict[str, Callable[[], np.ndarray]]]) -> str:
    w = np.random.default_rng(0).normal(size=(s.m, s.c // s.group, s.k, s.k)).astype(np.float32)
    jobs = of(s, w)
    results = [job() for job in jobs.values()]
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], atol=1e-3 * float(np.abs(results[0]).max()))
    spent = measure([forward(s, w), *jobs.values()], runs)
    cells = [f"{name} {t / spent[0]:.2f}" for name, t in zip(jobs, spent[1:], strict=True)]
    return f"| {s} | {spent[0] * 1e3:.1f} ms | {', '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--weights", action="store_true")
    args = parser.parse_args()
    shapes = [*SHAPES, Shape(64, 64, 5, 1, 2, 28)] if args.weights else SHAPES
    print("| convolution | forward | gradient, in multiples of the forward |\n| --- | --- | --- |")
    for s in shapes:
        if s.group == 1 or not args.weights:
            print(row(s, args.runs, weights if args.weights else inputs), flush=True)


if __name__ == "__main__":
    main()
