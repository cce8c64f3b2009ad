"""`springtide completion`: the script that makes the shell ask this program on Tab."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command(name="completion")
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print the completion script of a shell.

    For bash, add `source <(springtide completion bash)` to ~/.bashrc; for zsh the same with zsh in ~/.zshrc;
    for fish, `springtide completion fish | source` in ~/.config/fish/config.fish.
    """
    completion = get_completion_class(shell)
    assert completion is not None, "click brings bash, zsh and fish"
    root = click.get_current_context().find_root()
    click.echo(completion(root.command, {}, "springtide", "_SPRINGTIDE_COMPLETE").source())
