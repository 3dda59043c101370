"""`medimg view`: the report page in a browser."""

from __future__ import annotations

from pathlib import Path

import click

from medimg.cli.options import language_option
from medimg.cli.plain import say


@click.command(
    epilog="""\b
Examples:
  medimg view out
  medimg view out/report.html --no-browser
  medimg view out --serve
"""
)
@click.argument("report", type=click.Path(exists=True, path_type=Path))
@click.option("--serve", is_flag=True, help="Show the whole scan and mask, read again from where they were.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@language_option
def command(report: Path, serve: bool, no_browser: bool, language: str | None) -> None:
    """Open the page of REPORT, a folder that medimg infer wrote or a file in it.

    With --serve the page shows the scan at its full resolution. It is given out to this machine alone, at an address
    that nobody can guess, until Ctrl-C. For research use only; not a medical device.
    """
    from medimg.report.read import read_page, read_report

    folder = report if report.is_dir() else report.parent
    if not serve:
        address = read_page(folder).resolve().as_uri()
        _open(f"{address}#{language}" if language else address, no_browser)
        return

    from medimg.report.serve import ReportServer, contents_of
    from medimg.stages.folders import read_volumes

    found = read_report(folder)
    with ReportServer(contents_of(found, read_volumes(found, folder), language or "en")) as server:
        _open(server.url, no_browser)
        say("Ctrl-C ends it", err=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("ended", err=True)


def _open(address: str, no_browser: bool) -> None:
    """Print the address, and show it unless that is not wanted; without a browser the address is what there is."""
    import webbrowser

    from medimg import NOT_A_MEDICAL_DEVICE

    say(address)
    say(NOT_A_MEDICAL_DEVICE, err=True)
    if not no_browser and not webbrowser.open(address):
        say("no browser could be started; open the address yourself", err=True)
