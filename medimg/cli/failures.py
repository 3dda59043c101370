"""Errors become one line on stderr and a documented exit code, in one place."""

from __future__ import annotations

import contextlib
import errno
import sys
import traceback
from collections.abc import Iterator

import click

from medimg.cli import console
from medimg.cli.plain import say, shown_lines
from medimg.errors import ExitCode, MedimgError

INTERRUPTED = "interrupted; nothing half-written was kept"
OUT_OF_MEMORY_ERRORS = frozenset({"MemoryError", "OutOfMemoryError"})
"""By name: torch.OutOfMemoryError must not cost an import of torch."""

PASSED_ON = (click.exceptions.Exit, click.exceptions.NoArgsIsHelpError)
"""What click uses to leave early, with help or with an exit code the command chose."""


@contextlib.contextmanager
def as_one_line() -> Iterator[None]:
    """Say what the block raises in one line on stderr and leave with its exit code (`click.exceptions.Exit`).

    A closed pipe is left to click, which ends quietly.
    """
    try:
        yield
    except PASSED_ON:
        raise
    except click.UsageError as error:
        message = error.format_message().strip().rstrip(".")
        # no traceback: it would be click's own, and say nothing
        raise _say(f"{message}; see {_command_of(error)} --help", ExitCode.USAGE) from error
    except click.ClickException as error:
        raise _say(error.format_message(), error.exit_code) from error
    except MedimgError as error:
        raise _say(str(error), error.exit_code, error) from error
    except (KeyboardInterrupt, click.Abort) as error:
        _close_the_echoed_line()
        raise _say(str(error) or INTERRUPTED, ExitCode.RUNTIME, error) from error
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        raise _say(_of_the_system(error), ExitCode.RUNTIME, error) from error
    except Exception as error:
        if _was_interrupted(error):
            _close_the_echoed_line()
            raise _say(INTERRUPTED, ExitCode.RUNTIME, error) from error
        raise _say(_unexpected(error), ExitCode.RUNTIME, error) from error


def _say(message: str, exit_code: int, error: BaseException | None = None) -> click.exceptions.Exit:
    """Write the line to stderr, after the traceback of `error` when --verbose asked for it."""
    if error is not None and console.settings().verbose:
        click.echo(shown_lines("".join(traceback.format_exception(error))), err=True, nl=False)
    say(f"medimg: error: {' '.join(message.split())}", err=True)
    return click.exceptions.Exit(int(exit_code))


def _command_of(error: click.UsageError) -> str:
    """The command whose help would have told. Errors of click's parser do not know it; the group does."""
    if error.ctx is not None:
        return error.ctx.command_path
    group = click.get_current_context(silent=True)
    called = group.invoked_subcommand if group is not None else None
    return f"medimg {called}" if called else "medimg"


def _of_the_system(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    what = error.strerror or str(error) or type(error).__name__
    return f"{where}{what}; check the path, its permissions and the free space"


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether a Ctrl-C is what another error was made of: torch's exporters turn it into one of theirs."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, KeyboardInterrupt):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def _unexpected(error: Exception) -> str:
    if type(error).__name__ in OUT_OF_MEMORY_ERRORS:
        return "not enough memory for this scan; close other programs, or use --device cpu when it was the GPU's"
    detail = " ".join(str(error).split()) or "no message"
    return f"unexpected error: {type(error).__name__}: {detail}; run again with --verbose for the traceback"


def _close_the_echoed_line() -> None:
    """A terminal has just echoed ^C; start a new line there."""
    if sys.stderr.isatty():
        click.echo(err=True)
