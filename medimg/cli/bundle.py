"""`medimg bundle`: MONAI bundles fetched, checked, looked into and written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from medimg.cli import console
from medimg.cli.bundle_export import export
from medimg.cli.plain import say, say_json
from medimg.cli.subcommands import CommandGroup

if TYPE_CHECKING:
    from medimg.bundles.trust import Audit

SCHEMA = "medimg.bundles/1"
SHORT_DIGEST = 12


@click.group(
    cls=CommandGroup,
    epilog="""\b
Examples:
  medimg bundle list
  medimg bundle download brats_mri_segmentation
  medimg bundle info my_bundle/
  medimg bundle import my_bundle.zip --trust
  medimg bundle verify brats_mri_segmentation
  medimg bundle export brain_tumour -o deployed --format onnx --format openvino
""",
)
def command() -> None:
    """Fetch, check, look into and write MONAI bundles; medimg infer --bundle runs them.

    They are kept in the folder that the environment variable MEDIMG_HOME names [default: ~/.local/share/medimg], for
    use without network. A bundle is code: docs/bundles.md says which ones run without asking.
    """


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_bundles(as_json: bool) -> None:
    """List the bundles of this machine, and those that medimg has recipes for."""
    from medimg.bundles.catalogue import entries
    from medimg.bundles.home import library

    found = entries()
    if as_json:
        say_json({"schema": SCHEMA, "library": str(library()), "bundles": found})
        return
    columns = ("name", "version", "where", "task", "runs without asking")
    console.print_table(columns, [tuple(str(entry[key] or "no") for key in COLUMNS) for entry in found])
    say(f"library: {library()}", err=True)


COLUMNS = ("name", "version", "where", "task", "trusted")


@command.command("download")
@click.argument("name")
@click.option("--version", help="Version [default: the one that medimg's recipe is for, or the newest].")
@click.option("--source", help="Of monai.bundle download: github, monaihosting, huggingface_hub or ngc.")
@click.option("--url", help="A zip somewhere else.")
@click.option("--again", is_flag=True, help="Fetch it although it is there.")
def download(name: str, version: str | None, source: str | None, url: str | None, again: bool) -> None:
    """Fetch bundle NAME and its large files, check their digests, keep them for use without network."""
    from medimg.bundles.download import SOURCES, download_bundle
    from medimg.bundles.home import library
    from medimg.bundles.store import NAME

    if source is not None and source not in SOURCES:
        raise click.UsageError(f"--source {source}: choose one of {', '.join(SOURCES)}")
    if NAME.fullmatch(name) is None:
        raise click.UsageError(f"{name!r} can be no bundle's name; --url is for addresses")
    if (library() / name).is_dir() and not again:
        say(f"{library() / name} is there already; medimg bundle verify {name} checks it, --again fetches it again")
        return
    say(f"bundle in {download_bundle(name, version, source, url, progress=console.wants_bars())}")


@command.command("verify")
@click.argument("bundle_name", metavar="DIR|NAME")
@click.pass_context
def verify(context: click.Context, bundle_name: str) -> None:
    """Check a bundle's files against the digests that were promised, and that nothing in it leads out of it.

    Nothing is executed. Exit code 1 when anything is wrong.
    """
    from medimg.bundles.as_pipeline import find_bundle
    from medimg.bundles.store import verify as verified
    from medimg.errors import ExitCode

    checks = verified(find_bundle(bundle_name))
    console.print_table(("check", "sound", "detail"), [(c.what, "yes" if c.sound else "NO", c.detail) for c in checks])
    if not all(check.sound for check in checks):
        context.exit(ExitCode.RUNTIME)


@command.command("info")
@click.argument("bundle_name", metavar="DIR|NAME")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(bundle_name: str, as_json: bool) -> None:
    """Say what a bundle takes, gives and would execute, and whether it runs without asking.

    Nothing is executed.
    """
    from medimg.bundles.as_pipeline import find_bundle
    from medimg.bundles.catalogue import described
    from medimg.bundles.trust import audit

    folder = find_bundle(bundle_name)
    document = described(folder)
    if as_json:
        say_json({"schema": SCHEMA, **document})
        return
    for key in ("folder", "version", "title", "task", "inputs", "recipe", "requires", "weights", "digest", "trusted"):
        say(f"{key.replace('_', ' ')}: {_in_words(document[key])}")
    _say_executed(audit(folder))


@command.command("import")
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option("--name", help="What to call it [default: the folder's name].")
@click.option("--trust", is_flag=True, help="Let this machine run it from now on: it is code.")
def import_(source: Path, name: str | None, trust: bool) -> None:
    """Copy a bundle's folder or zip into the library. Nothing in it is executed."""
    from medimg.bundles.store import import_bundle
    from medimg.bundles.trust import audit, record, why_trusted

    folder = import_bundle(source, name)
    say(f"bundle in {folder}")
    if trust and not record(folder, "medimg bundle import --trust"):
        say("medimg: warning: that it is trusted could not be written; use --trust when it is run", err=True)
    found = audit(folder)
    if why_trusted(found.digest) is None:
        _say_executed(found)
        say("it will run with --trust only")


command.add_command(export)


def _say_executed(found: Audit) -> None:
    say(f"would execute {len(found.executed)} expressions and components, and {len(found.scripts)} scripts of its own:")
    for entry in found.executed:
        say(f"  {entry.kind}  {entry}")
    for script in found.scripts:
        say(f"  script  {script}")


def _in_words(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return "no" if value is None else str(value)
