"""A file of token ids as it is searched: words looked up by an operator of their own, where one does more at once."""

from __future__ import annotations

import onnx_ir as ir

from onnxsal.autodiff.contrib import MICROSOFT, lower_contrib

_EMBED = "EmbedLayerNormalization"


def words_apart(source: ir.Model) -> ir.Model:
    """Return a file whose words are looked up before positions and types are added; itself where that is so already."""
    embeds = [node for node in source.graph if node.op_type == _EMBED and node.domain == MICROSOFT]
    if not embeds:
        return source
    tables = {(_name(n.inputs[2]), _name(n.inputs[0])): n.name or str(n.outputs[0].name) for n in embeds}
    work = lower_contrib(source)
    for node in work.graph:
        own = tables.get((_name(node.inputs[0]), _name(node.inputs[1]))) if node.op_type == "Gather" else None
        if own is not None:
            node.outputs[0].name = f"{own}/word_embeddings"
    return work


def _name(value: ir.Value | None) -> str | None:
    return None if value is None else value.name
