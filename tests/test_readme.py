"""The pages say what is so: generated tables, commands, options, code, links and presets."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest

import onnxsal
from onnxsal.cli.root import root
from onnxsal.explanation.method_plan import plan, split_options
from onnxsal.modalities.image.preprocess import PRESETS, Preprocess

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    *sorted(ROOT.glob("README*.md")),
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "tools" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def known() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = generator().built_in()
    return found


@pytest.mark.parametrize("page", ["README.md", "docs/methods.md"])
def test_generated_tables_are_those_of_the_methods(page: str, known: dict[str, dict[str, Any]]) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert generator().filled(text, known) == text, "run: python tools/generate.py"


def test_every_built_in_method_has_its_section(known: dict[str, dict[str, Any]]) -> None:
    text = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    assert re.findall(r"<!-- method: (\S+) -->", text) == re.findall(r"^### (\S+)$", text, re.MULTILINE)
    assert set(re.findall(r"^### (\S+)$", text, re.MULTILINE)) == set(known)


def test_a_changed_table_would_be_noticed(known: dict[str, dict[str, Any]]) -> None:
    dearer = {**known, "grad-cam": {**known["grad-cam"], "cost": "2 forward + backward"}}
    assert generator().filled(README, dearer) != README


@pytest.mark.parametrize("mark", ["demo", "test"])
def test_the_two_commands_are_one_line_each(mark: str) -> None:
    (block,) = re.findall(rf"<!-- ci: {mark} -->\n```sh\n(.*?)```", README, re.DOTALL)
    assert len(block.splitlines()) == 1
    assert "pip install '.[cpu" in block or "pip install -e '.[cpu" in block


def commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("onnxsal ")]


@pytest.mark.parametrize("line", commands())
def test_a_command_exists_with_its_options(line: str) -> None:
    name, *words = shlex.split(line, comments=True)[1:]
    command = root.get_command(click.Context(root), name)
    if isinstance(command, click.Group):
        command = command.get_command(click.Context(command), words.pop(0))
    assert command is not None
    there = {option for p in command.params for option in p.opts if option.startswith("-")}
    assert {word for word in words if re.fullmatch(r"--?[a-zA-Z]+", word)} <= there
    methods = words[words.index("-m") + 1].split(",") if "-m" in words else []
    given = dict(words[i + 1].split("=") for i, word in enumerate(words) if word == "-O")
    for method in methods:
        plan(method, split_options(given)[1])


def test_the_gradient_command_is_that_of_its_help() -> None:
    (line,) = [line for line in commands() if line.startswith("onnxsal gradient ")]
    command = root.get_command(click.Context(root), "gradient")
    assert command is not None
    assert shlex.join(shlex.split(line, comments=True)) in str(command.help)


def test_there_are_commands_to_check() -> None:
    assert len(commands()) >= 9


def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    shutil.copy(ROOT / "models" / "shapes.onnx", tmp_path / "model.onnx")
    shutil.copy(ROOT / "models" / "demo.png", tmp_path / "dog.jpg")
    monkeypatch.chdir(tmp_path)
    exec(code.replace("Egyptian cat", "star").replace(', preprocess="imagenet"', ""), {})
    assert (tmp_path / "dog.png").stat().st_size > 1000
    assert capsys.readouterr().out.startswith("star 0.9")


def links(page: Path) -> list[str]:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [to for to in re.findall(r"\]\(([^)\s]+)\)", text) if not to.startswith("http")]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in generator().anchors(target.read_text(encoding="utf-8")).values(), link


def test_the_presets_are_those_of_the_page() -> None:
    text = (ROOT / "docs" / "preprocessing.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (RGB|BGR) \| (\S+) \| ([\d. ]+) \| ([\d. ]+) \|$", text, re.MULTILINE)
    assert [row[0] for row in rows] == list(PRESETS)
    for name, colour, scale, mean, std in rows:
        top, _, bottom = scale.partition("/")
        preset = PRESETS[name]
        assert colour == preset.colour
        assert float(top) / float(bottom or 1) == pytest.approx(preset.scale)
        assert [float(v) for v in mean.split()] == pytest.approx(preset.mean, abs=6e-4)
        assert [float(v) for v in std.split()] == pytest.approx(preset.std, abs=6e-4)


def test_every_key_of_preprocessing_is_on_its_page() -> None:
    text = (ROOT / "docs" / "preprocessing.md").read_text(encoding="utf-8")
    for key in {*Preprocess.__dataclass_fields__, "preset", "range"} - {
        "name",
        "open_fit",
        "mean_image",
        "said",
    }:  # its file stands under `mean`
        assert f"`{key}`" in text


def test_the_versions_agree() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{onnxsal.__version__}"' in text
