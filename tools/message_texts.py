"""The texts of messages, read from the code: what stands for text, with ``{what is filled in}`` in words.

In a text ``[...]`` is there at times, and ``(this | that)`` is one of several.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from message_words import PASSED_ON, words

MOST = 6
"""Alternatives that are still shown in the middle of a text; beyond it stands a placeholder."""
DEPTH = 8
"""How far a text is followed through names and calls."""
Function = ast.FunctionDef | ast.AsyncFunctionDef
_INNER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_LEAVES = (ast.Name, ast.Constant, ast.alias, ast.Pass, ast.arguments, ast.Import, ast.ImportFrom)


@dataclass(frozen=True)
class Said:
    """A text, and where it stands."""

    text: str
    node: ast.AST
    scope: Scope


class Module:
    """A module that was read: its nodes, constants, functions and what it imports from its own package."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self.tree = name, ast.parse(text)
        self.parents: dict[ast.AST, ast.AST] = {}
        self.nodes: list[ast.AST] = []
        self.constants: dict[str, ast.expr] = {}
        self.functions: dict[str, Function] = {}
        self.imports: dict[str, tuple[str, str]] = {}
        self._walk()
        for each in self.tree.body:
            if isinstance(each, ast.Assign | ast.AnnAssign) and each.value is not None:
                targets = each.targets if isinstance(each, ast.Assign) else [each.target]
                self.constants.update({one.id: each.value for one in targets if isinstance(one, ast.Name)})

    def _walk(self) -> None:
        """Visit every node once, in the order of the text: tens of thousands of lines are read in a test."""
        waiting: list[ast.AST] = [self.tree]
        while waiting:
            node = waiting.pop()
            self.nodes.append(node)
            if not isinstance(node, _LEAVES):
                below = [*_below(node)]
                self.parents |= dict.fromkeys(below, node)
                waiting += reversed(below)
            if isinstance(node, Function):
                self.functions.setdefault(node.name, node)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                self.imports.update({each.asname or each.name: (node.module, each.name) for each in node.names})

    def around(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield what a node stands in, from the inside."""
        while node in self.parents:
            node = self.parents[node]
            yield node

    @cached_property
    def callers(self) -> dict[str, list[Function]]:
        """By the name of a function of this module, the functions that mention it."""
        found: dict[str, list[Function]] = {}
        for node in self.nodes:
            name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
            if name in self.functions:
                inside = next((each for each in self.around(node) if isinstance(each, Function)), None)
                if inside is not None and inside.name != name:
                    found.setdefault(name, []).append(inside)
        return found


class Package(dict[str, Module]):
    """The modules of a package by their dotted names, each parsed when it is first asked for."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        names = (".".join(path.relative_to(root.parent).with_suffix("").parts) for path in sorted(root.rglob("*.py")))
        paths = zip(names, sorted(root.rglob("*.py")), strict=True)
        self.texts = {name.removesuffix(".__init__"): path.read_text(encoding="utf-8") for name, path in paths}

    def __missing__(self, name: str) -> Module:
        self[name] = Module(name, self.texts[name])
        return self[name]

    def there(self, name: str) -> Module | None:
        """Return a module of this package, None for those of others."""
        return self[name] if name in self.texts else None


@dataclass(frozen=True)
class Scope:
    """Where names mean something: a function of a module, or the module itself."""

    package: Package
    module: Module
    function: Function | None = None
    depth: int = 0

    def of(self, node: ast.AST) -> Scope:
        """Return the scope that a node of this module stands in."""
        inside = next((each for each in self.module.around(node) if isinstance(each, Function)), None)
        return Scope(self.package, self.module, inside, self.depth)

    def said(self, node: ast.expr) -> list[Said]:
        """Return the texts that an expression may be, each with the place where it is written."""
        match node:
            case ast.Constant(value=str(text)):
                return [Said(text, node, self)]
            case ast.JoinedStr():
                return [Said("".join(self._part(each) for each in node.values), node, self)]
            case ast.BinOp(op=ast.Add()):
                return [Said(self.inline(node.left) + self.inline(node.right), node, self)]
            case ast.IfExp():
                return self.said(node.body) + self.said(node.orelse)
            case ast.BoolOp():
                return [one for each in node.values for one in self.said(each)]
            case ast.Tuple() | ast.List():
                return [one for each in node.elts for one in self.said(each)]
            case ast.Starred():
                return self.said(node.value)
            case ast.ListComp() | ast.GeneratorExp():
                return self.said(node.elt)
            case ast.Name() if self.depth < DEPTH:
                return self._name(node.id)
            case ast.Call() if self.depth < DEPTH:
                return self._call(node)
        return []

    def inline(self, node: ast.expr) -> str:
        """Return a part of a text: as it stands, its alternatives, or a placeholder."""
        found = list(dict.fromkeys(each.text for each in self.said(node)))
        whole = [each for each in found if each]
        if not found or len(found) > MOST or not any(re.search(r"[a-z]|\W", re.sub(r"{.*?}", "", e)) for e in whole):
            return "{" + words(node) + "}"
        one = whole[0] if len(whole) == 1 else f"({' | '.join(whole)})"
        return f"[{one}]" if len(whole) < len(found) else one

    def _part(self, node: ast.expr) -> str:
        if isinstance(node, ast.Constant):
            return str(node.value)
        assert isinstance(node, ast.FormattedValue)
        text = self.inline(node.value)
        return f"'{text}'" if node.conversion == ord("r") else text

    def _name(self, name: str) -> list[Said]:
        below = Scope(self.package, self.module, self.function, self.depth + 1)
        if self.function is not None:
            values = _bound(self.function).get(name, [])
            if values or name in parameters(self.function):
                return [one for each in values for one in below.said(each)]
        if name in self.module.constants:
            return Scope(self.package, self.module, None, self.depth + 1).said(self.module.constants[name])
        there, theirs = self._imported(name)
        if there is not None and theirs in there.constants:
            return Scope(self.package, there, None, self.depth + 1).said(there.constants[theirs])
        return []

    def _imported(self, name: str) -> tuple[Module | None, str]:
        module, theirs = self.module.imports.get(name, ("", ""))
        there = self.package.there(module)
        if there is not None and theirs in there.imports:  # a package that hands on what a module of it has
            return self.package.there(there.imports[theirs][0]), there.imports[theirs][1]
        return there, theirs

    def _call(self, node: ast.Call) -> list[Said]:
        match node.func:
            case ast.Name(id="tuple" | "list" | "str" | "sorted") if node.args:
                return self.said(node.args[0])
            case ast.Name(id=name):
                there, theirs = (self.module, name) if name in self.module.functions else self._imported(name)
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name):
                there, theirs = self.module, name
            case ast.Attribute(attr="format", value=value):
                return self._formatted(value, node)
            case ast.Attribute(attr="fromkeys") if node.args:
                return self.said(node.args[0])
            case _:
                return []
        if there is None or theirs not in there.functions or theirs.strip("_") in PASSED_ON:
            return []
        function = there.functions[theirs]
        if function.returns is None or "str" not in ast.unparse(function.returns):
            return []
        below = Scope(self.package, there, function, self.depth + 1)
        return [one for each in _own(function) if isinstance(each, ast.Return) and each.value
                for one in below.said(each.value)]  # fmt: skip

    def _formatted(self, value: ast.expr, call: ast.Call) -> list[Said]:
        given = iter(call.args)
        by_name = {each.arg: each.value for each in call.keywords if each.arg}

        def filled(found: re.Match[str]) -> str:
            name = found[1]
            argument = by_name.get(name) if name else next(given, None)
            if isinstance(argument, ast.Starred):
                return "{" + words(argument.value) + "}"
            text = self.inline(argument) if argument is not None else "{" + (name or "...") + "}"
            return f"'{text}'" if found[2] == "!r" else text

        below = Scope(self.package, self.module, self.function, self.depth + 1)
        place = re.compile(r"{(\w*)(!r)?[^}]*}")
        return [Said(place.sub(filled, each.text), each.node, each.scope) for each in below.said(value)]


