"""What the user sees beside the results: progress bars, log messages, and how much of them was asked for."""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import click

from medimg.cli.plain import shown
from medimg.progress import Progress, silent

LOGGER = "medimg"
PLAIN = "medimg: %(levelname)s: %(message)s"
DETAILED = "%(asctime)s %(name)s %(levelname)s: %(message)s"


@dataclass
class Settings:
    """What --verbose, --quiet and --no-progress asked for."""

    verbose: bool = False
    quiet: bool = False
    no_progress: bool = False


def settings() -> Settings:
    """The settings of the running command; the defaults outside one."""
    context = click.get_current_context(silent=True)
    if context is None:
        return _outside
    found: Settings = context.find_root().ensure_object(Settings)
    return found


_outside = Settings()


def common_options() -> Iterator[click.Option]:
    """--verbose, --quiet and --no-progress: before or after the name of the command."""
    texts = {
        "verbose": "Log what is done; on an error show the traceback.",
        "quiet": "No progress, no log messages; results and errors only.",
        "no_progress": "No progress bars (there are none in a pipe).",
    }
    for name, text in texts.items():
        yield click.Option(
            [f"--{name.replace('_', '-')}", name],
            is_flag=True,
            expose_value=False,
            callback=_remember,
            help=text,
        )


def _remember(_context: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Set the flag where it is given; a flag before the command's name is not undone by its absence after it."""
    if value and parameter.name is not None:
        setattr(settings(), parameter.name, True)
        _apply(settings())


@contextlib.contextmanager
def tamed_third_parties() -> Iterator[None]:
    """Keep the Python warnings and log messages of libraries from the user, unless --verbose asks for them.

    medimg's own messages from level WARNING on are shown. Everything is put back at the end.
    """
    root, own = logging.getLogger(), logging.getLogger(LOGGER)
    handler = logging.StreamHandler()
    levels = root.level, own.level
    own.addHandler(handler)
    null = logging.NullHandler()  # without any handler, logging would print the libraries' warnings itself
    root.addHandler(null)
    try:
        with warnings.catch_warnings():
            _apply(settings())
            yield
    finally:
        own.removeHandler(handler)
        root.removeHandler(null)
        root.setLevel(levels[0])
        own.setLevel(levels[1])


class _Plain(logging.Formatter):
    """Messages quote file names and headers."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return shown(super().formatMessage(record))


def _apply(chosen: Settings) -> None:
    if not sys.warnoptions:  # python -W and PYTHONWARNINGS are the user's own word
        warnings.simplefilter("default" if chosen.verbose else "ignore")
    own = logging.getLogger(LOGGER)
    own.setLevel(logging.INFO if chosen.verbose else logging.ERROR if chosen.quiet else logging.WARNING)
    for handler in own.handlers:
        handler.setFormatter(_Plain(DETAILED if chosen.verbose else PLAIN))


def wants_bars() -> bool:
    """Whether progress is to be drawn: on a terminal, unless the user said otherwise."""
    chosen = settings()
    return not (chosen.quiet or chosen.no_progress) and sys.stderr.isatty()


@contextlib.contextmanager
def progress_bars() -> Iterator[Progress]:
    """A listener that draws one bar for each `what` on a terminal, and the silent one anywhere else."""
    if not wants_bars():
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def listen(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield listen


@contextlib.contextmanager
def live_status(what: str, total: int) -> Iterator[Callable[[int, str, bool], None] | None]:
    """On a terminal: `update(done, values, keep)` moves one bar and shows the values, and leaves them above it when
    `keep` is set. None anywhere else."""
    if not wants_bars():
        yield None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, TextColumn("{task.fields[values]}"), console=Console(stderr=True)) as bars:
        task = bars.add_task(what, total=total, values="")

        def update(done: int, values: str, keep: bool) -> None:
            bars.update(task, completed=done, values=escape(values))
            if keep:
                bars.console.print(escape(f"step {done}: {values}"))

        yield update


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on a terminal; in a pipe one line a row with tabs between, names of the columns first."""
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            click.echo("\t".join(map(shown, row)))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(*columns)
    for row in rows:
        table.add_row(*(escape(shown(cell)) for cell in row))
    Console().print(table)
