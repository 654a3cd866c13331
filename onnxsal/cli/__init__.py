"""The command line: one file a command; whatever is heavy is imported only inside the command that needs it."""

from onnxsal.cli.run import main

__all__ = ["main"]
