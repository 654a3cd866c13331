"""The public surface: which names there are, how they are called, and what plug-ins may rely on."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import onnxsal

ROOT = Path(__file__).resolve().parent.parent

SIGNATURES = {
    "load": "(path, *, preprocess=None, labels=None, provider=None, custom_ops=(), threads=None, memory=None, "
    "task=None, size=None, head=None, activation=None, explained=None, inputs=None, "
    "threshold=None, iou=None)",
    "explain": "(model, image, *, method='grad-cam++', target=None, layer=None, score=None, seed=0, "
    "preprocess=None, **options)",
    "explain_dataset": "(ds, *, model, method='grad-cam++', target=None, layer=None, score=None, seed=0, "
    "preprocess=None, image='bytes', id='path', targets=None, dtype='float16', actors=1, cpus=1, gpus=0, rows=8, "
    "strict=False, checkpoint=None, remote=None, **options)",
    "evaluate_dataset": "(ds, *, model, methods=(), metrics, image='bytes', id='path', truth=None, actors=1, cpus=1, "
    "gpus=0, rows=8, remote=None, **options)",
    "compile": "(model, *, method='grad-cam++', target=None, layer=None, score=None, seed=0, preprocess=None, "
    "opset=None, give='saliency', bytes_in=False, keep_custom=False, explain_required=False, "
    "keep_random=False, mask_in=False, runtime=None, when=None, no_if=False, batch=None, unroll=False, "
    "noise_as='operators', "
    "fold_weights=False, **options)",
    "evaluate": "(model, images, *, methods=(), metrics, **options)",
    "gradient": "(model, *, of, wrt, rules='plain', opset=None, inputs=None)",
    "read_maps": "(path)",
    "save": "(model, path)",
    "save_repository": "(model, folder, *, name=None, max_batch_size=8)",
    "methods": "()",
    "method": "(name, *, paper, when='', **details)",
    "vjp": "(op_type, *, domain='', slots=None)",
    "defvjp": "(op_type, *rules, domain='', broadcasts=False)",
    "modality": "(name)",
    "metric": "(name, *, paper, when='', higher_is_better=True, batched=False, ends=(-inf, inf))",
    "task": "(name, *, when='')",
}
TYPES = {"Box", "Element", "Evaluation", "Explanation", "Like", "Method", "Model", "Recording", "Region"}

MEMBERS = {
    "Model.predict": "(self, image, *, top=5)",
    "Model.inspect": "(self)",
    "Explanation.save": "(self, path, *, effort=None, **style)",
    "Explanation.png": "(self, **style)",
    "Explanation.words": "(self)",
    "Explanation.html": "(self, *, colours=None)",
    "Explanation.to_dict": "(self, *, maps=True)",
    "Explanation.to_npz": "(self, path)",
}
FIELDS = {
    "Explanation": {"saliency", "raw", "stderr", "target", "label", "score", "logit", "image", "box", "manifest"},
    "Method": {"name", "paper", "when", "origin"},
}

FOR_PLUGINS = {
    "onnxsal": {*SIGNATURES, *TYPES},
    "onnxsal.anatomy": {"Anatomy", "Entry", "Layer", "X"},
    "onnxsal.anatomy.select": {"entered"},
    "onnxsal.autodiff": {"Call", "defvariadic", "defzero", "gradients_of"},
    "onnxsal.errors": {"ImageError", "NotSeenError", "UnsupportedError", "UsageError"},
    "onnxsal.graph": {"Program", "Tape", "Trace", "dims", "empty"},
    "onnxsal.methods": {"Cost", "Level", "Range", "Samples"},
    "onnxsal.methods.parts": {"activation", "combine", "divide", "trace_with_gradient"},
    "onnxsal.metrics.given": {"GIVEN"},
    "onnxsal.metrics.judgement": {"Judgement"},
    "onnxsal.modalities.registry": {"Modality", "Reader", "Sample"},
    "onnxsal.tasks": {"Numbers", "Prediction", "Target", "Task", "difference", "one"},
    "onnxsal.serving.protocol": {"plain_v1", "read_v1"},
    "onnxsal.serving.served": {"Answer", "DATATYPES", "Served"},
    "onnxsal.records": {"Boxes", "Draws", "Grids", "HostMasks", "Moments", "Noise", "Record"},
}
"""What docs/plugins.md promises to plug-ins beside the top level."""


def called(thing: object) -> str:
    """Return a signature without its annotations."""
    signature = inspect.signature(thing)  # type: ignore[arg-type]
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))


def test_the_exported_names_are_these_and_no_others() -> None:
    assert set(onnxsal.__all__) == {*SIGNATURES, *TYPES, "__version__"}
    assert set(onnxsal.__all__) <= set(dir(onnxsal))


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_function_is_called_like_this(name: str) -> None:
    assert called(getattr(onnxsal, name)) == SIGNATURES[name]


@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_is_called_like_this(name: str) -> None:
    owner, member = name.split(".")
    assert called(getattr(getattr(onnxsal, owner), member)) == MEMBERS[name]


@pytest.mark.parametrize("owner", FIELDS)
def test_fields(owner: str) -> None:
    assert FIELDS[owner] <= set(getattr(onnxsal, owner).__dataclass_fields__)


@pytest.mark.parametrize("name", sorted({*SIGNATURES, *TYPES}))
def test_everything_public_says_what_it_returns(name: str) -> None:
    doc = inspect.getdoc(getattr(onnxsal, name))
    assert doc
    assert doc.splitlines()[0].endswith((".", ":"))


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'explian'"):
        onnxsal.explian  # noqa: B018


def test_functions_are_not_hidden_by_modules_of_their_name() -> None:
    code = (
        "import onnxsal.methods.cam, onnxsal.explanation.explain, onnxsal; "
        "print(callable(onnxsal.explain), callable(onnxsal.methods), callable(onnxsal.gradient))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "True"]


@pytest.mark.parametrize(("module", "name"), [(m, n) for m, names in FOR_PLUGINS.items() for n in sorted(names)])
def test_what_plug_ins_may_rely_on_is_there(module: str, name: str) -> None:
    assert hasattr(importlib.import_module(module), name)


def test_every_import_path_of_the_page_on_plug_ins_is_held_here() -> None:
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    table = {
        (module, name)
        for module, names in re.findall(r"^\| `(onnxsal[.a-z_]*)` \| (.*) \|$", page, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", names)
    }
    blocks = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    imported = {
        (node.module, alias.name)
        for node in ast.walk(ast.parse(blocks))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("onnxsal")
        for alias in node.names
    }
    prose = set(re.findall(r"`(onnxsal(?:\.[a-z_]+)+)\.([A-Z]\w*)`", page))
    assert (len(table) > 30, len(imported) > 3, ("onnxsal.metrics.given", "GIVEN") in prose) == (True, True, True)
    held = {(module, name) for module, names in FOR_PLUGINS.items() for name in names}
    assert table | imported | prose <= held


def test_our_own_plug_ins_rely_on_nothing_else() -> None:
    sources = list(ROOT.glob("plugins/*/src/*/*.py"))
    assert len(sources) >= 2
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "onnxsal":
                assert {alias.name for alias in node.names} <= FOR_PLUGINS.get(node.module or "", set()), path
            elif isinstance(node, ast.Import):
                assert all(not a.name.startswith("onnxsal.") for a in node.names), path


def test_the_documentation_names_what_plug_ins_may_rely_on() -> None:
    text = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    for module, names in FOR_PLUGINS.items():
        assert f"`{module}`" in text
        missing = [name for name in names if f"`{name}`" not in text]
        assert not missing, f"docs/plugins.md does not name {module}: {missing}"
