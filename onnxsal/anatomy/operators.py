"""What operators do with positions, class by class; those that are in none are tested by running them.

``layout`` follows those that move positions, one short function a family.
"""

from __future__ import annotations

from typing import Literal

import onnx_ir as ir

MICROSOFT = "com.microsoft"

KEEPING = frozenset({
    "Abs", "Acos", "Acosh", "Add", "And", "Asin", "Asinh", "Atan", "Atanh", "BatchNormalization", "Bernoulli",
    "BitCast", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Cast", "CastLike", "Ceil", "Celu",
    "Clip", "Cos", "Cosh", "DequantizeLinear", "Div", "Dropout", "DynamicQuantizeLinear", "Elu", "Equal", "Erf", "Exp",
    "Expand", "Floor", "Gelu", "Greater", "GreaterOrEqual", "GroupNormalization", "HardSigmoid", "HardSwish",
    "Hardmax", "Identity", "InstanceNormalization", "IsInf", "IsNaN", "LRN", "LayerNormalization", "LeakyRelu", "Less",
    "LessOrEqual", "Log", "LogSoftmax", "LpNormalization", "Max", "Mean", "MeanVarianceNormalization", "Min", "Mish",
    "Mod", "Mul", "Neg", "Not", "Or", "PRelu", "Pow", "QuantizeLinear", "RMSNormalization", "Reciprocal", "Relu",
    "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softmax", "Softplus", "Softsign", "Sqrt", "Sub",
    "Sum", "SwiGLU", "Swish", "Tan", "Tanh", "ThresholdedRelu", "Tile", "Trilu", "Where", "Xor",
    # ONNX Runtime's own in the standard's domain
    "Affine", "ImageScaler", "ParametricSoftplus", "Scale", "ScaledTanh", "SimplifiedLayerNormalization",
    # com.microsoft
    "BiasAdd", "BiasDropout", "BiasGelu", "BiasSoftmax", "BitmaskBiasDropout", "BitmaskDropout", "BranchwiseRMSNorm",
    "ComplexMul", "ComplexMulConj", "DequantizeBFP", "DequantizeWithOrder", "EngramGate", "FastGelu", "GatedAdd",
    "GatedRMSNorm", "GroupNorm", "MulInteger", "QLinearAdd", "QLinearLeakyRelu", "QLinearMul", "QLinearSigmoid",
    "QLinearSoftmax", "QLinearWhere", "QOrderedGelu", "QOrderedLayerNormalization", "QuantizeBFP", "QuantizeWithOrder",
    "QuickGelu", "ScaledSiLU", "SkipGroupNorm", "SkipLayerNormalization", "SkipSimplifiedLayerNormalization",
    "BiasSplitGelu",
    # ai.onnx.ml
    "Binarizer", "Imputer", "Normalizer", "Scaler",
})  # fmt: skip
"""Elementwise ones, normalisations, Softmax, Expand: axes are aligned at the right. (Tile: of what it repeats, only the
axes that stay as they are.)"""

QUERIES = frozenset({
    "Attention", "RotaryEmbedding", "LinearAttention", "CausalConvWithState",
    "DecoderAttention", "DecoderMaskedMultiHeadAttention", "DecoderMaskedSelfAttention", "DynamicSparseAttention",
    "GemmaRotaryEmbedding", "GroupQueryAttention", "LongformerAttention", "MRotaryEmbedding", "MultiHeadAttention",
    "PagedAttention", "QAttention", "QOrderedAttention", "QOrderedLongformerAttention", "RMSNormRotary",
    "SparseAttention", "SparsePagedAttention",
    "GatedDeltaNet", "LinearAttentionGate", "MoE", "QMoE", "MatMulNBitsMlp",
})  # fmt: skip
"""The result lies where the first input does: attention's queries, experts' tokens."""

ASSUMED = frozenset({
    "CumProd", "CumSum", "Loop", "Scan", "TensorScatter", "MaxUnpool", "DeformConv", "Col2Im",
    "Crop", "MaxpoolWithMask", "HyperConnectionLowRankMix", "HyperConnectionPostMix", "HyperConnectionPreMix",
})  # fmt: skip
"""They keep positions or do not, which their weights, bodies or data decide: tested by running."""

