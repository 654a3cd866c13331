"""Write docs/messages.md, every error and note that onnxsal can say, from the code: ``python tools/messages.py``."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from message_texts import Function, Module, Package, Scope, parameters
from message_triggers import first, when

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "messages.md"
NOTE, TERMINAL = "note", "misuse"
"""Kinds beside the classes of errors."""

INTRODUCTION = """# Messages

Every error and note that onnxsal can say, by the package that says it, with what brings it about: search the page for
the words that stand in yours. Above each group stands what was to be done and, behind a colon,
what stood in the way. `tools/messages.py` writes it from the code.

`{...}` is filled in, `[...]` is there at times, `(this | that)` is one of several. In Python an error is raised as
`onnxsal.` and its kind; the command line prints it behind `onnxsal: ` and ends with the status below. A note stands in
the manifest, and on the command line behind `note: `.

| kind | status | what it is |
| --- | --- | --- |
"""


@dataclass(frozen=True)
class Message:
    """A message: its text, its kind and what brings it about."""

    kind: str
    text: str
    module: str
    task: str
    why: str


def kinds(package: Package) -> dict[str, ast.ClassDef]:
    """Return the classes of errors that derive from onnxsal's own, by name."""
    modules = [package[name] for name, text in package.texts.items() if re.search(r"^class \w+\(.*Error", text, re.M)]
    classes = [each for module in modules for each in module.nodes if isinstance(each, ast.ClassDef)]
    found = {each.name: each for each in classes if each.name == "OnnxsalError"}
    for _ in classes:
        found |= {each.name: each for each in classes if {ast.unparse(base) for base in each.bases} & found.keys()}
    return found


_SPEAKS = re.compile(
    r"Error\((?!\w+\):)|_Wrong\(|\b(notes?|told)( ?=|\.)|def \w*notes?\w*\(|def warnings_of|\.warn\(|\btell\(|\.fail\("
    r"|file=sys|BadParameter|raise [a-z]\w*\(f"
)
"""What stands in a module that says something: the others are parsed where a message leads to them."""


def messages(package: Package, ours: dict[str, ast.ClassDef]) -> list[Message]:
    """Return every message of a package, each once a place, by module."""
    seen, found = set[tuple[str, int, int, str]](), list[Message]()
    for module in (package[name] for name, text in package.texts.items() if _SPEAKS.search(text)):
        scope = Scope(package, module)
        for kind, expression in _spoken(module, ours):
            for each in scope.of(expression).said(expression):
                text = _as_line(each.text)
                place = (each.scope.module.name, each.node.lineno, each.node.col_offset, kind)  # type: ignore[attr-defined]
                if place not in seen and _is_message(text):
                    seen.add(place)
                    found.append(Message(kind, text, each.scope.module.name, *when(each, kind)))
    order = {name: i for i, name in enumerate(package.texts)}
    return sorted(dict.fromkeys(found), key=lambda each: order[each.module])


def _is_message(text: str) -> bool:
    """Whether a text says something by itself: three words beside what is filled in, not a name or a key."""
    return len(re.findall(r"[A-Za-z]{2,}", re.sub(r"{.*?}", "", text))) > 2 and " " in text and text not in _UNSAID


def _spoken(module: Module, ours: dict[str, ast.ClassDef]) -> Iterator[tuple[str, ast.expr]]:
    """Yield (kind, expression) of all that is raised, noted or written to stderr."""
    for node in module.nodes:
        match node:
            case ast.Call(func=ast.Name(id=name), args=[first, *_]) if name in ours:
                yield _public(name, ours), first
            case ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id="super"))), args=[first, *_]):
                within = next((each for each in module.around(node) if isinstance(each, ast.ClassDef)), None)
                if within is not None and within.name in ours:
                    yield _public(within.name, ours), first
            case ast.Raise(exc=ast.Call(func=ast.Name(id=name), args=[first, *_])):
                function = next((each for each in module.around(node) if isinstance(each, Function)), None)
                if name in _CAUGHT or (function is not None and name in parameters(function)):
                    yield _CAUGHT.get(name, "UsageError"), first
            case ast.Call(func=ast.Attribute(value=ast.Name(id="click"), attr=name), args=[first, *_]) if (
                name in _CLICK
            ):
                yield TERMINAL, first
            case ast.Call(func=ast.Attribute(attr="fail"), args=[first, *_]) if ".cli" in module.name:
                yield TERMINAL, first
            case _:
                yield from ((NOTE, each) for each in _noted(node))


