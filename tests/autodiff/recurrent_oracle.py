"""LSTM, GRU and RNN in numpy, by the equations of their pages, in whatever precision they are fed."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray
FUNCTIONS = {
    "sigmoid": lambda z, a, b: 1 / (1 + np.exp(-z)),
    "tanh": lambda z, a, b: np.tanh(z),
    "relu": lambda z, a, b: np.maximum(z, 0),
    "affine": lambda z, a, b: a * z + b,
    "softplus": lambda z, a, b: np.log1p(np.exp(z)),
    "softsign": lambda z, a, b: z / (1 + np.abs(z)),
    "hardsigmoid": lambda z, a, b: np.clip(a * z + b, 0, 1),
    "elu": lambda z, a, b: np.where(z > 0, z, a * (np.exp(np.minimum(z, 0)) - 1)),
    "leakyrelu": lambda z, a, b: np.where(z > 0, z, a * z),
    "scaledtanh": lambda z, a, b: a * np.tanh(b * z),
}
DEFAULTS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}


def run(op_type: str, inputs: list[Array | None], **a: Any) -> list[Array]:
    """Return Y, Y_h and, of an LSTM, Y_c."""
    x, w, r, b, lengths, h, c, p = [*inputs, *[None] * (8 - len(inputs))]
    if a.get("layout", 0):
        x, h, c = (v if v is None else np.swapaxes(v, 0, 1) for v in (x, h, c))
    runs = []
    for d in range(len(w)):
        weights = [None if v is None else v[d] for v in (w, r, b, h, c, p)]
        back = a.get("direction", "forward") == "reverse" or d == 1
        runs.append(_direction(op_type, x, weights, _functions(op_type, a, d), {**a, "back": back, "lengths": lengths}))
    found = [np.stack([each[0] for each in runs], 1), *(np.stack(v) for v in list(zip(*runs, strict=True))[1:])]
    if a.get("layout", 0):
        found = [found[0].transpose(2, 0, 1, 3), *(np.swapaxes(v, 0, 1) for v in found[1:])]
    return found


def _functions(op_type: str, a: dict[str, Any], d: int) -> list[Any]:
    names = a.get("activations") or DEFAULTS[op_type] * 2
    alphas, betas = list(a.get("activation_alpha") or []), list(a.get("activation_beta") or [])
    made = []
    for name in (n.lower() for n in names):
        alpha = alphas.pop(0) if name in ("affine", "hardsigmoid", "elu", "leakyrelu", "scaledtanh") else 0
        beta = betas.pop(0) if name in ("affine", "hardsigmoid", "scaledtanh") else 0
        made.append(lambda z, f=FUNCTIONS[name], alpha=alpha, beta=beta: f(z, alpha, beta))
    n = len(DEFAULTS[op_type])
    return made[d * n : (d + 1) * n]


def _direction(op_type: str, x: Array, weights: list[Any], f: list[Any], a: dict[str, Any]) -> list[Array]:
    w, r, b, h, c, p = weights
    turns, batch, hidden = x.shape[0], x.shape[1], r.shape[-1]
    state = [np.zeros((batch, hidden), x.dtype) if v is None else v for v in (h, c)][: 2 if op_type == "LSTM" else 1]
    lengths = np.full(batch, turns) if a["lengths"] is None else a["lengths"]
    y = np.zeros((turns, batch, hidden), x.dtype)
    b = np.zeros(2 * len(w), x.dtype) if b is None else b
    for t in reversed(range(turns)) if a["back"] else range(turns):
        new = {"LSTM": _lstm, "GRU": _gru, "RNN": _rnn}[op_type](x[t], state, (w, r, b, p), f, a)
        alive = (t < lengths)[:, None]
        state = [np.where(alive, m, old) for m, old in zip(new, state, strict=True)]
        y[t] = np.where(alive, new[0], 0)
    return [y, *state]


def _clip(z: Array, a: dict[str, Any]) -> Array:
    return np.clip(z, -a["clip"], a["clip"]) if a.get("clip") else z


def _rnn(x: Array, state: list[Array], weights: Any, f: list[Any], a: dict[str, Any]) -> list[Array]:
    w, r, b, _ = weights
    return [f[0](_clip(x @ w.T + state[0] @ r.T + b[: len(w)] + b[len(w) :], a))]


def _gru(x: Array, state: list[Array], weights: Any, f: list[Any], a: dict[str, Any]) -> list[Array]:
    w, r, b, _ = weights
    (h,), n = state, r.shape[-1]
    zr = f[0](_clip((x @ w.T + b[: 3 * n])[:, : 2 * n] + h @ r[: 2 * n].T + b[3 * n : 5 * n], a))
    z, reset = zr[:, :n], zr[:, n:]
    if a.get("linear_before_reset"):
        share = reset * (h @ r[2 * n :].T + b[5 * n :])
    else:
        share = (reset * h) @ r[2 * n :].T + b[5 * n :]
    new = f[1](_clip((x @ w.T + b[: 3 * n])[:, 2 * n :] + share, a))
    return [(1 - z) * new + z * h]


def _lstm(x: Array, state: list[Array], weights: Any, f: list[Any], a: dict[str, Any]) -> list[Array]:
    w, r, b, p = weights
    (h, c), n = state, r.shape[-1]
    i, o, forget, new = np.split(x @ w.T + h @ r.T + b[: 4 * n] + b[4 * n :], 4, axis=-1)
    p = np.zeros(3 * n, x.dtype) if p is None else p
    i = f[0](_clip(i + p[:n] * c, a))
    forget = 1 - i if a.get("input_forget") else f[0](_clip(forget + p[2 * n :] * c, a))
    c = forget * c + i * f[1](_clip(new, a))
    return [f[0](_clip(o + p[n : 2 * n] * c, a)) * f[2](c), c]