BY_DATA = frozenset({
    "AffineGrid", "Compress", "Det", "MaxRoiPool", "NonMaxSuppression", "NonZero", "Scatter", "TopK",
    "Unique", "CropAndResize", "GatherPacked", "Inverse", "MultilevelCropAndResize_TRT", "PyramidROIAlign_TRT",
    "EfficientNMS_TRT", "SparseToDenseMatMul", "UnfoldTensor", "DynamicSlice",
})  # fmt: skip
"""Where a value goes depends on the data, or on no one position: refused by name."""

SPECTRAL = frozenset({"DFT", "STFT", "Rfft", "Irfft"})
"""Positions become frequencies, and frequencies positions again."""

NOTHING = frozenset({
    "BlackmanWindow", "ConcatFromSequence", "Constant", "ConstantOfShape", "EyeLike", "GRU", "HammingWindow",
    "HannWindow", "If", "ImageDecoder", "LSTM", "MelWeightMatrix", "Multinomial", "NegativeLogLikelihoodLoss",
    "OneHot", "Optional", "OptionalGetElement", "OptionalHasElement", "RNN", "RandomNormal", "RandomNormalLike",
    "RandomUniform", "RandomUniformLike", "Range", "RegexFullMatch", "SequenceAt", "SequenceConstruct", "SequenceEmpty",
    "SequenceErase", "SequenceInsert", "SequenceLength", "SequenceMap", "Shape", "Size", "SoftmaxCrossEntropyLoss",
    "SplitToSequence", "StringConcat", "StringNormalizer", "StringSplit", "TfIdfVectorizer",
    "DisentangledAttention_TRT", "GRUUnit", "GivenTensorFill", "MemcpyFromHost", "MemcpyToHost",
    "AttnLSTM", "BeamSearch", "BifurcationDetector", "CDist", "ConvStateReplay", "DynamicQuantizeLSTM",
    "DynamicTimeWarping", "EPContext", "EmbedLayerNormalization", "GatedDeltaNetStateReplay",
    "GatedRelativePositionBias", "GatherBlockQuantized", "GreedySearch", "IsAllFinite", "Mamba2Verify",
    "MoEGroupRouter", "MoEPacked", "MurmurHash3", "NGramHashMapping", "NGramRepeatBlock", "PackedAttention",
    "PackedMultiHeadAttention", "PackedSparseAttentionIndexer", "PackedSparseAttentionIndexerMerge",
    "QEmbedLayerNormalization", "RelativePositionBias", "RemovePadding", "RestorePadding", "RouterGateUpProj",
    "SampleOp", "Sampling", "Snpe", "SparseAttentionIndexer", "SpeculativePrefixCommit", "Tokenizer",
    "TorchEmbedding", "VarlenCausalConvWithState", "VarlenNGramHashMapping", "WhisperBeamSearch", "WordConvEmbedding",
    "ArrayFeatureExtractor", "CastMap", "CategoryMapper", "DictVectorizer", "FeatureVectorizer", "LabelEncoder",
    "LinearClassifier", "LinearRegressor", "OneHotEncoder", "SVMClassifier", "SVMRegressor", "TreeEnsemble",
    "TreeEnsembleClassifier", "TreeEnsembleRegressor", "ZipMap",
})  # fmt: skip
"""No rows and columns come out: numbers of a shape, draws, sequences, states, text, tables."""

KNOWN_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", MICROSOFT})

Kind = Literal["keeping", "queries", "assumed", "by data", "spectral", "nothing", "followed"]
CLASSES: dict[Kind, frozenset[str]] = {
    "keeping": KEEPING, "queries": QUERIES, "assumed": ASSUMED, "by data": BY_DATA, "spectral": SPECTRAL,
    "nothing": NOTHING,
}  # fmt: skip
_KINDS: dict[str, Kind] = {name: kind for kind, names in CLASSES.items() for name in names}


def kind_of(node: ir.Node, followed: frozenset[str]) -> Kind:
    """Return what a node does with positions; what nobody knows is assumed to keep them, and tested by running."""
    if node.domain not in KNOWN_DOMAINS:
        return "assumed"
    if node.op_type in _KINDS:
        return _KINDS[node.op_type]
    return "followed" if node.op_type in followed else "assumed"


def described(node: ir.Node) -> str:
    """Return an operator as messages name it."""
    domain = f"{node.domain}:" if node.domain else ""
    return f"{domain}{node.op_type} {node.name or node.outputs[0].name!r}"
