"""Every error is one line on stderr with a documented exit code."""

from __future__ import annotations

import errno
import logging
import os
import signal
import subprocess
import sys
import time
import warnings

import click
import pytest
from click.testing import CliRunner

from medimg import errors
from medimg.cli import cli, group
from medimg.errors import ExitCode, Reason


@pytest.fixture
def failing(monkeypatch):
    """Run `medimg doctor` with a body that raises what it is given; the options before or after its name."""

    def run(raised, *options, before=()):
        @click.command(epilog="Example:\n  medimg doctor")
        def command():
            """Fail."""
            raise raised

        monkeypatch.setattr("medimg.cli.doctor.command", command)
        return CliRunner().invoke(cli, [*before, "doctor", *options], prog_name="medimg")

    return run


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (errors.InputError(Reason.NOT_3D, "a.nii is flat; give 3-D"), 1, "a.nii is flat; give 3-D"),
        (errors.UsageError("no such pipeline"), 2, "no such pipeline"),
        (errors.OutputError("cannot write\n out"), 1, "cannot write out"),
        (errors.PipelineError("broken"), 1, "broken"),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/out/x"),
            1,
            "/out/x: No space left on device; check the path, its permissions and the free space",
        ),
        (KeyboardInterrupt(), 1, "interrupted; nothing half-written was kept"),
        (
            ZeroDivisionError("by\nzero"),
            1,
            "unexpected error: ZeroDivisionError: by zero; run again with --verbose for the traceback",
        ),
        (
            MemoryError(),
            1,
            "not enough memory for this scan; close other programs, or use --device cpu when it was the GPU's",
        ),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(failing, raised, code, line):
    result = failing(raised)
    assert result.stderr == f"medimg: error: {line}\n"
    assert result.stdout == ""
    assert result.exit_code == code


@pytest.mark.parametrize("where", ["before", "after"])
def test_verbose_shows_the_traceback_wherever_it_stands(failing, where):
    error = errors.PipelineError("broken")
    result = failing(error, before=["--verbose"]) if where == "before" else failing(error, "--verbose")
    assert "Traceback" in result.stderr
    assert result.stderr.endswith("medimg: error: broken\n")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["infr"], "no command 'infr'; did you mean infer?; see medimg --help"),
        (["infer", "--volume"], "Option '--volume' requires an argument; see medimg infer --help"),
        (["--nonsense"], "No such option '--nonsense'; see medimg --help"),
        (["pipelines", "surplus"], "Got unexpected extra argument (surplus); see medimg pipelines --help"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(arguments, line):
    result = CliRunner().invoke(cli, arguments, prog_name="medimg")
    assert result.stderr == f"medimg: error: {line}\n"
    assert result.exit_code == ExitCode.USAGE


def test_a_path_that_is_not_there_is_a_wrong_command_line(tmp_path):
    result = CliRunner().invoke(cli, ["infer", "--volume", str(tmp_path / "no"), "-o", str(tmp_path)])
    assert result.exit_code == ExitCode.USAGE
    assert "does not exist" in result.stderr
    assert result.stderr.count("\n") == 1


def test_no_argument_shows_the_help():
    result = CliRunner().invoke(cli, [])
    assert result.exit_code == ExitCode.USAGE
    assert "Commands:" in result.stderr


def talkative(tell):
    @click.command()
    def command():
        """Talk."""
        tell()

    return command


def of_libraries():
    warnings.warn("a library's worry", UserWarning, stacklevel=1)
    logging.getLogger("pydicom").warning("a library's word")


def of_medimg():
    logging.getLogger("medimg.dicom").warning("one file is odd")
    logging.getLogger("medimg.dicom").info("reading")


@pytest.mark.parametrize(
    ("options", "tell", "expected"),
    [
        ([], of_libraries, ""),
        (["--quiet"], of_libraries, ""),
        ([], of_medimg, "medimg: WARNING: one file is odd\n"),
        (["--quiet"], of_medimg, ""),
    ],
)
def test_what_libraries_say_is_kept_from_the_user(monkeypatch, options, tell, expected):
    monkeypatch.setattr("medimg.cli.doctor.command", talkative(tell))
    assert CliRunner().invoke(cli, ["doctor", *options]).stderr == expected


def test_verbose_lets_warnings_and_steps_through(monkeypatch):
    def tell():
        of_libraries()
        of_medimg()

    monkeypatch.setattr("medimg.cli.doctor.command", talkative(tell))
    with pytest.warns(UserWarning, match="a library's worry"):
        result = CliRunner().invoke(cli, ["doctor", "--verbose"])
    assert "reading" in result.stderr


def test_the_logging_of_the_process_is_left_as_it_was(monkeypatch):
    before = list(logging.getLogger().handlers), list(logging.getLogger("medimg").handlers)
    monkeypatch.setattr("medimg.cli.doctor.command", talkative(of_medimg))
    CliRunner().invoke(cli, ["doctor"])
    assert (list(logging.getLogger().handlers), list(logging.getLogger("medimg").handlers)) == before


def test_a_reader_that_goes_away_is_no_error():
    """`medimg --help | true`: no traceback, nothing on stderr."""
    reader, writer = os.pipe()
    os.close(reader)
    ran = subprocess.run(
        [sys.executable, "-m", "medimg", "pipelines"], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert ran.stderr == ""
    assert ran.returncode in {0, 1}


SLEEPING_COMMAND = """
import signal, sys, time, click
from pathlib import Path
from medimg.cli import doctor, main
from medimg.files import atomic_path

folder = Path({folder!r})
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background starts with Ctrl-C ignored

@click.command()
def command():
    with atomic_path(folder / "result") as path:
        path.write_text("half")
        (folder / "started").touch()
        time.sleep(60)

doctor.command = command
sys.argv = ["medimg", "doctor"]
main()
"""


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX here")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_with_one_line(tmp_path, number):
    process_code = SLEEPING_COMMAND.format(folder=str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", process_code], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert said == "medimg: error: interrupted; nothing half-written was kept\n"
    assert process.returncode == ExitCode.RUNTIME
    assert [path.name for path in tmp_path.iterdir()] == ["started"]


def test_the_table_and_the_modules_agree():
    assert all(cli.get_command(None, name).name == name for name in group.COMMANDS)
    assert cli.get_command(None, "nothing") is None
