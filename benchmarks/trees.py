"""Exact Shapley values of trees: beside shap's on sixty models, and timed beside shap and woodelf-explainer.

    python benchmarks/trees.py models                    # sixty models, four libraries: differences to shap
    python benchmarks/trees.py speed [--rows 100000]     # 100 trees of depth 8, 100 rows of background
    python benchmarks/trees.py speed --depth 0 --rows 200 --features 20   # trees that grew as deep as they wanted

The models: forests, extra trees, boosting, single trees and isolation forests of scikit-learn, LightGBM, XGBoost and
CatBoost; regression, two classes, three; shallow and deep; with missing values where the library takes them. Each is
exported as ONNX, and the file's values stand beside those of shap's interventional TreeExplainer on the model itself,
on float32 rows, as a share of the margins' range; the sum rule is that of the file on ONNX Runtime.

Times are of one process (OMP_NUM_THREADS=1: one thread), by the clock and of the processor; onnxsal's are without its
first call, which compiles; shap is timed on fewer rows and scaled.

Needs shap, scikit-learn, lightgbm, xgboost, catboost, skl2onnx, onnxmltools and woodelf-explainer beside onnxsal.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import resource
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import catboost
import lightgbm
import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pandas
import shap
import xgboost
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from skl2onnx import to_onnx
from sklearn import ensemble, tree
from woodelf import WoodelfExplainer

from onnxsal.graph.maps import without_maps
from onnxsal.trees import Ensemble, added, ensemble_of, interventional, is_ensemble, mapped, over
from onnxsal.trees.paths import paths
from onnxsal.trees.transforms import transformed

RNG = np.random.default_rng(0)
TASKS = ("regression", "two classes", "three classes")
ML = {"": 15, "ai.onnx.ml": 3}


def table(task: str, rows: int = 600, features: int = 8) -> tuple[Any, Any]:
    """Return float32 rows and what is learned of them."""
    x = RNG.normal(size=(rows, features)).astype(np.float32)
    y = x[:, 0] + np.sin(2 * x[:, 1]) * x[:, 2] + np.where(x[:, 3] > 0, x[:, 4], -x[:, 5]) + 0.2 * RNG.normal(size=rows)
    if task == "regression":
        return x, y
    return x, np.digitize(y, np.quantile(y, [0.5] if task == "two classes" else [0.3, 0.7]))


def scikit(estimator: Any) -> Callable[[Any, Any], tuple[Any, onnx.ModelProto]]:
    """Return what fits and exports one of scikit-learn's."""

    def made(x: Any, y: Any) -> tuple[Any, onnx.ModelProto]:
        fitted = estimator.fit(x, y)
        options = {"zipmap": False} if hasattr(fitted, "classes_") else None
        return fitted, to_onnx(fitted, x[:1], target_opset=ML, options=options)

    return made


def boosted(convert: Callable[..., Any], estimator: Any) -> Callable[[Any, Any], tuple[Any, onnx.ModelProto]]:
    """Return what fits and exports one of LightGBM's or XGBoost's."""

    def made(x: Any, y: Any) -> tuple[Any, onnx.ModelProto]:
        fitted = estimator.fit(x, y)
        more = {"zipmap": False} if convert is convert_lightgbm else {}
        return fitted, convert(fitted, initial_types=[("x", FloatTensorType([None, x.shape[1]]))], **more)

    return made


def cat(estimator: Any) -> Callable[[Any, Any], tuple[Any, onnx.ModelProto]]:
    """Return what fits and exports one of CatBoost's."""

    def made(x: Any, y: Any) -> tuple[Any, onnx.ModelProto]:
        fitted = estimator.fit(x, y)
        with tempfile.TemporaryDirectory() as folder:
            fitted.save_model(f"{folder}/cat.onnx", format="onnx")
            return fitted, onnx.load(f"{folder}/cat.onnx")

    return made


