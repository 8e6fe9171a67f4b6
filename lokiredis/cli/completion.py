"""``lokiredis completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from .verb import Verb


@click.command(
    cls=Verb,
    apart="a completion script is for every queue",
    examples="""
        echo 'eval "$(lokiredis completion bash)"' >> ~/.bashrc
        echo 'eval "$(lokiredis completion zsh)"' >> ~/.zshrc
        lokiredis completion fish > ~/.config/fish/completions/lokiredis.fish
    """,
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, /, shell: str) -> None:
    """Print the completion script for a shell.

    bash must be 4.4 or newer. The script is the answer with --json too.
    """
    kind = get_completion_class(shell)
    assert kind is not None
    found = kind(ctx.find_root().command, {}, "lokiredis", "_LOKIREDIS_COMPLETE")
    # Not source(): that runs bash to look at its version, which need not be here to print a script.
    click.echo(found.source_template % found.source_vars())
