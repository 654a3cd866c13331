"""The page of messages is what the code says, and a package that is small enough to read by eye is read right."""

from __future__ import annotations

from pathlib import Path

from tool import tool

ROOT = Path(__file__).resolve().parents[2]

FILES = {
    "__init__.py": '"""All of it. More."""\n',
    "errors.py": '''"""Errors."""\n\n\nclass OnnxsalError(Exception):\n    """Base."""\n\n
class UsageError(OnnxsalError):\n    """Asked wrongly."""\n\n\nclass _Lost(UsageError):\n    """Lost."""\n''',
    "graph/__init__.py": '"""Graphs: what is read."""\n',
    "graph/a.py": '''"""Names: found or not."""
from onnxsal.errors import UsageError, _Lost
from onnxsal.graph.b import near

WAY = "see `onnxsal layers {}`"


def find(name, known, model):
    """Return the value called ``name``.

    Raises: UsageError: there is none, or several.
    """
    if name not in known:
        raise UsageError(f"there is no value {name!r}{near(name)}; {WAY.format(model.path)}")
    return _one(name, known)


def _one(name, known):
    if len(known) > 9:
        raise _Lost(f"{len(known)} values are called {name!r}" + (f": {', '.join(known)}" if known else ""))
    raise ValueError("not ours, and no message")


def notes(rows) -> tuple[str, ...]:
    """Return what is said of rows."""
    found = []
    if rows.left is not None:
        found.append(f"{rows.left} rows {'is' if rows.left == 1 else 'are'} left out")
    return tuple(found)
''',
    "graph/b.py": '''"""Near ones."""


def near(name) -> str:
    close = name[::-1]
    return f"; did you mean {close!r}?" if close else ""
''',
    "cli/__init__.py": '"""The terminal."""\n',
    "cli/c.py": '''"""Options."""
import click


def read(value):
    raise click.BadParameter(f"{value!r} is no whole number")
''',
}

SAID = {
    ("misuse", "'{value}' is no whole number", "", ""),
    ("UsageError", "there is no value '{name}'[; did you mean '{close}'?]; see `onnxsal layers {path of model}`",
     "Return the value called `name`", "there is none, or several"),
    ("UsageError", "{number of known} values are called '{name}'[: {known}]",
     "Return the value called `name`", "there is none, or several"),
    ("note", "{left of rows} rows (is | are) left out", "Return what is said of rows", "there is left of rows"),
}  # fmt: skip


def test_messages_of_a_small_package(tmp_path: Path) -> None:
    for name, text in FILES.items():
        path = tmp_path / "onnxsal" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    read, make = tool("message_texts").Package(tmp_path / "onnxsal"), tool("messages")
    found = make.messages(read, make.kinds(read))
    said = {(each.kind, each.text, each.task, each.why) for each in found if each.kind != "part"}
    assert said == SAID
    page = make.page(tmp_path / "onnxsal")
    assert page.index("## cli\n\nThe terminal.") < page.index("## graph\n\nGraphs: what is read.")
    assert "**Names: found or not**" in page


def test_the_page_is_what_the_code_says() -> None:
    make = tool("messages")
    assert make.page(ROOT / "onnxsal") == make.PAGE.read_text(encoding="utf-8"), "run: python tools/messages.py"
