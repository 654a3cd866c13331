#!/usr/bin/env bash
# Both of torch.onnx's exporters leave things out in silence, and not the same ones.
#
# Versions: torch 2.13.0, onnxruntime 1.32.0, onnxscript 0.7.2, onnx 1.23.2, numpy 2.4.6.
#
# Guess: what an exporter cannot say in ONNX it refuses, with an error that names the operator; the newer one,
# built on torch.export, computes what the older one did.
#
# Seen: PyTorch's result beside the exported file's in onnxruntime (opset 20); "right" is within 1e-4
#                                                       TorchScript   dynamo
#   AvgPool2d(2, divisor_override=3)                    divides by 4  divides by 4
#   LogSigmoid of -125 (is -125)                        -inf          -inf
#   Softplus(beta=2, threshold=1)                       no threshold  right
#   x // 3 of int64 -7 (is -3)                          -2            right
#   index_put(accumulate=True), one place twice (is 2)  1             right
#   scatter_reduce "mean" of 1, 2, 4 (is 0.5 2)         refused       1 4
#   attention, a row whose mask is all False (is 0)     right         the mean of the values
set -euo pipefail
export ORT_DISABLE_TELEMETRY=1 CI=true
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'torch==2.13.0' 'onnxscript==0.7.2' 'onnxruntime==1.32.0' 'onnx==1.23.2' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PROGRAM'
import contextlib
import io
import logging
import sys
import warnings
from collections.abc import Callable

import numpy as np
import onnxruntime as ort
import torch
from torch import nn
from torch.nn import functional

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
torch.manual_seed(1)


class Of(nn.Module):
    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.function(*inputs)


def attention(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return functional.scaled_dot_product_attention(x, x, x, attn_mask=mask)


def scattered(x: torch.Tensor) -> torch.Tensor:
    return x.scatter_reduce(1, torch.tensor([[0, 1, 1]]), torch.tensor([[1.0, 2, 4]]), "mean")


def put(x: torch.Tensor) -> torch.Tensor:
    return x.index_put((torch.tensor([0, 0]),), torch.tensor(1.0), accumulate=True)


masked = torch.tensor([[False] * 3, [True] * 3, [True] * 3])
cases = {
    "AvgPool2d, divisor_override": (nn.AvgPool2d(2, divisor_override=3), (torch.ones(1, 1, 2, 2),)),
    "LogSigmoid": (nn.LogSigmoid(), (torch.tensor([-125.0]),)),
    "Softplus, threshold": (nn.Softplus(2, 1), (torch.tensor([1.5]),)),
    "integers, //": (Of(lambda x: x // 3), (torch.tensor([-7]),)),
    "index_put, accumulate": (Of(put), (torch.zeros(2),)),
    "scatter_reduce, mean": (Of(scattered), (torch.zeros(1, 2),)),
    "attention, all False": (Of(attention), (torch.randn(1, 1, 3, 2), masked)),
}
table = {}
for name, (module, inputs) in cases.items():
    right = module(*inputs).numpy()
    for exporter, newer in (("TorchScript", False), ("dynamo", True)):
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                torch.onnx.export(module.eval(), inputs, "m.onnx", dynamo=newer, opset_version=20)
        except Exception:
            table[name, exporter] = "refused"
            print(f"{name}, {exporter}: refused")
            continue
        session = ort.InferenceSession("m.onnx", providers=["CPUExecutionProvider"])
        feeds = {each.name: x.numpy() for each, x in zip(session.get_inputs(), inputs, strict=True)}
        found = session.run(None, feeds)[0]
        table[name, exporter] = "right" if np.allclose(found, right, atol=1e-4) else "other"
        print(f"{name}, {exporter}: {found.reshape(-1)[:2]}, PyTorch {right.reshape(-1)[:2]}")
wanted = {
    "AvgPool2d, divisor_override": ("other", "other"), "LogSigmoid": ("other", "other"),
    "Softplus, threshold": ("other", "right"), "integers, //": ("other", "right"),
    "index_put, accumulate": ("other", "right"), "scatter_reduce, mean": ("refused", "other"),
    "attention, all False": ("right", "other"),
}
if {name: (table[name, "TorchScript"], table[name, "dynamo"]) for name in cases} != wanted:
    sys.exit("no longer so: another table")
PROGRAM
