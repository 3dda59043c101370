"""What is shown beside the results: bars on a terminal, nothing in a pipe; tables for people and for programs."""

from __future__ import annotations

import io
import sys

import click
import pytest
from click.testing import CliRunner

from medimg.cli import cli, console
from medimg.progress import silent


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Call it to have stdout and stderr on a terminal that keeps what is drawn."""

    def use():
        drawn = Terminal()
        monkeypatch.setattr(sys, "stderr", drawn)
        monkeypatch.setattr(sys, "stdout", drawn)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "100")
        return drawn

    return use


def work():
    with console.progress_bars() as progress:
        for done in range(1, 4):
            progress("windows", done, 3)
        progress("series", 1, 2)


def test_a_terminal_gets_one_bar_for_each_kind_of_work(terminal):
    screen = terminal()
    work()
    drawn = screen.getvalue()
    assert "windows" in drawn
    assert "3/3" in drawn
    assert "series" in drawn
    assert "1/2" in drawn


def test_a_pipe_gets_nothing(capfd):
    work()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("option", ["--no-progress", "--quiet"])
@pytest.mark.parametrize("before", [True, False])
def test_bars_can_be_turned_off_before_or_after_the_name_of_the_command(monkeypatch, option, before):
    listeners = []

    @click.command()
    def command():
        """Work."""
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        with console.progress_bars() as progress:
            listeners.append(progress)

    monkeypatch.setattr("medimg.cli.doctor.command", command)
    result = CliRunner().invoke(cli, [option, "doctor"] if before else ["doctor", option])
    assert result.exit_code == 0, result.stderr
    assert listeners == [silent]


def test_a_table_is_drawn_on_a_terminal_and_its_cells_are_not_markup(terminal):
    screen = terminal()
    console.print_table(("name", "what"), [("lung[1]", "[bold]")])
    assert "lung[1]" in screen.getvalue()
    assert "[bold]" in screen.getvalue()


def test_a_table_in_a_pipe_has_tabs(capsys):
    console.print_table(("name", "what"), [("a", "b c")])
    assert capsys.readouterr().out == "name\twhat\na\tb c\n"
