"""`medimg pacs`: a PACS asked, fetched from, sent to and listened for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from medimg.cli.console import print_table, progress_bars
from medimg.cli.options import output_option, server_option
from medimg.cli.pacs_listen import listen
from medimg.cli.plain import say, say_json
from medimg.cli.subcommands import CommandGroup

if TYPE_CHECKING:
    from medimg.pacs.query import Match, Transfer

SCHEMA = "medimg.pacs/1"

COLUMNS = ("patient", "date", "accession", "modality", "description", "instances", "study", "series")


@click.group(
    cls=CommandGroup,
    epilog="""\b
Examples:
  medimg pacs echo --server archive
  medimg pacs find modality=CT,date=20260101-20260131 --server archive
  medimg pacs get study=1.2.840.113619.2.1 --server archive -o fetched
  medimg infer --volume fetched -o out
  medimg pacs send out --server archive
  medimg pacs listen --allow SCANNER1 --send-to archive -o /srv/medimg

QUERY is NAME=VALUE, several with commas between: patient (ID), study and series (UID), accession, modality, date
(YYYYMMDD, or a range with a "-") and description; * and ? stand for any letters.

Exit codes: 0 done; 1 the server cannot be reached, refuses, or took or gave nothing; 2 the command line or the file of
servers is wrong; 3 some series or objects failed, each with its reason.
""",
)
def command() -> None:
    """Find, get and send over DICOMweb or DIMSE; receive as a storage SCP. Needs medimg[pacs].

    Servers have names, in the file that the environment variable MEDIMG_SERVERS names [default:
    ~/.config/medimg/servers.yaml]; docs/pacs.md describes it. Secrets come from the environment or the keyring, never
    from the command line. For research use only; not a medical device.
    """


@command.command("echo")
@server_option()
def echo(server: str) -> None:
    """Ask whether a server is there and lets us in."""
    from medimg.pacs.connect import pacs_named

    say(f"{server} answers: {pacs_named(server).echo()}")


@command.command("find")
@click.argument("query")
@server_option()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def find(query: str, server: str, as_json: bool) -> None:
    """List the series that match QUERY."""
    from medimg.pacs.connect import pacs_named
    from medimg.pacs.query import parse_query

    matches = list(pacs_named(server).find(parse_query(query)))
    if as_json:
        say_json({"schema": SCHEMA, "server": server, "series": [asdict(match) for match in matches]})
    else:
        show_matches(matches)


@command.command("get")
@click.argument("query")
@server_option()
@output_option
@click.pass_context
def get(context: click.Context, query: str, server: str, output: Path) -> None:
    """Fetch the series that match QUERY to OUTPUT/STUDY/SERIES, for preprocess, infer and batch.

    A series that is there already is not fetched again, and one that does not come whole leaves nothing there.
    """
    from medimg.pacs.connect import pacs_named
    from medimg.pacs.fetch import fetch
    from medimg.pacs.query import parse_query

    pacs, asked = pacs_named(server), parse_query(query)
    with progress_bars() as progress:
        fetched = fetch(pacs, asked, output, progress)
    say(f"{fetched.series} series match, {fetched.there} of them were there already")
    _say_transfer(context, fetched.transfer, f"instances fetched to {output}", anything=fetched.there > 0)


@command.command("send")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@server_option()
@click.pass_context
def send(context: click.Context, paths: tuple[Path, ...], server: str) -> None:
    """Store DICOM files, and those of folders and all below them, such as an output of medimg infer.

    Sent again, an object replaces itself: its UID is the same.
    """
    from medimg.pacs.connect import pacs_named
    from medimg.pacs.outgoing import outgoing

    pacs, found = pacs_named(server), outgoing(paths)
    with progress_bars() as progress:
        sent = pacs.send(found.objects, progress)
    sent.failed += found.damaged
    if found.skipped:
        say(f"{found.skipped} files are no DICOM objects and stay here", err=True)
    _say_transfer(context, sent, f"objects sent to {server}")


command.add_command(listen)


def show_matches(matches: Iterable[Match]) -> None:
    """A table of series, one a row."""
    rows = []
    for match in matches:
        instances = "" if match.instances is None else str(match.instances)
        of_patient = (match.patient_id, match.study_date, match.accession)
        rows.append((*of_patient, match.modality, match.description, instances, match.study_uid, match.series_uid))
    print_table(COLUMNS, rows)


def _say_transfer(context: click.Context, transfer: Transfer, what: str, anything: bool = False) -> None:
    """What went through, then each failure on stderr. Exit code 3 when some failed, 1 when nothing else happened."""
    from medimg.errors import ExitCode

    say(f"{len(transfer.done)} {what}")
    for name, why in transfer.failed:
        say(f"failed: {name}: {why}", err=True)
    if transfer.failed:
        context.exit(ExitCode.SOME_FAILED if transfer.done or anything else ExitCode.RUNTIME)
