"""The events of a batch and of a listener: a bar and words for people, JSON lines for programs."""

from __future__ import annotations

import contextlib
import functools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO, TypeVar, cast

import click

from medimg.cli.plain import say
from medimg.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])

WORDS = {
    "pause": "medimg: warning: {message}; trying again in {seconds} s",
    "away": "medimg: warning: {message}; the results are kept and sent later",
    "refused": "medimg: warning: {server} refused the results of {id}: {message}",
    "unsent": "medimg: warning: the results of {id} cannot be read: {message}; they are kept and sent later",
    "delivered": "sent to {server}: {objects} objects of {id}",
    "fetched": "{series} series match at {server}: {there} were there already, {instances} instances were fetched",
    "not_fetched": "medimg: warning: not fetched: {what}: {message}",
    "listening": "listening as {title} on {host}:{port}",
    "complete": "{studies} studies are complete",
    "dropped": "received files of study {study} removed",
}
"""What is said of an event; of one that is not here, nothing."""


def event_options(command: Command) -> Command:
    """--json and --log-file; the command gets them as `events`, an `Events` to be used as a context."""

    @functools.wraps(command)
    def with_events(*args: Any, **given: Any) -> Any:
        return command(*args, events=Events(given.pop("as_json"), given.pop("log_file")), **given)

    wrapped: Any = with_events
    for option in (
        click.option(
            "--log-file", type=click.Path(dir_okay=False, path_type=Path), help="Append every event to this file."
        ),
        click.option(
            "--json", "as_json", is_flag=True, help="One JSON object a line for each event, in place of a bar."
        ),
    ):
        wrapped = option(wrapped)
    return cast("Command", wrapped)


class Events:
    """Passes events to the terminal, as a bar, in words or as JSON lines, and to a log file."""

    def __init__(self, as_json: bool, log_file: Path | None) -> None:
        self.as_json, self.log_file = as_json, log_file
        self.update: Callable[[int, str, bool], None] | None = None
        self.done = self.failed = 0
        self.stream: TextIO | None = None

    def __enter__(self) -> Events:
        if self.log_file is not None:
            try:
                self.stream = self.log_file.open("a", encoding="utf-8")
            except OSError as error:
                raise UsageError(f"cannot write --log-file {self.log_file}: {error.strerror}") from error
        return self

    def __exit__(self, *_: object) -> None:
        if self.stream is not None:
            with contextlib.suppress(OSError):
                self.stream.close()

    def bar(self, update: Callable[[int, str, bool], None] | None) -> None:
        """The bar of this round."""
        self.update, self.done, self.failed = update, 0, 0

    def __call__(self, event: dict[str, Any]) -> None:
        """Tell of one event."""
        line = json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **event})
        if self.stream is not None:
            with contextlib.suppress(OSError):  # a log on a full disk must not end the batch it tells of
                print(line, file=self.stream, flush=True)
        if self.as_json:
            click.echo(line)
        elif event["event"] == "case":
            self._case(event)
        elif event["event"] in WORDS:
            say(WORDS[event["event"]].format(**event), err=True)

    def _case(self, event: dict[str, Any]) -> None:
        self.done += not event["again"]
        self.failed += event["state"] == "failed" and not event["again"]
        if event["state"] == "failed":
            again = ", will be tried again" if event["again"] else ""
            say(f"failed: {event['id']}: {event['reason']}: {event['message']}{again}", err=True)
        if self.update is not None:
            self.update(self.done, f"{self.failed} failed", False)
