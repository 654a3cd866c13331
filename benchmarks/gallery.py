"""The gallery of docs/gallery.md: every method on the same six questions, beside other tools' maps of the same weights.

    python benchmarks/gallery.py [--write] [--keep-times] [NAME ...]

The pictures are drawn scenes, the models the bundled ones and what is cut from them: a segmenter and an embedder of the
classifier's last layer, and its int8 file by ONNX Runtime's quantiser. The other tools have the same weights in
PyTorch. Times are medians of five maps of one picture behind a first one, on one thread each. ``--write`` puts pictures
and tables into docs/. ``--keep-times`` draws the pictures alone, with the times of the page: for a change of the
drawing, on a machine that has other work. Needs torch, captum, grad-cam and torchcam beside onnxsal.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper

import onnxsal
from onnxsal.explanation.figure import draw
from onnxsal.viz.caption import Caption
from onnxsal.viz.grid import Tile, grid
from onnxsal.viz.save import save_image

ROOT = Path(__file__).resolve().parent.parent
# In place of this folder: a library would take kernels.py here for a package of that name.
sys.path[:1] = [str(ROOT / "tests" / "data" / "zoo"), str(ROOT / "models")]
import export as zoo  # noqa: E402
from scenes import LABELS, draw_objects, draw_pair, draw_scene  # noqa: E402
from tiny import embedder, segmenter  # noqa: E402

PAGE, IMAGES = ROOT / "docs" / "gallery.md", ROOT / "docs" / "images"
TIMES = 5
FEW: Mapping[str, Mapping[str, Any]] = {"rise": {"samples": 1000}, "occlusion": {"patch": 24, "stride": 8}}
"""Options other than the usual ones, so that a page of pictures is made in minutes."""

Floats = NDArray[np.float32]


class Twin(torch.nn.Module):
    """The nodes of an ONNX file of convolutions, run by PyTorch with the same weights."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        graph = onnx.load(path).graph
        self.nodes, self.first, self.last = list(graph.node), graph.input[0].name, graph.output[0].name
        arrays = {w.name: torch.from_numpy(numpy_helper.to_array(w).copy()) for w in graph.initializer}
        floats = {name: torch.nn.Parameter(array) for name, array in arrays.items() if array.is_floating_point()}
        self.weights = arrays | floats
        self.own = torch.nn.ParameterList(floats.values())
        self.relus = torch.nn.ModuleList(torch.nn.ReLU() for node in self.nodes if node.op_type == "Relu")
        self.layer = self.relus[-1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the file puts out."""
        found, relus = {self.first: x, **self.weights}, iter(self.relus)
        for node in self.nodes:
            given = [found[name] for name in node.input]
            own = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            found[node.output[0]] = self._made(node.op_type, given, own, relus)
        return found[self.last]

    def _made(self, kind: str, given: list[torch.Tensor], own: dict[str, Any], relus: Any) -> torch.Tensor:
        if kind == "Conv":
            return torch.nn.functional.conv2d(*given, stride=own["strides"], padding=own["pads"][:2])
        if kind == "Relu":
            return next(relus)(given[0])  # type: ignore[no-any-return]
        if kind == "Add":
            return given[0] + given[1]
        if kind == "ReduceMean":
            return given[0].mean((2, 3))
        if kind == "Gemm":
            return torch.nn.functional.linear(given[0], given[1], given[2])
        raise ValueError(f"the twin has no {kind}")


@dataclass(frozen=True)
class Question:
    """One row of the gallery."""

    name: str
    asks: str
    model: onnxsal.Model
    image: Any
    target: Any
    methods: tuple[str, ...]
    peers: Mapping[str, Callable[[], Floats]]
    without: str = ""
    """Why there is no other tool's map, where there is none."""


def quantised(folder: Path, model: onnxsal.Model) -> Path:
    """Return the int8 file that ONNX Runtime's static quantiser makes of the bundled classifier."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    feeds = iter([{"picture": model.prepare(draw_scene(900 + n).image).x[None]} for n in range(32)])

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> Any:
            return next(feeds, None)

    path = folder / "int8.onnx"
    quantize_static(str(ROOT / "models" / "shapes.onnx"), str(path), Reader(), quant_format=QuantFormat.QDQ)
    return path


def peers(twin: Twin, x: Floats, score: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, Callable[[], Floats]]:
    """Return the maps of other tools by our method's name and theirs. Args: score: of the twin's output, [B]."""
    import captum.attr as captum
    import pytorch_grad_cam as cams
    from torchcam import methods as torchcam

    given = torch.from_numpy(x[None])
    scored = _Scored(twin, score)

    def cam(kind: Any) -> Callable[[], Floats]:
        def made() -> Floats:
            with kind(twin, [twin.layer]) as found:
                return np.asarray(found(given, [lambda y: score(y[None])[0]])[0], np.float32)

        return made

    def pixels(make: Callable[[Any], torch.Tensor], *, absolute: bool = True) -> Callable[[], Floats]:
        def made() -> Floats:
            found = make(scored)[0].detach().numpy()
            return np.abs(found).max(0) if absolute else found.sum(0)

        return made

    def smooth(inner: Any) -> torch.Tensor:
        sigma = 0.15 * float(given.max() - given.min())
        found: torch.Tensor = captum.NoiseTunnel(captum.Saliency(inner)).attribute(
            given, nt_samples=50, nt_samples_batch_size=8, stdevs=sigma, abs=False
        )
        return found

    def ss() -> Floats:
        with torchcam.SSCAM(twin, twin.layer, num_samples=35, std=2.0, input_shape=x.shape) as extract:
            out = twin(given)
            found = extract(int(score(torch.eye(10)).argmax()), out)[0]
        return np.asarray(found[0].detach(), np.float32)

    return {
        "gradient/captum Saliency": pixels(lambda m: captum.Saliency(m).attribute(given)),
        "input-x-gradient/captum InputXGradient": pixels(lambda m: captum.InputXGradient(m).attribute(given)),
        "guided-backprop/captum GuidedBackprop": pixels(lambda m: captum.GuidedBackprop(m).attribute(given)),
        "integrated-gradients/captum IntegratedGradients": pixels(
            lambda m: captum.IntegratedGradients(m).attribute(given, n_steps=50, internal_batch_size=8)
        ),
        "smoothgrad/captum NoiseTunnel": pixels(smooth),
        "occlusion/captum Occlusion": pixels(
            lambda m: captum.Occlusion(m).attribute(given, (3, 24, 24), (3, 8, 8), perturbations_per_eval=8),
            absolute=False,
        ),
        **{f"{ours}/pytorch-grad-cam {kind}": cam(getattr(cams, kind)) for ours, kind in (
            ("grad-cam", "GradCAM"), ("grad-cam++", "GradCAMPlusPlus"), ("hirescam", "HiResCAM"),
            ("layercam", "LayerCAM"), ("xgrad-cam", "XGradCAM"), ("eigencam", "EigenCAM"), ("score-cam", "ScoreCAM"),
            ("ablation-cam", "AblationCAM"))},
        "ss-cam/torchcam SSCAM": ss,
    }  # fmt: skip


class _Scored(torch.nn.Module):
    """What captum differentiates: a score for each picture."""

    def __init__(self, twin: Twin, score: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.twin, self.score = twin, score

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the score, [B]."""
        return self.score(self.twin(x))


def questions(folder: Path) -> list[Question]:
    """Return the six questions."""
    shapes = ROOT / "models" / "shapes.onnx"
    model, twin = onnxsal.load(shapes, threads=1), Twin(shapes)
    usual = tuple(name for name in onnxsal.methods() if name not in ("shapley", "temporal-saliency-rescaling"))
    of_classes = tuple(n for n in usual if n not in ("similarity-map", "seg-xres-cam", "attnlrp"))
    star, drop = LABELS.index("star"), LABELS.index("drop")
    scene, pair = ROOT / "models" / "demo.png", draw_pair(12, size=288, labels=(star, drop)).image
    several = draw_objects(41, (star, drop, star), size=288).image
    one, other = draw_scene(77, size=288, label=star).image, draw_scene(78, size=288, label=star).image
    likeness = onnxsal.load(embedder(folder), preprocess=model.preprocess, task="embedding", threads=1)
    small = onnxsal.load(quantised(folder, model), labels=model.labels, preprocess=model.preprocess, threads=1)
    regions = onnxsal.load(segmenter(folder), labels=model.labels, preprocess=model.preprocess, threads=1)
    detector = onnxsal.load(ROOT / "models" / "detector.onnx", threads=1)
    boxes = ("gradient", "smoothgrad", "integrated-gradients", "grad-cam", "grad-cam++", "layercam", "hirescam",
             "eigencam", "score-cam", "rise")  # fmt: skip
    dense = ("gradient", "smoothgrad", "grad-cam", "grad-cam++", "hirescam", "layercam", "seg-xres-cam", "score-cam")
    alike = ("similarity-map", "gradient", "smoothgrad", "integrated-gradients", "grad-cam", "layercam", "score-cam")
    modules = "captum, pytorch-grad-cam and torch-cam take PyTorch modules"
    return [
        Question("classify", "Why a star?", model, scene, "star", of_classes,
                 peers(twin, model.prepare(scene).x, lambda y: y[:, star])),
        Question("compare-classes", "Why a star and no drop, where both are there?", model, pair, "star minus drop",
                 of_classes, peers(twin, model.prepare(pair).x, lambda y: y[:, star] - y[:, drop])),
        Question("int8", "Why a star, for the int8 file?", small, scene, "star", of_classes, {},
                 f"{modules}, and PyTorch has no gradient of int8"),
        Question("detect", "Why this box?", detector, ROOT / "models" / "demo_boxes.png", "#1", boxes, {},
                 f"{modules}; of this detector there is none"),
        Question("segment", "Why is that region a star?", regions, several, "star", dense, {},
                 f"{modules}; pytorch-grad-cam takes a target of your own for such a one"),
        Question("likeness", "What makes these two alike?", likeness, one, onnxsal.Like(other), alike, {},
                 f"{modules}; of likeness none has a map that adds up to it"),
    ]  # fmt: skip


def timed(run: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a function gives, and the median of its seconds behind the first run; of slow ones of fewer."""
    began = time.perf_counter()
    found = run()
    first, taken = time.perf_counter() - began, []
    for _ in range(TIMES if first < 2 else 1):
        began = time.perf_counter()
        found = run()
        taken.append(time.perf_counter() - began)
    return found, statistics.median(taken)


def kept(question: Question) -> dict[str, str]:
    """Return the times that the page has of a question, by the method's or the other tool's name."""
    part = PAGE.read_text(encoding="utf-8").partition(f"## {question.asks}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \| (?:(.+), ([^|,]+))? \|", part, re.MULTILINE)
    return {name: took for ours, took, tool, other in rows for name, took in ((ours, took), (tool, other)) if name}


def redrawn(question: Question) -> list[Tile]:
    """Return the tiles of a question with the times of the page."""
    tiles, times = list[Tile](), kept(question)
    for method in question.methods:
        if method not in times:
            continue
        options = FEW.get(method, {})
        found = onnxsal.explain(question.model, question.image, target=question.target, method=method, **options)
        tiles.append(Tile(np.asarray(draw(found, caption=False)), method, times[method]))
        tiles += [other(found, question.peers[name](), name, times[name.partition("/")[2]])
                  for name in question.peers if name.partition("/")[0] == method]  # fmt: skip
    return tiles


def other(ours: onnxsal.Explanation, theirs: Floats, name: str, took: str) -> Tile:
    """Return the tile of another tool's map, drawn as ours is."""
    shown = replace(ours, saliency=fitted(theirs, ours.saliency, ours.manifest["percentile"] or 100))
    return Tile(np.asarray(draw(shown, caption=False)), name.partition("/")[2], took)


def answered(question: Question) -> tuple[list[Tile], list[tuple[str, ...]]]:
    """Return the tiles and the rows of the table of a question."""
    tiles, rows = list[Tile](), list[tuple[str, ...]]()
    prepared = question.model.prepare(question.image).x  # as the other tools take it
    for method in question.methods:
        options = FEW.get(method, {})

        def ours(options: Mapping[str, Any] = options, method: str = method) -> onnxsal.Explanation:
            return onnxsal.explain(question.model, prepared, target=question.target, method=method, **options)

        try:
            _, seconds = timed(ours)
            found = onnxsal.explain(question.model, question.image, target=question.target, method=method, **options)
        except onnxsal.errors.OnnxsalError as error:
            rows.append((method, "refused", "", str(error).partition(";")[0][:90]))
            continue
        tiles.append(Tile(np.asarray(draw(found, caption=False)), method, told(seconds)))
        whole = {**options, "percentile": 100}  # nothing is cut off at the top
        names = [name for name in question.peers if name.partition("/")[0] == method]
        rows.append((method, told(seconds), "", "") if not names else (method, told(seconds)))
        for name in names:
            theirs, took = timed(question.peers[name])
            tiles.append(other(found, theirs, name, told(took)))
            rows[-1] = (*rows[-1], f"{tiles[-1].title}, {told(took)}", f"{alike(ours(whole), theirs):.3f}")
    return tiles, rows


def fitted(theirs: Floats, ours: Floats, percentile: float = 100) -> Floats:
    """Return another tool's map as ours are shown: enlarged, 1 from a percentile on, above 0 where ours is."""
    large = torch.nn.functional.interpolate(
        torch.from_numpy(theirs)[None, None], ours.shape, mode="bilinear", align_corners=False
    )[0, 0].numpy()
    kept = large if ours.min() < 0 else np.maximum(large, 0)
    most = float(np.percentile(np.abs(kept), percentile)) or 1.0
    return np.asarray(np.clip(kept / most, -1, 1), np.float32)


def alike(ours: onnxsal.Explanation, theirs: Floats) -> float:
    """Return the correlation of two maps at the picture's resolution."""
    return float(np.corrcoef(ours.saliency.ravel(), fitted(theirs, ours.saliency).ravel())[0, 1])


def told(seconds: float) -> str:
    """Return a time as a person reads it."""
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"


def section(question: Question, rows: Sequence[tuple[str, ...]]) -> str:
    """Return what the page says of a question."""
    lines = [f"## {question.asks}", "", f"![{question.asks} {len(rows)} methods]({image_of(question)})", ""]
    if question.peers:
        lines += ["| method | onnxsal | another tool | correlation |", "| --- | ---: | --- | ---: |"]
    else:
        lines += [f"{question.without}.", "", "| method | onnxsal | | |", "| --- | ---: | --- | --- |"]
    return "\n".join([*lines, *(f"| `{row[0]}` | {' | '.join(row[1:])} |" for row in rows), ""])


def image_of(question: Question) -> str:
    """Return where the page has a question's picture."""
    return f"images/gallery-{question.name}.webp"


def shown_at(question: Question) -> Path:
    """Return the file of a question's picture."""
    return PAGE.parent / image_of(question)


def main() -> None:
    """Print the tables; write the page where that is asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--keep-times", action="store_true")
    given, sections = parser.parse_args(), []
    zoo.torchvision_models()  # which pytorch-grad-cam imports
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        for question in questions(Path(folder)):
            if given.names and question.name not in given.names:
                continue
            if given.keep_times:
                save_image(grid(redrawn(question), heading=Caption(question.asks), columns=6), shown_at(question))
                continue
            tiles, rows = answered(question)
            sections.append(section(question, rows))
            print(sections[-1], flush=True)
            if given.write:
                save_image(grid(tiles, heading=Caption(question.asks), columns=6), shown_at(question))
    if given.write and not given.names and not given.keep_times:
        before, mark, _ = PAGE.read_text(encoding="utf-8").partition("<!-- gallery -->\n")
        PAGE.write_text(before + mark + "\n".join(["", *sections]), encoding="utf-8")


if __name__ == "__main__":
    main()
