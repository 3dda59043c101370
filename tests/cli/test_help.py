"""Help: of every command, light, and on a narrow diet of imports."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from click.testing import CliRunner

from medimg import __version__
from medimg.cli import cli
from medimg.cli.group import COMMANDS
from medimg.cli.options import DICOM_KINDS

HEAVY = {"torch", "monai", "numpy", "scipy", "SimpleITK", "matplotlib", "nibabel", "pydicom", "rich", "jinja2", "yaml"}
"""Nothing of this is needed to print a help."""


def loaded_by(*arguments: str) -> set[str]:
    """Top-level modules in memory after `medimg ARGUMENTS` in a fresh interpreter."""
    code = (
        "import sys\n"
        "from medimg.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "print('LOADED', *{name.partition('.')[0] for name in sys.modules})"
    )
    ran = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return set(ran.stdout.rpartition("LOADED ")[2].split())


def test_the_overview_names_every_command_and_imports_none():
    assert not loaded_by("--help") & HEAVY
    assert all(name in CliRunner().invoke(cli, ["--help"]).stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_imports_nothing_heavy(name):
    assert not loaded_by(name, "--help") & HEAVY


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does_and_has_an_example(name):
    command = cli.get_command(None, name)
    shown = CliRunner().invoke(cli, [name, "--help"]).stdout
    assert command.help
    assert "Example" in command.epilog
    assert f"\n  medimg {name}" in command.epilog
    assert shown.startswith("Usage: ")


def test_the_kinds_of_dicom_results_in_the_examples_are_ones_that_the_option_takes():
    shown = [CliRunner().invoke(cli, [name, "--help"]).stdout for name in COMMANDS]
    kinds = {kind for text in shown for said in re.findall(r"--dicom ([a-z,]+)", text) for kind in said.split(",")}
    assert kinds
    assert kinds <= {*DICOM_KINDS, "none"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_help(name):
    options = [parameter for parameter in cli.get_command(None, name).params if parameter.param_type_name == "option"]
    assert [option.opts for option in options if not option.help] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_the_common_options_once(name):
    cli.get_command(None, name)
    parameters = cli.get_command(None, name).params
    for option in ("--verbose", "--quiet", "--no-progress"):
        assert sum(option in parameter.opts for parameter in parameters) == 1


def test_the_version_is_said():
    assert CliRunner().invoke(cli, ["--version"]).stdout == f"medimg {__version__}\n"


def test_python_m_medimg_is_medimg():
    ran = subprocess.run([sys.executable, "-m", "medimg", "--version"], capture_output=True, text=True, check=True)
    assert ran.stdout == f"medimg {__version__}\n"
