"""What brings a message about: what was to be done, and what stood in the way, from docstrings and conditions."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from message_texts import Function, Module, Said
from message_words import words


def when(said: Said, kind: str) -> tuple[str, str]:
    """Return what brings a message about: what was to be done, and what stood in the way, as far as it can be told."""
    module, function = said.scope.module, said.scope.function
    told = [ast.get_docstring(each) or "" for each in _outwards(module, function)]
    task = next((found for found in map(_task, told) if found), "")
    why = next((found for found in (_raises(each, kind) for each in told) if found), "")
    return task, why or _clear(condition(said.node, module))


def _clear(condition: str) -> str:
    """Return a condition if its words tell a reader something: names of one letter and the like do not."""
    found = re.findall(r"\w+", condition)
    return "" if len(found) < 4 or re.search(r"\b[b-z]\b|\ba (or|and|is)\b|\.\.\.|\bfound\b", condition) else condition


def _outwards(module: Module, function: Function | None) -> Iterator[Function]:
    """Yield a function and those that it serves in its module, up to the first that says what it is for."""
    seen: set[str] = set()
    while function is not None and function.name not in seen:
        yield function
        seen.add(function.name)
        if "Raises: " in (ast.get_docstring(function) or "") or function.name not in module.callers:
            return
        function = next((each for each in module.callers[function.name] if each.name not in seen), None)


def _task(docstring: str) -> str:
    """Return what a function is for; of one that says it in its title, the title."""
    head = first(re.split(r"(?:Args|Raises|Returns|Shape): |^Raise ", docstring)[0])
    return re.sub(r"^Refuse ", "Refusing ", head)


def first(docstring: str) -> str:
    return re.split(r"(?<=[.])\s", " ".join(docstring.split()))[0].rstrip(".").replace("``", "`")


def _raises(docstring: str, kind: str) -> str:
    """Return what a docstring says of when this kind is raised."""
    _, mark, text = re.sub(r"^Raise ", "Raises: ", " ".join(docstring.split())).partition("Raises: ")
    if not mark:
        return ""
    parts = re.split(r"(?:^|\s)((?:\w+Error|click\.\w+)(?:, \w+Error)*): ", text)
    found = [say for names, say in zip(parts[1::2], parts[2::2], strict=True) if kind in re.split(r", ", names)]
    return found[0].rstrip(". ").replace("``", "`") if found else ""


def condition(node: ast.AST, module: Module) -> str:
    """Return the nearest condition that a node stands under, in words."""
    below = node
    for each in module.around(node):
        match each:
            case ast.If(test=test, body=body) if below in body:
                return _test(test)
            case ast.If(test=test, orelse=orelse) if below in orelse:
                return f"not {_test(test)}"
            case ast.IfExp(test=test, body=body) if below is not test:
                return _test(test) if below is body else f"not: {_test(test)}"
            case ast.ExceptHandler(type=ast.expr() as errors):
                return f"{words(errors)} came of it"
            case ast.FunctionDef():
                return ""
        below = each
    return ""


_COMPARED = {ast.Eq: "is", ast.NotEq: "is not", ast.Lt: "is below", ast.LtE: "is at most", ast.Gt: "is above",
             ast.GtE: "is at least", ast.In: "is in", ast.NotIn: "is not in", ast.Is: "is",
             ast.IsNot: "is not"}  # fmt: skip


def _test(node: ast.expr) -> str:
    match node:
        case ast.Compare(left=left, ops=[ast.Is()], comparators=[ast.Constant(value=None)]):
            return f"there is no {words(left)}"
        case ast.Compare(left=left, ops=[ast.IsNot()], comparators=[ast.Constant(value=None)]):
            return f"there is {words(left)}"
        case ast.Compare(left=left, ops=ops, comparators=right):
            rest = " and ".join(f"{_COMPARED[type(op)]} {words(each)}" for op, each in zip(ops, right, strict=True))
            return f"{words(left)} {rest}"
        case ast.BoolOp(op=op, values=values):
            return (" and " if isinstance(op, ast.And) else " or ").join(_test(each) for each in values)
        case ast.UnaryOp(op=ast.Not(), operand=ast.Name() as operand):
            return f"there is no {words(operand)}"
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return f"not {_test(operand)}"
        case ast.Call(func=ast.Name(id="isinstance"), args=[one, kind]):
            return f"{words(one)} is a {words(kind)}"
        case ast.Name():
            return "..."  # whether there is something, or something holds: its name does not say
    return words(node)
