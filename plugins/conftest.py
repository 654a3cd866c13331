"""Lets the plug-ins be tested from the checkout: those that are not installed are offered as if they were."""

from __future__ import annotations

import importlib.metadata
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from onnxsal import plugins

HERE = Path(__file__).resolve().parent


def _installed(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


ABSENT = [file.parent for file in sorted(HERE.glob("*/pyproject.toml")) if not _installed(file.parent.name)]
sys.path[:0] = [str(project / "src") for project in ABSENT]


def pretend_installed(project: Path, site: Path) -> None:
    """Write what an installer would leave of a project in ``site``: its metadata and entry points."""
    table = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = site / f"{table['name'].replace('-', '_')}-{table['version']}.dist-info"
    info.mkdir()
    head = f"Metadata-Version: 2.1\nName: {table['name']}\nVersion: {table['version']}\n"
    (info / "METADATA").write_text(head, encoding="utf-8")
    groups = [
        "\n".join([f"[{group}]", *(f"{name} = {target}" for name, target in names.items())])
        for group, names in table.get("entry-points", {}).items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups), encoding="utf-8")


@pytest.fixture(scope="module", autouse=True)  # a worker may go on with tests that expect no plug-in
def _offered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for project in ABSENT:
            site = tmp_path_factory.mktemp(project.name)
            pretend_installed(project, site)
            patch.syspath_prepend(site)
        plugins._installed.cache_clear()
        yield
    plugins._installed.cache_clear()
