"""``onnxsal completion``: what a shell needs to complete commands, options and method names."""

from __future__ import annotations

import click

HELP = """Print the completion script of a shell.

\b
bash:  eval "$(onnxsal completion bash)"           in ~/.bashrc
zsh:   eval "$(onnxsal completion zsh)"            in ~/.zshrc
fish:  onnxsal completion fish > ~/.config/fish/completions/onnxsal.fish
"""


@click.command("completion", help=HELP, short_help="Print the completion script of bash, zsh or fish.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    from click.shell_completion import get_completion_class

    from onnxsal.cli.root import PROGRAM, root

    kind = get_completion_class(shell)
    assert kind is not None  # the choice above lists click's own
    click.echo(kind(root, {}, PROGRAM, f"_{PROGRAM.upper()}_COMPLETE").source())
