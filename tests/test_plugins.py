"""Plug-ins: offered by name without import, loaded on demand, and harmful only to who asks for a broken one."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import parser

import onnxsal
from onnxsal import plugins
from onnxsal.autodiff import registry
from onnxsal.errors import EnvironmentSetupError, UnsupportedError, UsageError
from onnxsal.methods import get
from onnxsal.metrics.registry import get as get_metric

Install = Callable[..., None]

METHOD = """
import onnxsal
from onnxsal.graph import Program
from onnxsal.methods import Level

@onnxsal.method("mine", paper="none", when="never")
def mine(score: Program, *, level: Level = 1.0) -> Program:
    '''Return the gradient of the score, whatever the level.'''
    return onnxsal.methods()["gradient"](score)
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Return ``install(package, group, names, source)``: a package of one module, as an installer would leave it."""

    def put(package: str, group: str, names: Mapping[str, str], source: str) -> None:
        module = package.replace("-", "_")
        site = tmp_path / package
        info = site / f"{module}-1.2.dist-info"
        info.mkdir(parents=True)
        (site / f"{module}.py").write_text(source, encoding="utf-8")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n", encoding="utf-8")
        lines = [f"[{group}]", *(f"{name} = {module}{target}" for name, target in names.items())]
        (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
        monkeypatch.syspath_prepend(site)
        monkeypatch.delitem(sys.modules, module, raising=False)
        plugins._installed.cache_clear()

    yield put
    for name in [n for n in sys.modules if n.startswith(("plug_", "onnxsal_rise"))]:
        del sys.modules[name]
    plugins._installed.cache_clear()


@pytest.fixture
def rules(monkeypatch: pytest.MonkeyPatch) -> dict[registry.Key, registry.Rule]:
    """Return the registry of rules, put back as it was after the test."""
    copy = {key: rule for key, rule in registry.REGISTRY.items() if key != ("ai.onnx.ml", "Imputer")}
    monkeypatch.setattr(registry, "REGISTRY", copy)
    return copy


def classifier() -> onnxsal.Model:
    """Return a linear softmax classifier of 2 x 2 pictures in one channel."""
    text = """<ir_version: 10, opset_import: ["" : 21]>
    g (float[N, 1, 2, 2] x) => (float[N, 2] p) <float[4, 2] w = {1, 2, 3, 4, 5, 6, 7, 8}> {
        flat = Flatten (x)
        logits = MatMul (flat, w)
        p = Softmax (logits)
    }"""
    return onnxsal.load(parser.parse_model(text), preprocess="unit")


PIXELS = np.full((1, 2, 2), 0.5, np.float32)


def test_a_method_of_a_package_is_offered_without_import_and_runs(install: Install) -> None:
    install("plug-method", plugins.METHODS, {"mine": ":mine"}, METHOD)
    assert plugins.offers(plugins.METHODS)["mine"].origin == "plug-method 1.2"
    assert "plug_method" not in sys.modules
    found = onnxsal.explain(classifier(), PIXELS, method="mine", target=1, level=0.5)
    np.testing.assert_array_equal(found.raw.ravel(), [2, 4, 6, 8])
    assert onnxsal.methods()["mine"].origin == "plug-method 1.2"
    assert onnxsal.methods()["gradient"].origin == f"onnxsal {onnxsal.__version__}"


def test_options_of_a_package_s_method_are_checked_like_any_other_s(install: Install) -> None:
    install("plug-method", plugins.METHODS, {"mine": ":mine"}, METHOD)
    with pytest.raises(UsageError, match="did you mean 'level'"):
        onnxsal.explain(classifier(), PIXELS, method="mine", levl=1)
    with pytest.raises(UsageError, match="out of range"):
        onnxsal.explain(classifier(), PIXELS, method="mine", level=-1)


@pytest.mark.parametrize(
    "source",
    [
        "import nothing_of_that_name",
        "1 / 0",
        "raise RuntimeError('no licence')",
        "def (",
        "import sys; sys.exit(3)",
        "",
    ],
    ids=["import", "zero", "raises", "syntax", "exit", "no object"],
)
def test_a_broken_package_hurts_only_who_asks_for_it(install: Install, source: str) -> None:
    install("plug-broken", plugins.METHODS, {"broken": ":broken"}, source)
    assert plugins.offers(plugins.METHODS)["broken"].origin == "plug-broken 1.2"
    known = onnxsal.methods()
    assert "broken" not in known
    assert {"gradient", "grad-cam++", "score-cam"} <= set(known)
    assert onnxsal.explain(classifier(), PIXELS, method="gradient", target=0).raw.shape == (1, 2, 2)
    with pytest.raises(EnvironmentSetupError, match=r"plug-broken 1\.2.*broken.*upgrade or uninstall"):
        get("broken")


def test_an_object_that_is_no_method_is_named(install: Install) -> None:
    install("plug-wrong", plugins.METHODS, {"wrong": ":thing"}, "thing = 3")
    with pytest.raises(EnvironmentSetupError, match=r"'wrong' from plug-wrong 1\.2 is not a method.*int"):
        get("wrong")


def test_a_built_in_keeps_its_name(install: Install) -> None:
    install("plug-thief", plugins.METHODS, {"grad-cam": ":mine"}, METHOD)
    assert plugins.offers(plugins.METHODS)["grad-cam"].package == "onnxsal"
    assert get("grad-cam").paper.startswith("Selvaraju")


RISE = """
import onnxsal
from onnxsal.records import Draws, HostMasks, Moments, Record

