"""A Model on its way to another process: pickled fresh or used, of any depth, it gives the same bits."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import helper as h
from tinynet import TinyNet, image

import onnxsal
from onnxsal.evaluation.cascade import Cascade

X = image()
WAYS = {"pickle": lambda model: pickle.loads(pickle.dumps(model)), "deepcopy": copy.deepcopy, "copy": copy.copy}


def explained(model, method="grad-cam", **options):
    return onnxsal.explain(model, X, method=method, target=1, **options)


@pytest.fixture(scope="module")
def model():
    found = onnxsal.load(TinyNet().model(), labels=list("abcde"), preprocess="unit", threads=1, memory="300M")
    explained(found)
    return found


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", ["grad-cam", "gradient", "score-cam", "smoothgrad"])
def test_a_used_model_comes_back_with_the_same_maps(model, way, method):
    found, expected = explained(WAYS[way](model), method), explained(model, method)
    np.testing.assert_array_equal(found.raw, expected.raw)
    drop = {"seconds"}
    assert {k: v for k, v in found.manifest.items() if k not in drop} == {
        k: v for k, v in expected.manifest.items() if k not in drop
    }
    assert (found.label, found.score, found.logit) == (expected.label, expected.score, expected.logit)


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_lost_but_what_is_kept_for_the_next_explanation(model, way):
    found = WAYS[way](model)
    for name in ("name", "preprocess", "labels", "provider", "custom_ops", "digest", "notes", "metadata", "threads",
                 "memory", "layers", "size", "drawn"):  # fmt: skip
        assert getattr(found, name) == getattr(model, name), name
    assert found.anatomy.entry == model.anatomy.entry and found.anatomy.head == model.anatomy.head
    assert found._sessions.count() == 0 < model._sessions.count()
    assert found._sessions.memory == model._sessions.memory
    compiled = [onnxsal.compile(each, method="grad-cam").SerializeToString(deterministic=True) for each in
                (found, model)]  # fmt: skip
    assert compiled[0] == compiled[1]


def test_another_process_started_afresh_gives_the_same_map(model):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(onnxsal.explain, (model, X), {"method": "grad-cam", "target": 1})
    np.testing.assert_array_equal(found.raw, explained(model).raw)


def test_a_randomised_model_comes_back_randomised(model):
    changed = Cascade(model, stages=1).models()[-1]
    found = pickle.loads(pickle.dumps(changed))
    np.testing.assert_array_equal(explained(found, "gradient").raw, explained(changed, "gradient").raw)
    assert not np.array_equal(explained(found, "gradient").raw, explained(model, "gradient").raw)


def test_a_deep_model_is_pickled_fresh_and_used():
    deep = TinyNet().model()
    node = next(n for n in deep.graph.node if n.op_type == "Relu")
    names = [f"deep{i}" for i in range(300)]
    last, node.output[0] = node.output[0], names[0]
    at = list(deep.graph.node).index(node) + 1
    for i, (a, b) in enumerate(zip(names, [*names[1:], last], strict=True)):
        deep.graph.node.insert(at + i, h.make_node("Relu", [a], [b]))
    fresh = onnxsal.load(deep)
    with pytest.raises(RecursionError):
        pickle.dumps(fresh.anatomy.model)
    found = pickle.loads(pickle.dumps(fresh))
    np.testing.assert_array_equal(found.scores(X)[0], fresh.scores(X)[0])
    assert pickle.dumps(fresh)
    assert copy.deepcopy(fresh).digest == fresh.digest


def test_weights_beside_the_file_stay_there(tmp_path):
    path = tmp_path / "m.onnx"
    onnx.save(TinyNet().model(), path, save_as_external_data=True, size_threshold=0, location="m.data")
    model = onnxsal.load(path)
    found = pickle.loads(pickle.dumps(model))
    assert found.name == str(path) and found.digest == model.digest
    np.testing.assert_array_equal(explained(found).raw, explained(model).raw)


def test_by_value_as_ray_dask_and_joblib_pickle_it(model):
    cloudpickle = pytest.importorskip("cloudpickle", reason="needs cloudpickle, which Ray, Dask and Spark bring")
    found = cloudpickle.loads(cloudpickle.dumps(lambda: replace(model, name="other")))()
    np.testing.assert_array_equal(explained(found).raw, explained(model).raw)
