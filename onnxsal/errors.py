"""The exception tree: what went wrong, and whether the caller or the input is at fault."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class OnnxsalError(Exception):
    """Base of every error that onnxsal raises on purpose; ``exit_code`` is what the command line ends with."""

    exit_code = 1


class UsageError(OnnxsalError, ValueError):
    """The call asks for something that is not there or not allowed: a method, layer, label, option or value."""

    exit_code = 2


class NotSeenError(UsageError):
    """The model does not see on this picture what it is asked about; on another it may."""


class ModelError(OnnxsalError):
    """The model file cannot be read, is not valid, or cannot be run."""


class OutOfMemoryError(ModelError):
    """The model needs more memory for a batch than there is."""


class ImageError(OnnxsalError):
    """The picture cannot be read or cannot be used with this model."""


class UnsupportedError(OnnxsalError):
    """The model is valid, but has something that the request cannot serve: an operator, a head, a provider."""


class UnsaidError(UsageError, UnsupportedError):
    """A model leaves open what it is asked for, and the call does not say it; the message is what to write."""


class InvalidGraphError(OnnxsalError):
    """A graph that onnxsal built is not a valid model: a fault of onnxsal itself, which writes nothing then."""


class EnvironmentSetupError(OnnxsalError, ImportError):
    """A package that onnxsal needs is missing or damaged; the message is the command that mends it."""


class OutputError(OnnxsalError):
    """A result cannot be written where it was asked for."""


def one_line(error: BaseException) -> str:
    """Return what another package says, on one line; its error's name where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the closest known name, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
