"""The operator in FiftyOne's list: asks for a model and a method, and explains the samples in view."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
from fiftyone.operators import types

import onnxsal
from onnxsal_fiftyone import apply_saliency


class ApplySaliency(foo.Operator):  # type: ignore[misc]
    """Heatmaps of where a model looked."""

    @property
    def config(self) -> Any:
        """What the list of operators shows."""
        return foo.OperatorConfig(
            name="apply_saliency", label="Show where an ONNX model looked", dynamic=True,
            allow_immediate_execution=True, allow_delegated_execution=True,
        )  # fmt: skip

    def resolve_input(self, ctx: Any) -> Any:
        """Return the form."""
        form = types.Object()
        form.str("model", required=True, label="Model", description="The path of an .onnx file")
        form.enum("method", onnxsal.methods(), default="grad-cam++", label="Method")
        form.str("target", label="Class", description="A name or a number; by default what the model predicts")
        form.str("label_field", default="saliency", required=True, label="Field", description="Where heatmaps go")
        form.view_target(ctx)
        return types.Property(form, view=types.View(label="Show where an ONNX model looked"))

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Explain the samples in view; return how many, and which could not be read."""
        asked = ctx.params
        view = ctx.target_view()
        failed = apply_saliency(
            view, asked["model"], asked.get("method") or "grad-cam++", target=_target(asked.get("target")),
            label_field=asked.get("label_field") or "saliency",
        )  # fmt: skip
        if not ctx.delegated:
            ctx.trigger("reload_dataset")
        return {"explained": len(view) - len(failed), "failed": "\n".join(failed.values())}

    def resolve_output(self, ctx: Any) -> Any:
        """Return what is shown at the end."""
        shown = types.Object()
        shown.int("explained", label="Explained")
        shown.str("failed", label="Not read")
        return types.Property(shown)


def _target(text: str | None) -> int | str | None:
    """Return what is asked for: digits are a class's number, as on onnxsal's command line."""
    return None if not text else int(text) if text.isdecimal() else text


def register(plugin: Any) -> None:
    """Have FiftyOne know the operator."""
    plugin.register(ApplySaliency)
