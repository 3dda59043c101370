"""The group `medimg`: which commands there are, how they are imported, and what becomes of their errors."""

from __future__ import annotations

import difflib
import importlib
import signal
import threading
from typing import Any

import click

import medimg
from medimg.cli import console, failures

COMMANDS: dict[str, str] = {
    "preprocess": "Read every series of a folder or a zip archive; write NIfTI volumes and a manifest.",
    "infer": "Find nodules in a chest CT or segment a brain tumour in MRI; write a report.",
    "batch": "Every scan of an export through the pipelines that want it; call it again to go on.",
    "pacs": "Find, get and send at a PACS (DICOMweb, DIMSE); listen for studies and answer with results.",
    "compare": "Compare two scans of one patient: what is new, grown, shrunk, stable or resolved.",
    "run": "Run any chain of stages that a pipeline.yaml writes.",
    "select": "Choose which scans of a folder a pipeline takes (one stage).",
    "measure": "Measure the findings of a report folder again (one stage).",
    "report": "Render the report of a folder again (one stage).",
    "view": "Open a report's page in the browser, or serve it with the whole scan on this machine.",
    "train": "Train a pipeline's network; leave a MONAI bundle with weights.",
    "ensemble": "Average the networks of several training runs into one pipeline.",
    "evaluate": "Score predictions against a truth: FROC, overlap, classification; tables, plots, a page.",
    "datalist": "List the cases of a folder for training and evaluation, with folds by patient.",
    "bundle": "Fetch, check, look into and export MONAI bundles.",
    "pipelines": "List the installed pipelines: task, modality, weights, licence, model card.",
    "doctor": "Say what this machine can do: device, bf16, DICOM codecs, optional extras.",
}
"""Command -> its line in `medimg --help`, in the order shown. `medimg/cli/NAME.py` holds it as `command`."""


class LazyGroup(click.Group):
    """A group that knows its commands by name, so that `--help` imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command and give it the options that every command has."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"medimg.cli.{cmd_name}").command
        command.name = cmd_name
        have = {option for parameter in command.params for option in parameter.opts}
        command.params += [option for option in console.common_options() if not have.intersection(option.opts)]
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest name where there is none of that name."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            near = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"commands are {', '.join(COMMANDS)}"
            raise click.UsageError(f"no command {name!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does; what is wrong becomes one line."""
        with failures.as_one_line():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; every error becomes one line and an exit code."""
        with console.tamed_third_parties(), failures.as_one_line():
            return super().invoke(ctx)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    params=list(console.common_options()),
    epilog="""\b
Examples:
  medimg preprocess dicom_folder/ -o preprocessed
  medimg infer --volume scan.nii.gz -o out
  medimg infer --volume dicom_folder/ -o out

Exit codes: 0 done, 1 failed, 2 the command line is wrong, 3 some cases failed or were rejected.
""",
)
@click.version_option(medimg.__version__, prog_name="medimg", message="%(prog)s %(version)s")
def cli() -> None:
    """medimg: a scan goes in, findings come out.

    Lung nodules in chest CT and brain tumours in MRI, with measurements, masks on the scan's own grid and a
    report. For research use only. Not a medical device; not for diagnosis.
    """


def main() -> None:
    """The entry point `medimg`. SIGTERM cleans up as Ctrl-C does."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    cli(prog_name="medimg")
