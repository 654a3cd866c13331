"""Rules of elementwise operators."""

from onnxsal.autodiff.registry import defvjp

defvjp("Relu", lambda op, g, y, x: op.gate(g, op.Greater(y, 0.0)))
defvjp("Mul", lambda op, g, y, a, b: op.Mul(g, b), lambda op, g, y, a, b: op.Mul(g, a), broadcasts=True)
defvjp("Add", lambda op, g, y, a, b: g, lambda op, g, y, a, b: g, broadcasts=True)
defvjp("Identity", lambda op, g, y, x: g)