def masks(seed, start, stop, size):
    raise AssertionError("the package's own masks were asked for")

@onnxsal.method("rise", paper="none", score="probability", rules=None)
def rise(score, *, samples: int = 4000) -> Record:
    return Record(draws=Draws(masks=HostMasks(samples, masks)), body=score, moments=Moments(("score",), per="weighted"))
"""


def test_rise_as_a_package_gives_way_to_the_built_in_one(install: Install) -> None:
    """It was a plug-in once, and may still be installed."""
    install("onnxsal-rise", plugins.METHODS, {"rise": ":rise"}, RISE)
    assert plugins.offers(plugins.METHODS)["rise"].package == "onnxsal"
    found = onnxsal.explain(classifier(), PIXELS, method="rise", target=0, samples=5)
    assert found.raw.shape == (2, 2)
    assert "onnxsal_rise" not in sys.modules
    with pytest.raises(UsageError, match="'rise' is a built-in method, which keeps its name"):
        importlib.import_module("onnxsal_rise")


def test_of_two_packages_the_first_by_name_has_it(install: Install) -> None:
    install("plug-b", plugins.METHODS, {"mine": ":mine"}, METHOD)
    install("plug-a", plugins.METHODS, {"mine": ":mine"}, METHOD)
    assert plugins.offers(plugins.METHODS)["mine"].package == "plug-a"


def test_a_misspelt_method_of_a_package_is_suggested(install: Install) -> None:
    install("plug-method", plugins.METHODS, {"thermography": ":mine"}, METHOD)
    with pytest.raises(UsageError, match="did you mean 'thermography'"):
        get("termography")


MODEL = """<ir_version: 10, opset_import: ["" : 21, "ai.onnx.ml" : 3]>
g (float[N, 3] x) => (float[N, 3] y, float[N, 3] z) {
    y = ai.onnx.ml.Imputer <imputed_value_floats: floats = [0.0], replaced_value_float: float = 5.0> (x)
    z = Relu (x)
}"""

STRAIGHT = """
import onnxsal
onnxsal.defvjp("Imputer", lambda op, g, y, x: op.Mul(g, 3.0), domain="ai.onnx.ml")
onnxsal.defvjp("Relu", lambda op, g, y, x: op.Mul(g, 99.0))
"""


def gradient_of(name: str) -> np.ndarray:
    """Return d(sum of the value)/dx at x = 1, on ONNX Runtime."""
    import onnxruntime

    model: onnx.ModelProto = onnxsal.gradient(parser.parse_model(MODEL), of=[name], wrt=["x"])
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    ones = np.ones((1, 3), np.float32)
    return session.run(["grad/x"], {"x": ones, f"seed/{name}": ones})[0]


@pytest.mark.usefixtures("rules")
def test_a_rule_of_a_package_is_loaded_when_its_operator_turns_up(install: Install) -> None:
    install("plug-rules", plugins.RULES, {"ai.onnx.ml:Imputer": ""}, STRAIGHT)
    np.testing.assert_array_equal(gradient_of("z"), [[1, 1, 1]])
    assert "plug_rules" not in sys.modules
    np.testing.assert_array_equal(gradient_of("y"), [[3, 3, 3]])
    assert "plug_rules" in sys.modules


def test_rules_that_are_there_already_stay(install: Install, rules: dict[registry.Key, registry.Rule]) -> None:
    install("plug-rules", plugins.RULES, {"ai.onnx.ml:Imputer": "", "Relu": ""}, STRAIGHT)
    relu = rules[("", "Relu")]
    gradient_of("y")
    assert rules[("", "Relu")] is relu
    np.testing.assert_array_equal(gradient_of("z"), [[1, 1, 1]])


@pytest.mark.usefixtures("rules")
def test_a_broken_package_of_rules_hurts_only_its_operator(install: Install) -> None:
    install("plug-rules", plugins.RULES, {"ai.onnx.ml:Imputer": ""}, "1 / 0")
    np.testing.assert_array_equal(gradient_of("z"), [[1, 1, 1]])
    with pytest.raises(EnvironmentSetupError, match=r"'ai.onnx.ml:Imputer' comes from the package plug-rules 1\.2"):
        gradient_of("y")


@pytest.mark.usefixtures("rules")
def test_a_package_that_registers_nothing_leaves_the_operator_without_a_rule(install: Install) -> None:
    install("plug-rules", plugins.RULES, {"ai.onnx.ml:Imputer": ""}, "")
    with pytest.raises(UnsupportedError, match="Imputer"):
        gradient_of("y")


def test_metrics_come_the_same_way(install: Install) -> None:
    source = """