def models() -> Iterator[tuple[str, str, bool, Callable[[Any, Any], tuple[Any, onnx.ModelProto]]]]:
    """Yield name, task, whether values are missing, and what fits and exports it."""
    sizes = ((3, 10), (8, 30))
    for task, (depth, count) in itertools.product(TASKS, sizes):
        kind = "Regressor" if task == "regression" else "Classifier"
        more = {"max_depth": depth, "n_estimators": count, "random_state": 0}
        for name in ("RandomForest", "ExtraTrees"):
            yield name, task, False, scikit(getattr(ensemble, name + kind)(**more))
        yield "DecisionTree", task, False, scikit(getattr(tree, "DecisionTree" + kind)(max_depth=depth))
        for missing in (False, True):
            light = getattr(lightgbm, "LGBM" + kind)(**more, verbose=-1, min_child_samples=5, n_jobs=1)
            yield "LightGBM", task, missing, boosted(convert_lightgbm, light)
            yield "XGBoost", task, missing, boosted(convert_xgboost, getattr(xgboost, "XGB" + kind)(**more, n_jobs=1))
        if task == "three classes":  # of which shap takes neither of the following
            continue
        yield "GradientBoosting", task, False, scikit(getattr(ensemble, "GradientBoosting" + kind)(**more))
        quiet = {"verbose": 0, "allow_writing_files": False, "thread_count": 1}
        grown = {"depth": depth, "iterations": count, "random_state": 0} | quiet
        yield "CatBoost", task, False, cat(getattr(catboost, "CatBoost" + kind)(**grown))
        if task == "regression":
            dart = lightgbm.LGBMRegressor(**more, boosting_type="dart", verbose=-1, n_jobs=1)
            yield "LightGBM, DART", task, False, boosted(convert_lightgbm, dart)
    for count, samples in itertools.product((10, 40), (32, 64, 128, 256)):
        isolated = ensemble.IsolationForest(n_estimators=count, max_samples=samples, random_state=0)
        yield "IsolationForest", "depth", False, scikit(isolated)


