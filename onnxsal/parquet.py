"""pyarrow, which reads and writes Parquet: in an extra of its own, so that what needs it says how to have it."""

from __future__ import annotations

from typing import Any

from onnxsal.errors import EnvironmentSetupError


def pyarrow(instead: str) -> tuple[Any, Any]:
    """Return the packages ``pyarrow`` and ``pyarrow.parquet``.

    Args: instead: what does without them, as the message ends: "write .csv or .json".
    Raises: EnvironmentSetupError: pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise EnvironmentSetupError(
            f"Parquet needs the package pyarrow: pip install 'onnxsal[parquet]'; or {instead}"
        ) from error
    return pyarrow, pyarrow.parquet
