"""CLIP, a file of two modalities, against autograd: a text's logit, the cosine of a picture to a text's vector.

    python benchmarks/clip.py

A small CLIPModel of transformers with random weights, exported whole by both exporters of PyTorch. The picture is
explained and the texts are held, the text is explained at its embeddings and the picture is held; onnxsal in float32,
autograd in float64. A difference is the largest one of the gradient over its largest value. Ends with 1 where that is
above 1e-3, or above 1e-4 of a score. Needs torch, transformers and onnxscript beside onnxsal.
"""

from __future__ import annotations

import copy
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
from targets import UNIT, Gap, apart, tool, write
from torch import nn
from torch.nn.functional import cosine_similarity

import onnxsal

NAMES = (("pixel_values", "input_ids", "attention_mask"), ("logits_per_image", "image_embeds", "text_embeds"))
WORDS = 99


class Both(nn.Module):
    """A CLIPModel's logits and vectors."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixel_values: torch.Tensor, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        """Return logits [pictures, texts] and the vectors of both."""
        out = self.network(pixel_values=pixel_values, input_ids=input_ids, attention_mask=attention_mask)
        return out.logits_per_image, out.image_embeds, out.text_embeds


def network() -> Both:
    """Return a small CLIPModel with random weights."""
    tool.torchvision_models()
    from transformers import CLIPConfig, CLIPModel

    text = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
            "vocab_size": WORDS, "max_position_embeddings": 20, "eos_token_id": 98, "bos_token_id": 0}  # fmt: skip
    vision = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
              "image_size": 64, "patch_size": 16}  # fmt: skip
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=40, attn_implementation="eager")
    return Both(CLIPModel(config))


@dataclass(frozen=True)
class Drawn:
    """The network and what goes in: one picture, three texts."""

    network: Both
    pixels: torch.Tensor
    ids: torch.Tensor

    @property
    def mask(self) -> torch.Tensor:
        """Every token counts."""
        return torch.ones_like(self.ids)


def drawn() -> Drawn:
    """Return the same network and inputs each time."""
    torch.manual_seed(0)
    ids = torch.randint(1, 97, (3, 12))
    ids[:, -1] = 98
    return Drawn(network().eval(), torch.randn(1, 3, 64, 64), ids)


def of_pictures(path: Path, given: Drawn) -> Iterator[tuple[str, Gap]]:
    """Yield the picture's gradients: of logits of texts, and of the cosine to a text's vector."""
    double, wide = copy.deepcopy(given.network).double(), given.pixels.double().requires_grad_(True)
    logits, image, texts = double(wide, given.ids, given.mask)
    held = {"input_ids": given.ids.numpy(), "attention_mask": given.mask.numpy()}
    likes = [onnxsal.Like(text.detach().float().numpy()) for text in texts]
    classes = onnxsal.load(path, head="logits_per_image", explained="pixel_values", inputs=held, **UNIT)
    cosines = onnxsal.load(path, head="image_embeds", explained="pixel_values", inputs=held, task="embedding", **UNIT)
    near = [cosine_similarity(image, text[None])[0] for text in texts]
    for name, model, target, score in (
        ("a text's logit", classes, 1, logits[0, 1]),
        ("a text's logit minus another's", classes, (2, 0), logits[0, 2] - logits[0, 0]),
        ("cosine to a text's vector", cosines, likes[1], near[1]),
        ("nearer to a text than to another", cosines, likes[2] - likes[0], near[2] - near[0]),
    ):  # fmt: skip
        (gradient,) = torch.autograd.grad(score, wide, retain_graph=True)
        found = onnxsal.explain(model, given.pixels.numpy(), method="gradient", target=target)
        yield name, Gap(abs(found.logit - float(score.detach())), (apart(found.raw, gradient),))


def of_texts(path: Path, given: Drawn) -> Iterator[tuple[str, Gap]]:
    """Yield the text's gradient at its embeddings, of its logit with the picture and of the cosine to the picture."""
    network = copy.deepcopy(given.network).double()
    ids, mask, kept = given.ids[:1], given.mask[:1], list[torch.Tensor]()
    table = network.network.text_model.embeddings.token_embedding
    table.register_forward_hook(lambda _, __, out: kept.append(out.retain_grad() or out))  # type: ignore[func-returns-value]
    _, image, text = network(given.pixels.double(), ids, mask)
    held = {"pixel_values": given.pixels.numpy(), "attention_mask": mask.numpy(), "input_ids": ids.numpy()}
    inside = rows_of(path)
    model = onnxsal.load(path, head="text_embeds", explained=inside, inputs=held, task="embedding")
    score = cosine_similarity(text, image)[0]
    (gradient,) = torch.autograd.grad(score, kept[0])
    target = onnxsal.Like(image[0].detach().float().numpy())
    found = onnxsal.explain(model, {}, method="gradient", target=target)
    yield (
        "the text: cosine to the picture's vector",
        Gap(abs(found.logit - float(score.detach())), (apart(found.raw, gradient),)),
    )


def rows_of(path: Path) -> str:
    """Return the name of the rows that a Gather picks out of the words' table."""
    graph = onnx.load(path).graph
    tables = {each.name for each in graph.initializer if list(each.dims) == [WORDS, 48]}
    return next(node.output[0] for node in graph.node if node.op_type == "Gather" and node.input[0] in tables)


def main() -> None:
    """Print the table."""
    print("| CLIPModel, what is asked | exporter | score | gradient |\n" + "| --- " * 4 + "|")
    rows, given = [], drawn()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.onnx"
        for exporter in ("torchscript", "dynamo"):
            write(given.network, (given.pixels, given.ids, given.mask), path, exporter, NAMES)
            for part in (of_pictures, of_texts):
                for name, gap in part(path, given):
                    print(f"| {name} | {exporter} | {gap.cells} |", flush=True)
                    rows.append(gap)
    sys.exit(not all(gap.right for gap in rows))


if __name__ == "__main__":
    main()
