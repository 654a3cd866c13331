"""Operators that the standard defines by a function of others: their gradient is that of the function."""

from onnxsal.autodiff.decompose import by_its_function

_NAMES = ("Attention", "CausalConvWithState", "CenterCropPad", "LinearAttention",
          "NegativeLogLikelihoodLoss", "RotaryEmbedding", "SoftmaxCrossEntropyLoss", "SwiGLU")  # fmt: skip
for _name in _NAMES:
    by_its_function(_name)
