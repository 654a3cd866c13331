"""Operators without a derivative: integer or boolean results, steps, shapes, random numbers."""

from onnxsal.autodiff.registry import defzero

# What reads only shapes, or puts out integers, booleans or text
defzero("Shape", "Size", "ArgMax", "ArgMin", "NonZero", "NonMaxSuppression", "IsInf", "IsNaN", "StringNormalizer",
        "TfIdfVectorizer", "StringConcat", "StringSplit", "RegexFullMatch", "ImageDecoder", "OptionalHasElement",
        "SequenceLength", "BitCast")  # fmt: skip
defzero("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Xor", "Not")
defzero("BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor")

# Steps: constant between the places where they jump
defzero("Floor", "Ceil", "Round", "Sign", "Hardmax")

# What makes values from sizes and seeds
defzero("Constant", "ConstantOfShape", "EyeLike", "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike",
        "RandomUniform", "RandomUniformLike", "BlackmanWindow", "HammingWindow", "HannWindow", "MelWeightMatrix",
        "SequenceEmpty")  # fmt: skip
