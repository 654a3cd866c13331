"""What an expression of the code is called, in words: for placeholders and conditions of messages."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cached_property

PASSED_ON = {"str", "repr", "sorted", "map", "list", "tuple", "set", "min", "max", "int", "float", "abs", "sum",
              "round", "shortened", "spoken", "listed", "joined", "shown", "named", "reversed", "ascii"}  # fmt: skip
"""Functions that only lay out what they are given: their placeholder is named after that."""


@dataclass(frozen=True)
class Words:
    """An expression in words."""

    node: ast.AST

    @cached_property
    def text(self) -> str:
        match self.node:
            case ast.Name(id=name):
                return plain(name)
            case ast.Constant(value=value):
                return str(value)
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name):
                return plain(name)
            case ast.Attribute(attr="__name__", value=ast.Call(args=[one])):
                return f"type of {words(one)}"
            case ast.Attribute(attr="__name__" | "value" | "names", value=value):
                return words(value)
            case ast.Attribute(value=value, attr=name):
                return f"{plain(name)} of {words(value)}"
            case ast.Subscript(slice=ast.Constant(value=str(key))):
                return plain(key)
            case ast.Subscript(value=value) | ast.Starred(value=value) | ast.FormattedValue(value=value):
                return words(value)
            case ast.ListComp() | ast.GeneratorExp() | ast.SetComp():
                return self._comprehension(self.node)
            case ast.Call():
                return self._call(self.node)
            case ast.BinOp(left=ast.Call(func=ast.Name(id="len")), right=ast.Name()):
                return "how many"
            case ast.BinOp(left=left, op=op, right=right):
                return f"{words(left)} {_SIGNS.get(type(op), 'and')} {words(right)}"
            case ast.UnaryOp(operand=operand, op=op):
                return f"not {words(operand)}" if isinstance(op, ast.Not) else words(operand)
            case ast.IfExp(body=body, orelse=orelse):
                return " or ".join(dict.fromkeys(words(each) for each in (body, orelse) if words(each)))
            case ast.BoolOp(values=values):
                return words(values[0])
            case ast.JoinedStr(values=values):
                return "".join(words(each) for each in values).strip()
            case ast.Tuple(elts=elts) | ast.List(elts=elts) | ast.Set(elts=elts):
                return ", ".join(words(each) for each in elts)
            case ast.NamedExpr(value=value) | ast.keyword(value=value):
                return words(value)
        return "..."

    def _comprehension(self, node: ast.ListComp | ast.GeneratorExp | ast.SetComp) -> str:
        names = {each.id for each in ast.walk(node.generators[0].target) if isinstance(each, ast.Name)}
        used = {each.id for each in ast.walk(node.elt) if isinstance(each, ast.Name)}
        return words(node.generators[0].iter) if used & names else words(node.elt)

    def _call(self, node: ast.Call) -> str:
        match node.func:
            case ast.Name(id="len"):
                return f"number of {words(node.args[0])}"
            case ast.Name(id="enumerate" | "zip" | "range") if node.args:
                return words(node.args[-1])
            case ast.Name(id=name) if name.strip("_") in PASSED_ON and node.args:
                return words(node.args[-1] if name == "map" else node.args[0])
            case ast.Name(id=name):
                of = name.endswith("_of") and node.args
                return plain(name) + (f" {words(node.args[0])}" if of else "")
            case ast.Attribute(attr="join") if node.args:
                return words(node.args[0])
            case ast.Attribute(attr=name, value=value):
                if name in _DETAILS or isinstance(value, ast.Constant):
                    return words(value)
                return plain(name) if isinstance(value, ast.Name) else f"{plain(name)} of {words(value)}"
        return "..."


_SIGNS = {ast.Sub: "-", ast.Add: "+", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "/", ast.BitOr: "and"}
_DETAILS = {"strip", "lower", "casefold", "upper", "replace", "rstrip", "lstrip", "items", "values", "keys", "as_posix",
            "removeprefix", "removesuffix", "tolist", "item", "split", "splitlines", "difference", "get", "elements",
            "title", "format_message", "partition", "rpartition"}  # fmt: skip


def words(node: ast.AST) -> str:
    """Return what an expression is called, in words."""
    return Words(node).text


def plain(name: str) -> str:
    """Return a name of the code as words."""
    return name.strip("_").replace("_", " ")
