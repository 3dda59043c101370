"""A command that is a group of commands, as `medimg bundle` and `medimg pacs` are."""

from __future__ import annotations

import click

from medimg.cli import console


class CommandGroup(click.Group):
    """A group whose commands have the options that every command has."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add it with --verbose, --quiet and --no-progress."""
        cmd.params += list(console.common_options())
        super().add_command(cmd, name)
