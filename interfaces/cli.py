"""The group of commands: a command's module is imported only when that command is called.

`--help` and `rules` must not pay for LangGraph or pydantic, so that a command's module is named here and loaded late.
"""

from __future__ import annotations

import importlib
import sys

import click

from ml_engineer import __version__

# command -> (module, function, one line of help)
COMMANDS: dict[str, tuple[str, str, str]] = {
    "chat": ("chat", "chat", "Talk with the agent about a repository; also without any command at a terminal."),
    "review": ("review", "review", "Review a repository and report how ready it is for production."),
    "implement": ("implement", "implement", "Change a repository on a branch, each step proved by its checks."),
    "serve": ("serve.command", "serve", "Serve other agent systems: MCP, A2A, ACP."),
    "batch": ("batch.command", "batch", "Review many repositories, here or on a cluster."),
    "runs": ("runs", "runs", "List, show, resume or report earlier runs."),
    "measure": ("measure", "measure", "Measure a service, a model file or a training run."),
    "rules": ("rules", "rules", "List the rules, or explain one."),
    "peers": ("peers", "peers", "List the peers that questions are handed to, or say why a run did."),
    "doctor": ("doctor", "doctor", "Say what this machine has and lacks."),
    "export": ("export", "export", "Write this product as a plugin of another system."),
    "completion": ("completion", "completion", "Print the shell completion script."),
}


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is looked up."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, function, _ = COMMANDS[name]
        command = getattr(importlib.import_module(f"ml_engineer.interfaces.{module}"), function)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(error.format_message() + _meant(args[0]), ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])


def _meant(word: str) -> str:
    """What somebody may have wanted who gave a word that is no command."""
    import difflib
    from pathlib import Path

    if Path(word).is_dir():
        return f" To review that folder: ml-engineer review {word}"
    near = difflib.get_close_matches(word, COMMANDS, n=1)
    return f" Did you mean '{near[0]}'?" if near else ""


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", prog_name="ml-engineer")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Bring a prototype machine-learning repository to production.

    Every claim of the report carries evidence that can be checked. No key and no network are needed for `review`.

    Exit codes: 0 done, nothing at or above --fail-on; 1 findings at or above it; 2 usage, configuration or incomplete
    coverage; 130 interrupted (143 by SIGTERM).
    """
    if ctx.invoked_subcommand is None:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise click.exceptions.NoArgsIsHelpError(ctx)
        from ml_engineer.interfaces.chat import chat

        ctx.invoke(chat)
