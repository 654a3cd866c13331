"""Export full-size random-weight classifiers, each with the input gradient that float64 autograd gives.

    python benchmarks/zoo.py resnet18 timm:levit_128s --exporter dynamo --out /tmp/zoo
    python benchmarks/zoo.py --list

Writes ``NAME.EXPORTER.onnx`` (input ``x`` [batch, ...], output ``logits``) and ``NAME.npz`` with x [2, ...], target,
logits and grad (``d logits[b, target[b]] / dx``). Needs torch, torchvision, timm, transformers and onnxscript.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

# In place of this folder: transformers would take kernels.py here for a package of that name.
sys.path[0] = str(Path(__file__).resolve().parent.parent / "tests" / "data" / "zoo")
import export as tool  # noqa: E402  (the code that makes the committed miniatures)

OPSETS = {"torchscript": 17, "dynamo": 20}
TORCHVISION = (
    "resnet18 resnet50 vgg16 densenet121 inception_v3 mobilenet_v2 mobilenet_v3_small efficientnet_b0 convnext_tiny "
    "vit_b_16 swin_t shufflenet_v2_x1_0 regnet_y_400mf"
)
TIMM = (
    "deit_tiny_patch16_224 ghostnet_100 mixer_s32_224 gmlp_ti16_224 resmlp_12_224 swinv2_tiny_window8_256 "
    "maxvit_nano_rw_256 xcit_nano_12_p16_224 levit_128s cait_xxs24_224 poolformer_s12 efficientformer_l1 pit_ti_224 "
    "coat_tiny twins_svt_small twins_pcpvt_small pvt_v2_b0 hiera_tiny_224 beit_base_patch16_224 "
    "eva02_tiny_patch14_224 eca_nfnet_l0 repvgg_a0 res2net50_14w_8s hrnet_w18_small dla34 seresnet50 "
    "ese_vovnet19b_dw tinynet_e mobilevit_xxs mobilevitv2_050 edgenext_xx_small fastvit_t8 convmixer_768_32 "
    "crossvit_9_240 visformer_tiny volo_d1_224"
)


class TextEncoder(nn.Module):
    """A BERT classifier entered at its word embeddings [batch, tokens, width]."""

    def __init__(self) -> None:
        super().__init__()
        tool.torchvision_models()
        from transformers import BertConfig, BertForSequenceClassification

        size = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 512}
        self.bert = BertForSequenceClassification(BertConfig(vocab_size=1000, num_labels=10, **size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bert(inputs_embeds=x).logits


def from_torchvision(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    """A torchvision model and its example's shape; VGG's hidden layers narrowed from 4096 (548 MB) to 512."""
    models = tool.torchvision_models()
    extra = {"aux_logits": False, "transform_input": True} if name == "inception_v3" else {}
    model = models.get_model(name, weights=None, **extra)
    if name.startswith("vgg"):
        layers = (nn.Linear(25088, 512), nn.ReLU(True), nn.Dropout(), nn.Linear(512, 512), nn.ReLU(True), nn.Dropout())
        model.classifier = nn.Sequential(*layers, nn.Linear(512, 1000))
    return model, (2, 3, *(2 * [299 if name == "inception_v3" else 224]))


def from_timm(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    """A timm model and its example's shape."""
    model = tool.timm_package().create_model(name, exportable=True)
    return model, (2, *model.default_cfg["input_size"])


def known() -> dict[str, Callable[[], tuple[nn.Module, tuple[int, ...]]]]:
    """The zoo by name; any other timm architecture is reached as ``timm:NAME``."""
    zoo = {name: lambda name=name: from_torchvision(name) for name in TORCHVISION.split()}
    zoo |= {name: lambda name=name: from_timm(name) for name in TIMM.split()}
    return zoo | {"bert_embeddings": lambda: (TextEncoder(), (2, 24, 128))}


def make(name: str, exporter: str, opset: int, out: Path, seed: int) -> None:
    """Write one model and its example, and print how far ONNX Runtime is from autograd's forward."""
    start = time.perf_counter()
    torch.manual_seed(seed)
    model, shape = known()[name]() if name in known() else from_timm(name.removeprefix("timm:"))
    x = tool.inputs(shape, seed)
    tool.settle(model, x)
    example, stem = tool.record(model, x, seed), name.removeprefix("timm:")
    facts = {"name": name, "seed": seed, "float32_error": tool.float32_error(model, example)}
    path = out / f"{stem}.{exporter}.onnx"
    tool.export(model, x, path, exporter=exporter, opset=opset)
    error = tool.check(path, example)
    example.save(out / f"{stem}.npz", **facts)
    size, seconds = path.stat().st_size / 2**20, time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    scale = f"logits {example.logits.std():.2g} grad {abs(example.grad).max():.2g} float32 {facts['float32_error']:.1e}"
    print(
        f"{path.name}: {size:.1f} MB, logits off by {error:.1e}, {scale}, {seconds:.0f} s, {memory:.1f} GB", flush=True
    )


def main() -> None:
    """Parse the command line and make each model in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="*", help="of --list, or timm:ARCHITECTURE")
    parser.add_argument("--exporter", choices=sorted(OPSETS), default="dynamo")
    parser.add_argument("--opset", type=int, help=f"default: {OPSETS}")
    parser.add_argument("--out", type=Path, default=Path("zoo"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.list:
        print("\n".join(known()))
    args.out.mkdir(parents=True, exist_ok=True)
    for name in () if args.list else args.name:
        make(name, args.exporter, args.opset or OPSETS[args.exporter], args.out, args.seed)


if __name__ == "__main__":
    main()
