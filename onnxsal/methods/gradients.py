"""Gradients at the input: plain, times the input, and under the rule sets of guided backprop, deconvnet, AttnLRP."""

from __future__ import annotations

from onnxsal.anatomy import X
from onnxsal.autodiff import ATTNLRP, DECONV, GUIDED, PLAIN, RuleSet, gradients_of
from onnxsal.graph import Program
from onnxsal.methods.registry import method


def input_gradient(score: Program, rules: RuleSet = PLAIN) -> Program:
    """Return the program of dS/dx, [B, C, H, W], that also puts out the score [B]."""
    op = score.extend()
    (g,) = gradients_of(op, op["score"], [op[X]], rules)
    return op.finish(saliency=g, score=op["score"])


@method(
    "gradient",
    paper="Simonyan et al. 2013, arXiv:1312.6034, section 3",
    when="the plainest question: which pixels would change the score; noisy on photographs",
)
def gradient(score: Program) -> Program:
    """Gradient of the score at the picture; [B, C, H, W], signed."""
    return input_gradient(score)


@method(
    "input-x-gradient",
    paper="Shrikumar et al. 2016, arXiv:1605.01713",
    adds_up=True,
    when="contributions instead of sensitivities; exact for piecewise linear models without biases",
)
def input_x_gradient(score: Program) -> Program:
    """Gradient times the preprocessed picture; [B, C, H, W], signed."""
    return _times_input(score)


def _times_input(score: Program, rules: RuleSet = PLAIN) -> Program:
    op = input_gradient(score, rules).extend()
    return op.finish(saliency=op.Mul(op["saliency"], op[X]))


@method(
    "attnlrp",
    paper="Achtibat et al. 2024, arXiv:2402.05602, equations 7 and 9",
    rules="attnlrp",
    when="transformers: contributions to the score that attention and normalisation do not distort, in one backward",
    adds_up=True,
)
def attnlrp(score: Program) -> Program:
    """Relevance: the input times its gradient under the rules of AttnLRP; [B, C, H, W], signed."""
    return _times_input(score, ATTNLRP)


@method(
    "guided-backprop",
    paper="Springenberg et al. 2014, arXiv:1412.6806",
    rules="guided",
    when="crisp outlines for the eye; hardly depends on the class, so not evidence (it fails sanity checks)",
)
def guided_backprop(score: Program) -> Program:
    """Gradient through 1[x > 0] 1[g > 0] g at every rectifier; [B, C, H, W], signed.

    It fails the sanity checks of Adebayo et al. 2018 (arXiv:1810.03292): re-drawing the weights hardly changes it.
    """
    return input_gradient(score, GUIDED)


@method(
    "deconvnet",
    paper="Zeiler & Fergus 2013, arXiv:1311.2901, section 2.1",
    rules="deconv",
    when="for comparison with older work; like guided backprop, but blind to which units were active",
)
def deconvnet(score: Program) -> Program:
    """Gradient through 1[g > 0] g at every rectifier; [B, C, H, W], signed."""
    return input_gradient(score, DECONV)
