"""Tokens: texts as models of ids take them, explained at the vectors that the ids are turned into."""

from onnxsal.modalities.tokens.embedding import Embedding, embeddings_of, is_ids
from onnxsal.modalities.tokens.modality import Tokens

__all__ = ["Embedding", "Tokens", "embeddings_of", "is_ids"]
