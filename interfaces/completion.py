"""`ml-engineer completion SHELL`: the script that a shell sources to complete our commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script, for example: eval "$(ml-engineer completion bash)"."""
    from ml_engineer.interfaces.cli import cli

    kind = get_completion_class(shell)
    assert kind is not None, "click knows the shells that the argument allows"
    click.echo(kind(cli, {}, "ml-engineer", "_ML_ENGINEER_COMPLETE").source())
