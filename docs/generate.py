"""Write docs/commands/ from the commands themselves: python docs/generate.py [--check]."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import click

from medimg.cli import cli
from medimg.cli.group import COMMANDS

FOLDER = Path(__file__).resolve().parent / "commands"
COMMON = ("verbose", "quiet", "no_progress", "help")
"""Options that every command has; told once a page."""

NOTE = "<!-- written by docs/generate.py from the command itself: edit that, then run `make docs` -->"


def pages() -> dict[str, str]:
    """File name -> content, for every command and the index."""
    context = click.Context(cli, info_name="medimg", **cli.context_settings)
    found = {"README.md": _index()}
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        found[f"{name}.md"] = _page(command, click.Context(command, info_name=name, parent=context))
    return found


def _index() -> str:
    rows = [f"| [`medimg {name}`]({name}.md) | {words} |" for name, words in COMMANDS.items()]
    return "\n".join([NOTE, "", "# Commands", "", "| command | what it does |", "|---|---|", *rows, ""])


def _page(command: click.Command, context: click.Context) -> str:
    lines = [NOTE, "", *_section(command, context, 1), "Exit codes and files: [output](../output.md).", ""]
    return "\n".join(lines)


def _section(command: click.Command, context: click.Context, level: int) -> list[str]:
    """A command, and below it those of a group."""
    paragraphs = (command.help or "").strip().split("\n\n")
    body = [" ".join(paragraph.split()) for paragraph in paragraphs]
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    epilog = (command.epilog or "").replace("\b", "").strip("\n")
    lines = [f"{'#' * level} {context.command_path}", ""]
    lines += [part for paragraph in body for part in (paragraph, "")]
    lines += ["```", usage, "```", "", "| option | what it does |", "|---|---|"]
    options = [parameter for parameter in command.get_params(context) if isinstance(parameter, click.Option)]
    lines += [_row(option, context) for option in options if level == 1 or option.name not in COMMON]
    lines += ["", *(["```", epilog, "```", ""] if epilog else [])]
    for name, inner in getattr(command, "commands", {}).items():
        lines += _section(inner, click.Context(inner, info_name=name, parent=context), level + 1)
    return lines


def _row(option: click.Option, context: click.Context) -> str:
    names, words = option.get_help_record(context) or ("", "")
    return f"| `{names.replace('|', chr(92) + '|')}` | {' '.join(words.split()).replace('|', chr(92) + '|')} |"


def out_of_date(expected: dict[str, str], folder: Path = FOLDER) -> list[str]:
    """Names of pages that are missing, differ, or belong to no command."""
    there = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.md")}
    return sorted(name for name in there.keys() | expected.keys() if there.get(name) != expected.get(name))


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Write docs/commands/ from the commands themselves.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail when a page is not up to date")
    options = parser.parse_args()
    expected = pages()
    stale = out_of_date(expected)
    if options.check:
        if stale:
            print(f"docs/commands is not up to date ({', '.join(stale)}); run make docs", file=sys.stderr)
        return 1 if stale else 0
    FOLDER.mkdir(exist_ok=True)
    for name in stale:
        if name in expected:
            (FOLDER / name).write_text(expected[name], encoding="utf-8")
        else:
            (FOLDER / name).unlink()
    print(f"{FOLDER}: {len(stale)} of {len(expected)} pages written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
