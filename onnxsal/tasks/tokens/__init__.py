"""What models of token ids say of tokens: a label of each, or the next one."""

from onnxsal.tasks.tokens.labels import TokenLabels, TokenPrediction
from onnxsal.tasks.tokens.next_token import NextToken

__all__ = ["NextToken", "TokenLabels", "TokenPrediction"]