def between(proto: onnx.ModelProto, source: str, target: str) -> Callable[[Any], Any]:
    """Return what runs the part of a graph that lies between two values of floats, on ONNX Runtime."""
    wanted, kept = {target}, []
    for node in reversed(proto.graph.node):
        if wanted & set(node.output) and source not in node.output:
            kept.insert(0, node)
            wanted.update(node.input)
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in (source, target)]
    graph = onnx.helper.make_graph(kept, "part", values[:1], values[1:], proto.graph.initializer)
    part = onnx.helper.make_model(graph, opset_imports=proto.opset_import, ir_version=proto.ir_version)
    session = onnxruntime.InferenceSession(part.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda given: session.run([target], {source: given.astype(np.float32)})[0].reshape(len(given), -1)


def read(proto: onnx.ModelProto) -> Ensemble:
    """Return a file's trees as one ensemble; those of an isolation forest number their leaves, and depths follow."""
    nodes = [node for node in ir.from_proto(without_maps(proto)[0]).graph if is_ensemble(node)]
    if len(nodes) == 1:
        return ensemble_of(nodes[0])
    depths = []
    for node in nodes:
        name = str(node.outputs[0].name)  # node_sample7_Y0; its depth is depth7_C0
        depth = name.replace("node_sample", "depth").replace("_Y0", "_C0")
        one = mapped(ensemble_of(node), between(proto, name, depth), depth)
        picked = node.inputs[0].producer()
        depths.append(one if picked is None else over(one, picked.inputs[1].const_value.numpy()))
    return added(depths, [1 / len(depths)] * len(depths))


def said(proto: onnx.ModelProto, rows: Any) -> Any:
    """Return what the file itself says on ONNX Runtime: scores of its trees, or mean depths."""
    nodes = [node for node in proto.graph.node if node.op_type.startswith("TreeEnsemble")]
    name = nodes[0].output[-1] if len(nodes) == 1 else "dec_sum0"
    return between(proto, proto.graph.input[0].name, name)(rows) / len(nodes)


def compare() -> None:
    """Print the table of models, and the largest of each column."""
    print("| model | task | trees | deepest | largest difference to shap, of the range | sum rule, of the range |")
    print("| --- | --- | --- | --- | --- | --- |")
    largest = np.zeros((0, 2))
    for name, task, missing, made in models():
        x, y = table("regression" if task == "depth" else task)
        if missing:
            x[RNG.random(x.shape) < 0.1] = np.nan
        fitted, proto = made(x, y)
        trees = read(proto)
        rows, background = x[:200], x[200:300]
        values, base = interventional(trees, rows, background)
        oracle = np.asarray(shap.TreeExplainer(fitted, background).shap_values(rows, check_additivity=False))
        ours = values if oracle.ndim == 3 else values[..., -1]
        span = np.ptp(trees.margins(rows)[:, -1])
        scores = transformed(values.sum(axis=1) + base, trees.post_transform)
        off = np.abs(ours - oracle).max() / span, np.abs(scores - said(proto, rows)).max() / np.ptp(scores)
        largest = np.vstack([largest, off])
        also = ", missing values" if missing else ""
        print(f"| {name} | {task}{also} | {trees.trees} | {deepest(trees)} | {off[0]:.1e} | {off[1]:.1e} |", flush=True)
    print(f"| {len(largest)} models | largest | | | {largest[:, 0].max():.1e} | {largest[:, 1].max():.1e} |")


def deepest(trees: Ensemble) -> int:
    """Return the number of branches on the longest way."""
    return int(paths(trees.tests, np.arange(trees.features, dtype=np.int32))[2].max(initial=0))


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return a result, and seconds by the clock and of the processor."""
    start, used = time.perf_counter(), time.process_time()
    found = work()
    return found, time.perf_counter() - start, time.process_time() - used


def memory() -> float:
    """Return the most memory that the process has held so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def speed(options: argparse.Namespace) -> None:
    """Print what each library takes for the same values."""
    x, y = table("regression", 8000, options.features)
    forest = ensemble.RandomForestRegressor(100, max_depth=options.depth or None, random_state=0).fit(x, y)
    trees = read(to_onnx(forest, x[:1], target_opset=ML))
    rows, background = RNG.normal(size=(options.rows, options.features)).astype(np.float32), x[:100]
    few = min(options.shap, options.rows)
    print(
        f"{trees.trees} trees, deepest {deepest(trees)}, {(trees.nodes.other < 0).sum()} leaves, {options.features} ",
        end="",
    )
    print(f"features, {options.rows} rows, {len(background)} of background")
    frame = lambda some: pandas.DataFrame(some, columns=[f"f{i}" for i in range(options.features)])
    wood = WoodelfExplainer(forest, frame(background)) if options.woodelf else None
    peer = shap.TreeExplainer(forest, background)
    ours = lambda some: interventional(trees, some, background, threads=1)[0][..., 0]
    ours(rows[:1]), ours(rows[: options.rows])  # compiles
    mine, *spent = timed(lambda: ours(rows))
    print("| library | rows | seconds by the clock | of the processor | of the processor, for all rows | ratio | MiB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")

    def line(name: str, count: int, seconds: Any) -> None:
        whole = seconds[1] * options.rows / count
        numbers = f"{seconds[0]:.2f} | {seconds[1]:.2f} | {whole:.2f} | {whole / spent[1]:.1f} | {memory():.0f}"
        print(f"| {name} | {count} | {numbers} |", flush=True)

    line("onnxsal", options.rows, spent)
    if wood is not None:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere), contextlib.redirect_stdout(nowhere):
            theirs, *seconds = timed(lambda: wood.shap_values(frame(rows)))
        line("woodelf-explainer", options.rows, seconds)
        apart = np.abs(theirs - mine).max(axis=1)
        print(f"largest difference: {apart.max():.1e}; {(apart > 1e-5).sum()} rows differ by more than 1e-5")
    theirs, *seconds = timed(lambda: peer.shap_values(rows[:few], check_additivity=False))
    line("shap", few, seconds)
    print(
        f"largest difference: {np.abs(theirs - mine[:few]).max():.1e} of a range of {np.ptp(trees.margins(rows)):.3g}"
    )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["models", "speed"])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--depth", type=int, default=8, help="0: as deep as trees want")
    parser.add_argument("--features", type=int, default=30)
    parser.add_argument("--shap", type=int, default=2000, help="rows that shap is timed on")
    parser.add_argument("--woodelf", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    onnxruntime.set_default_logger_severity(3)
    if options.what == "models":
        compare()
    else:
        speed(options)


if __name__ == "__main__":
    main()
