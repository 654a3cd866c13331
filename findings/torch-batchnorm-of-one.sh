#!/usr/bin/env bash
# PyTorch's gradient of a batch normalisation in evaluation mode is wrong on the CPU, without a word, where one picture
# goes on as tokens: BatchNorm2d, flatten(2), transpose(1, 2), as in RT-DETR and other hybrids of convolutions and attention.
#
# Versions: torch 2.13.0 (CPU), numpy 2.4.6.
#
# Guess: in evaluation mode a batch normalisation is y = a x + b for each channel, so its gradient is a times what comes
# in, however that lies in memory and however many pictures there are.
#
# Seen: the largest difference from a g, as a share of the largest a g, for float64 and [N, 32, 5, 5]:
#   one picture, as tokens                                          above 1
#   two pictures, as tokens                                         0 (to rounding)
#   one picture, permute(0, 2, 3, 1) in place of both               0
#   one picture, as tokens, y.register_hook(Tensor.contiguous)      0
# What comes in has the strides (32, 1, 160, 32): of the axis of one picture nothing but the stride tells it from
# channels-last, and values are taken from the wrong places. float32 does the same. torch.autograd.gradcheck with a
# batch of one finds it; difference quotients and the exported ONNX file have the right slope.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'torch==2.13.0' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PROGRAM'
import sys

import torch

CHANNELS = 32


def off(pictures: int, way: str, dtype: torch.dtype = torch.float64) -> float:
    """Return how far the gradient of sum(sin(tokens) c) is from a g, where g is what comes into the normalisation."""
    torch.manual_seed(0)
    norm = torch.nn.BatchNorm2d(CHANNELS).to(dtype).eval()
    torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
    norm.running_var.uniform_(0.5, 1.5)
    x = torch.randn(pictures, CHANNELS, 5, 5, dtype=dtype, requires_grad=True)
    c = torch.randn(pictures, 25, CHANNELS, dtype=dtype)
    y = norm(x)
    if way == "hook":
        y.register_hook(lambda g: g.contiguous())
    tokens = y.permute(0, 2, 3, 1).flatten(1, 2) if way == "permute" else y.flatten(2).transpose(1, 2)
    (found,) = torch.autograd.grad((torch.sin(tokens) * c).sum(), x)
    a = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach()[None, :, None, None]
    came = (torch.cos(tokens) * c).detach().transpose(1, 2).reshape(x.shape)
    return float((found - a * came).abs().max() / (a * came).abs().max())


seen = {(n, way): off(n, way) for n in (1, 2) for way in ("tokens", "permute", "hook")}
for (n, way), error in seen.items():
    print(f"{n} picture{'s' * (n > 1)}, {way}: {error:.1e}")
print(f"1 picture, tokens, float32: {off(1, 'tokens', torch.float32):.1e}")
wrong = {key for key, error in seen.items() if error > 0.1}
if wrong != {(1, "tokens")} or max(error for key, error in seen.items() if key not in wrong) > 1e-12:
    sys.exit("no longer so: the gradient is right for one picture as tokens, or wrong for others")
PROGRAM