_UNSAID = {"left to the runtime"}
"""Raised and caught inside, and never shown."""
_CLICK = {"UsageError", "BadParameter", "ClickException"}
_CAUGHT = {"ValueError": "part", "_Wrong": "part"}
"""Raised inside, and said at the end of a message that another place begins."""


def _noted(node: ast.AST) -> Iterator[ast.expr]:
    match node:
        case ast.keyword(arg="notes" | "note", value=value):
            yield value
        case ast.Assign(targets=[ast.Name(id=name)], value=value) if re.fullmatch(r"notes?|told", name):
            yield value
        case ast.Call(func=ast.Attribute(value=ast.Name(id="notes" | "told"), attr="append" | "extend"), args=[value]):
            yield value
        case ast.Call(func=ast.Attribute(attr="warn") | ast.Name(id="tell"), args=[value, *_]):
            yield value
        case ast.Call(func=ast.Name(id="print"), args=[value, *_], keywords=kw) if any(k.arg == "file" for k in kw):
            yield value
        case ast.FunctionDef(name=name, returns=ast.expr() as kind) if _tells(name) and "str" in ast.unparse(kind):
            yield from (each.value for each in ast.walk(node) if isinstance(each, ast.Return) and each.value)


def _tells(name: str) -> bool:
    return bool(re.search(r"(^|_)notes?($|_)|warnings_of", name))


def _public(name: str, ours: dict[str, ast.ClassDef]) -> str:
    """Return the kind as users meet it: of errors that only a module has, what they derive from."""
    while name.startswith("_") or name in {"OwnWaysError", "UnknownRankError"}:
        name = next(ast.unparse(each) for each in ours[name].bases if ast.unparse(each) in ours)
    return name


def _as_line(text: str) -> str:
    return " ".join(text.split())


def page(root: Path) -> str:
    """Return docs/messages.md for a package in a folder."""
    package = Package(root)
    ours = kinds(package)
    every = messages(package, ours)
    parts = [INTRODUCTION + "\n".join(_kinds(ours, {each.kind for each in every}))]
    for name in dict.fromkeys(_unit(each.module) for each in every):
        parts.append(f"## {name.removeprefix('onnxsal.')}\n")
        about = ast.get_docstring(package[name].tree) or ""
        parts.append(f"{first(about)}.\n")
        mine = [each for each in every if _unit(each.module) == name]
        for module in dict.fromkeys(each.module for each in mine):
            title = first(ast.get_docstring(package[module].tree) or "").rstrip(":")
            if module != name:
                parts.append(f"**{title}**\n")
            parts += _entries([each for each in mine if each.module == module])
    return "\n".join(parts).rstrip() + "\n"


def _unit(module: str) -> str:
    return ".".join(module.split(".")[:2])


def _kinds(ours: dict[str, ast.ClassDef], used: set[str]) -> Iterator[str]:
    for name, each in ours.items():
        if name in used:
            status = 2 if name in {"UsageError", "NotSeenError", "UnsaidError"} else 1
            yield f"| `{name}` | {status} | {first(ast.get_docstring(each) or '')} |"
    yield f"| {TERMINAL} | 2 | What was written on the command line cannot be read |"
    yield f"| {NOTE} | | What was decided for you, or what a result does not show |"
    yield "| part | | What another message ends with |\n"


def _entries(said: list[Message]) -> Iterator[str]:
    """Yield the lines of a module's messages, those of one task and kind below each other."""
    for head in dict.fromkeys((each.task, each.kind, each.why) for each in said):
        task, kind, why = head
        shown = f"`{kind}`" if kind.endswith("Error") else kind.capitalize()
        yield f"{shown}{'. ' if task or why else ''}{task}{': ' if task and why else ''}{why}\n"
        for each in said:
            if (each.task, each.kind, each.why) == head:
                fence = "``" if "`" in each.text else "`"
                yield f"- {fence}{each.text}{' ' if each.text.endswith('`') else ''}{fence}"
        yield ""


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(ROOT / "onnxsal"), encoding="utf-8")


if __name__ == "__main__":
    main()
