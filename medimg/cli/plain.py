"""The one way out to the terminal for other people's text: headers, file names, messages that quote them.

What would steer a terminal (escape sequences, bells) or turn the order of letters round (U+202E) is shown as "?".
JSON keeps the true text, spelt with \\u where it is not printable.
"""

from __future__ import annotations

import json
from typing import Any

import click


def shown(text: str) -> str:
    """On one line, and without what would steer a terminal."""
    return "".join(letter if letter.isprintable() else " " if letter.isspace() else "?" for letter in text)


def shown_lines(text: str) -> str:
    """As `shown`, line by line."""
    return "\n".join(map(shown, text.split("\n")))


def counted(number: int, noun: str) -> str:
    """ "1 scan", "2 scans"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def say(text: object, err: bool = False) -> None:
    """One line on stdout, or on stderr."""
    click.echo(shown(str(text)), err=err)


def say_json(document: Any) -> None:
    """The document as `files.json_text` spells it, what is not printable as \\u escapes."""
    from medimg.files import json_text

    text = json_text(document)
    click.echo(
        "".join(letter if letter.isprintable() or letter == "\n" else json.dumps(letter)[1:-1] for letter in text),
        nl=False,
    )