import onnxsal

@onnxsal.metric("mean", paper="none", when="bright maps")
def mean(saliency):
    return float(saliency.mean())
"""
    install("plug-metric", plugins.METRICS, {"mean": ":mean"}, source)
    assert set(plugins.offers(plugins.METRICS)) >= {"mean", "energy-pointing"}
    assert get_metric("mean")(PIXELS[0]).value == 0.5
    with pytest.raises(UsageError, match="did you mean 'mean'"):
        get_metric("maen")


def test_what_a_program_makes_it_can_name_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from onnxsal.methods import get
    from onnxsal.methods.registry import MADE
    from onnxsal.metrics import registry

    monkeypatch.setattr(registry, "_MADE", {})
    made = onnxsal.method("made-here", paper="none")(lambda score, layer: None)
    monkeypatch.setitem(MADE, "made-here", made)
    assert get("made-here").build is onnxsal.methods()["made-here"].build is MADE["made-here"].build
    assert get("made-here").origin == "this program"
    for make, name in ((onnxsal.method, "grad-cam"), (onnxsal.metric, "sparseness")):
        with pytest.raises(UsageError, match=f"'{name}' is a built-in .*, which keeps its name: give yours another"):
            make(name, paper="none")(lambda: None)
    judge = onnxsal.metric("judge-here", paper="none")(lambda saliency: 0.5)
    assert registry.get("judge-here") is judge
    monkeypatch.delitem(MADE, "made-here")
    assert "made-here" not in onnxsal.methods()
