"""The site of the documentation: ``nox -s site`` builds it from these pages, without a network."""

from __future__ import annotations

import importlib
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
warnings.simplefilter("ignore")

from onnxsal._version import __version__  # noqa: E402

project, author, release = "onnxsal", "The onnxsal authors", __version__
copyright = author
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
html_theme = "furo"
html_title = f"onnxsal {release}"
html_static_path, html_css_files = ["_static"], ["site.css"]
exclude_patterns = ["_build"]
smartquotes = False  # they make one dash of two, in options too

nb_execution_mode = "cache"  # a notebook is run again where it changed
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
suppress_warnings = ["myst.header"]  # pages that are included begin below their title

autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_numpy_docstring = False
napoleon_use_rtype = False
copybutton_prompt_text = "$ "

_IN_REPOSITORY = re.compile(r"\[([^\[\]]+)\]\(((?:\.\./)+)([^)#\s]+)(#[^)\s]*)?\)")
_PAGES = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md", "README.md": "index.md"}
"""Files of the repository that are pages of the site."""


def _relink(app: Any, name: str, source: list[str]) -> None:
    """Links to files that are no pages become the name of the file, which whoever has a clone can open."""

    def other(found: re.Match[str]) -> str:
        text, path, anchor = found[1], found[3], found[4] or ""
        if found[2].count("../") <= name.count("/"):
            return found[0]  # from a folder of the site: another page of it
        if path in _PAGES:
            return f"[{text}]({_PAGES[path]}{anchor if path != 'README.md' else ''})"
        same = text.strip("`/") == path.strip("/")
        return f"`{path}`" if same else f"{text} (`{path}` in the repository)"

    source[0] = _IN_REPOSITORY.sub(other, source[0])
    if name == "commands":
        source[0] = source[0].replace("<!-- commands -->", _commands())


_SECTION = re.compile(r"(?P<indent>\s*)(?P<name>Args|Raises|Shape|Source|Returns): (?P<rest>\S.*)")


def _as_sections(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Lay out for the page what stands in one line each in the code: arguments as a list, the rest as paragraphs."""
    found: list[str] = []
    inside = False
    for line in lines:
        section = _SECTION.fullmatch(line)
        if section is not None and section["name"] == "Args":
            found += ["", f"{section['indent']}Args:", f"{section['indent']}    {section['rest']}"]
            inside = False
        elif section is not None:
            found += ["", f"{section['indent']}**{section['name']}:** {section['rest']}"]
            inside = True
        elif line.strip() and line.startswith("    ") and inside:
            found.append(line.strip())
        else:
            if found and not line.startswith(" ") and found[-1].startswith(" "):
                found.append("")
            found.append(line)
            inside = False
    lines[:] = found


def _commands() -> str:
    """Return what ``--help`` prints of every command, each under a heading."""
    root, parts = importlib.import_module("onnxsal.cli.root").root, []
    with click.Context(root, info_name="onnxsal", terminal_width=100) as top:
        for name in root.list_commands(top):
            found = root.get_command(top, name)
            with click.Context(found, info_name=name, parent=top, terminal_width=100) as context:
                parts.append(f"## {name}\n\n```text\n{found.get_help(context)}\n```\n")
                for inner in found.list_commands(context) if isinstance(found, click.Group) else ():
                    each = found.get_command(context, inner)
                    with click.Context(each, info_name=inner, parent=context, terminal_width=100) as below:
                        parts.append(f"### {name} {inner}\n\n```text\n{each.get_help(below)}\n```\n")
    return "\n".join(parts)


def setup(app: Any) -> None:
    """Connect what makes these pages."""
    app.connect("source-read", _relink)
    app.connect("autodoc-process-docstring", _as_sections, priority=400)  # before napoleon reads them
