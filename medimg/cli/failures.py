"""Errors become one line on stderr and a documented exit code, in one place."""

from __future__ import annotations

import contextlib
import errno
import sys
import traceback
from collections.abc import Iterator

import click

from medimg.cli import console
from medimg.errors import ExitCode, MedimgError

INTERRUPTED = "interrupted; nothing half-written was kept"
OUT_OF_MEMORY_ERRORS = frozenset({"MemoryError", "OutOfMemoryError"})
"""By name: torch.OutOfMemoryError must not cost an import of torch."""

PASSED_ON = (click.exceptions.Exit, click.exceptions.NoArgsIsHelpError)
"""What click uses to leave early, with help or with an exit code the command chose."""


class Failure(click.ClickException):
    """One line for the user, and the exit code that goes with it."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(" ".join(message.split()))
        self.exit_code = exit_code

    def show(self, file: object = None) -> None:
        """Write the line to stderr, after the traceback when --verbose asked for it."""
        if console.settings().verbose and self.__cause__ is not None:
            click.echo("".join(traceback.format_exception(self.__cause__)), err=True, nl=False)
        click.echo(f"medimg: error: {self.message}", err=True)


@contextlib.contextmanager
def as_one_line() -> Iterator[None]:
    """Turn whatever the block raises into a `Failure`. A closed pipe is left to click, which ends quietly."""
    try:
        yield
    except (Failure, *PASSED_ON):
        raise
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx is not None else "medimg"
        message = error.format_message().strip().rstrip(".")
        raise Failure(f"{message}; see {command} --help", ExitCode.USAGE) from error
    except click.ClickException as error:
        raise Failure(error.format_message(), error.exit_code) from error
    except MedimgError as error:
        raise Failure(str(error), error.exit_code) from error
    except (KeyboardInterrupt, click.Abort) as error:
        _close_the_echoed_line()
        raise Failure(INTERRUPTED, ExitCode.RUNTIME) from error
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        raise Failure(_of_the_system(error), ExitCode.RUNTIME) from error
    except Exception as error:
        raise Failure(_unexpected(error), ExitCode.RUNTIME) from error


def _of_the_system(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    what = error.strerror or str(error) or type(error).__name__
    return f"{where}{what}; check the path, its permissions and the free space"


def _unexpected(error: Exception) -> str:
    if type(error).__name__ in OUT_OF_MEMORY_ERRORS:
        return "not enough memory for this scan; close other programs, or use --device cpu when it was the GPU's"
    detail = " ".join(str(error).split()) or "no message"
    return f"unexpected error: {type(error).__name__}: {detail}; run again with --verbose for the traceback"


def _close_the_echoed_line() -> None:
    """A terminal has just echoed ^C; start a new line there."""
    if sys.stderr.isatty():
        click.echo(err=True)