@cache
def _own(function: Function) -> tuple[ast.AST, ...]:
    """Return what stands in a function, without what stands in functions inside it."""
    found, waiting = list[ast.AST](), list[ast.AST](reversed(function.body))
    while waiting:
        node = waiting.pop()
        found.append(node)
        if not isinstance(node, (*_LEAVES, *_INNER)):
            waiting += reversed([*_below(node)])
    return tuple(found)


@cache
def _bound(function: Function) -> dict[str, list[ast.expr]]:
    """Return what local names are made of: what they are assigned, and what is appended to them."""
    found: dict[str, list[ast.expr]] = {}
    for node in _own(function):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                found.setdefault(name, []).append(value)
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
                for one, value in zip(names, values, strict=False):
                    if isinstance(one, ast.Name):
                        found.setdefault(one.id, []).append(value)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                found.setdefault(name, []).append(value)
            case ast.AugAssign(target=ast.Name(id=name), value=value):
                found.setdefault(name, []).append(value)
            case ast.Call(func=ast.Attribute(ast.Name(id=name), "append" | "extend"), args=[value]):
                found.setdefault(name, []).append(value)
    return found


def parameters(function: Function) -> set[str]:
    """Return the names that a function is given."""
    every = function.args
    return {each.arg for each in (*every.args, *every.kwonlyargs, *every.posonlyargs)}


def _below(node: ast.AST) -> Iterator[ast.AST]:
    for value in node.__dict__.values():  # twice as quick as ast.iter_child_nodes, which meets contexts too
        if isinstance(value, list):
            yield from (each for each in value if isinstance(each, ast.AST))
        elif isinstance(value, ast.expr | ast.arguments | ast.arg | ast.pattern):
            yield value
