"""The command line. Each command is one thin module, imported only when it is called."""

from __future__ import annotations

from medimg.cli.group import cli, main

__all__ = ["cli", "main"]
