"""`medimg pacs` and what `medimg batch` takes from it: bad input is one line and the documented exit code."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from medimg.cli import cli

SERVERS = """
servers:
  archive: {kind: dicomweb, url: "https://pacs.example.org/dicom-web", user: me}
  open: {kind: dicomweb, url: "https://pacs.example.org/dicom-web"}
  leaky: {kind: dicomweb, url: "https://pacs.example.org/dicom-web", password: geheim}
"""


@pytest.fixture
def told(tmp_path, monkeypatch):
    """Run medimg with a file of servers; exit code and its one line."""
    (tmp_path / "servers.yaml").write_text(SERVERS, encoding="utf-8")
    monkeypatch.setenv("MEDIMG_SERVERS", str(tmp_path / "servers.yaml"))

    def run(*arguments: object) -> tuple[int, str]:
        result = CliRunner().invoke(cli, [str(argument) for argument in arguments], prog_name="medimg")
        assert result.stderr.count("\n") == 1, result.stderr
        assert "geheim" not in result.output
        return result.exit_code, result.stderr

    return run


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("echo", "--server", "other"), "no server 'other'; it has archive, open, leaky"),
        (("echo", "--server", "leaky"), "holds a password; put it into the environment or the keyring"),
        (("echo", "--server", "archive"), "MEDIMG_PACS_ARCHIVE_PASSWORD or the keyring"),
        (("find", "colour=red", "--server", "open"), "knows no 'colour'"),
        (("find", "study=../1", "--server", "open"), "is not a DICOM UID"),
        (("find", "modality=CT"), "Missing option '--server'"),
        (("send", "no-such-folder", "--server", "open"), "does not exist"),
        (("listen", "-o", "out"), "Missing option '--allow'"),
        (("listen", "-o", "out", "--allow", "A\\B"), "is no AE title"),
        (("listen", "-o", "out", "--allow", "A", "--quota", "much"), "'much' is no size"),
        (("listen", "-o", "out", "--allow", "A", "--tls-key", "key.pem"), "go with --tls-certificate"),
        (("listen", "-o", "out", "--allow", "A", "--send-to", "other"), "no server 'other'"),
    ],
)
def test_what_cannot_mean_anything_is_told_before_anything_is_done(told, tmp_path, monkeypatch, arguments, line):
    monkeypatch.chdir(tmp_path)
    code, said = told("pacs", *arguments)
    assert (code, line in said) == (2, True), said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "give EXPORT or --from-pacs QUERY"),
        ((".", "--from-pacs", "modality=CT", "--server", "open"), "give EXPORT or --from-pacs QUERY"),
        (("--from-pacs", "modality=CT"), "go together"),
        ((".", "--server", "open"), "go together"),
        (("--from-pacs", "modality=CT", "--server", "open", "--watch"), "fetches once"),
        (("--from-pacs", "colour=red", "--server", "open"), "knows no 'colour'"),
        ((".", "--send-to", "other"), "no server 'other'"),
    ],
)
def test_a_batch_takes_its_scans_from_one_place(told, tmp_path, monkeypatch, arguments, line):
    monkeypatch.chdir(tmp_path)
    code, said = told("batch", *arguments, "-o", "out")
    assert (code, line in said) == (2, True), said
    assert not (tmp_path / "out").exists()


def test_without_a_file_of_servers_the_page_that_describes_it_is_named(told, monkeypatch, tmp_path):
    monkeypatch.setenv("MEDIMG_SERVERS", str(tmp_path / "none.yaml"))
    code, said = told("pacs", "echo", "--server", "archive")
    assert (code, "docs/pacs.md shows the file" in said) == (2, True)


def test_no_option_takes_a_secret():
    group = cli.get_command(None, "pacs")
    options = [option for command in group.commands.values() for each in command.params for option in each.opts]
    assert not [option for option in options if any(word in option for word in ("password", "token", "secret", "user"))]
    assert "--server" in options


def test_every_command_of_a_group_takes_the_common_options_once():
    for name in ("bundle", "pacs"):
        for command in cli.get_command(None, name).commands.values():
            for option in ("--verbose", "--quiet", "--no-progress"):
                assert sum(option in parameter.opts for parameter in command.params) == 1, (name, command.name)
