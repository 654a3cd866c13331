"""Pages out of Jinja templates, which escape whatever is put into them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

_HERE = "onnxsal.evaluation.report"


def render(template: str, package: str = _HERE, **values: object) -> str:
    """Return a whole page: ``templates/<template>.html.j2`` of a package, filled with values.

    Everything is escaped but Markup, which is a piece of a page already.
    """
    return _environment(package).get_template(f"{template}.html.j2").render(values)


def part(template: str, macro: str, *given: object) -> Markup:
    """Return a piece of a page: what a macro of a template makes of what it is given."""
    module = _environment(_HERE).get_template(f"{template}.html.j2").module
    made: Callable[..., Markup] = getattr(module, macro)
    return made(*given)


@cache
def _environment(package: str) -> Environment:
    # A template's name ends in .j2, so escaping is not left to the ending; a name it does not know is an error.
    found = Environment(loader=PackageLoader(package), autoescape=True, undefined=StrictUndefined)
    found.filters.update(px="{:.1f}".format, short="{:g}".format)
    return found
