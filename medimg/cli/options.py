"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

if TYPE_CHECKING:
    from medimg.pipeline import Pipeline

Command = TypeVar("Command", bound=Callable[..., Any])

output_option = click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder for the results."
)
pipeline_option = click.option(
    "--pipeline", "pipeline_name", help="Pipeline: a name (see medimg pipelines) or the path of a pipeline.yaml."
)


trust_option = click.option(
    "--trust", is_flag=True, help="Run a bundle that medimg does not know: it is code, and can do whatever you can."
)


def case_options(command: Command) -> Command:
    """--pipeline, --trust, --workers, --attempts and --time-limit: fields of `medimg.batch.run.Options`."""
    for option in (
        click.option(
            "--time-limit", type=click.FloatRange(min=0), default=0, help="Seconds a case may take; 0 sets no limit."
        ),
        click.option(
            "--attempts", type=click.IntRange(min=1), default=3, show_default=True, help="Tries of a case at most."
        ),
        click.option("--workers", type=click.IntRange(min=0), default=0, help="Cases at a time; 0 is one a processor."),
        trust_option,
        click.option(
            "--pipeline",
            "pipelines",
            multiple=True,
            help="Pipeline or MONAI bundle: a name or a path; may be given several times.",
        ),
    ):
        command = option(command)
    return command


def server_option(required: bool = True) -> Callable[[Command], Command]:
    """--server NAME."""
    text = "The PACS: a name in the file of servers (docs/pacs.md)."
    return click.option("--server", metavar="NAME", required=required, help=text)


send_to_option = click.option(
    "--send-to", metavar="NAME", help="Send each case's DICOM results to this PACS (docs/pacs.md)."
)


bundle_option = click.option(
    "--bundle",
    "bundle_names",
    multiple=True,
    metavar="DIR|NAME",
    help="A MONAI bundle: its folder, or a name (see medimg bundle list). Several that differ in their network alone: "
    "their mean.",
)
recipe_option = click.option(
    "--recipe",
    "recipe_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With --bundle: what the bundle leaves unsaid (docs/bundles.md) [default: medimg's own, or its metadata].",
)


language_option = click.option(
    "--lang", "language", type=click.Choice(["en", "zh"]), help="Language that report.html and report.pdf open in."
)

series_uid_option = click.option(
    "--series-uid", "series_uids", multiple=True, metavar="UID", help="Only this series; may be given several times."
)


def _patient_file(_context: click.Context, _param: click.Parameter, value: Path | None) -> Path | None:
    """The same path, once what it holds was read: what is wrong with it is said before anything else is done."""
    if value is not None:
        from medimg.patient.document import read_patient

        read_patient(value)
    return value


patient_option = click.option(
    "--patient",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    callback=_patient_file,
    help="What is known of the patient, for the advice on nodules: context.json or a FHIR R4 bundle (docs/advice.md).",
)


def choice_options(command: Command) -> Command:
    """--series-uid, --modality and --description."""
    for option in (
        click.option(
            "--description",
            "descriptions",
            multiple=True,
            metavar="PATTERN",
            help="Only descriptions that match, as a shell matches file names ('*chest*'), in upper or lower case.",
        ),
        click.option("--modality", "modalities", multiple=True, metavar="CT", help="Only this modality."),
        series_uid_option,
    ):
        command = option(command)
    return command


def engine_options(command: Command, cluster: bool = False) -> Command:
    """How the network runs; the command gets it as `engine`, a `medimg.inference.options.Engine`.

    cluster: --engine may be "ray" as well, which the caller takes out of `backend` (cli/cluster_options.py).
    """

    @functools.wraps(command)
    def with_engine(*args: Any, **given: Any) -> Any:
        from medimg.inference.options import Engine, parse_bytes

        limit = given.pop("memory_limit")
        chosen = {entry: given.pop(entry) for entry in ENGINE_OPTIONS}
        engine = Engine(**chosen, memory_limit=None if limit is None else parse_bytes(limit))
        return command(*args, engine=engine, **given)

    wrapped: Any = with_engine
    for option in (
        click.option(
            "--fast", is_flag=True, help="Windows cut down to what there is to see, though it changes the answer."
        ),
        click.option(
            "--overlap",
            type=click.FloatRange(0, 0.9),
            help="Share of a window its neighbours see too; else the model's.",
        ),
        click.option("--tta", is_flag=True, help="Average over mirror images: four times the work, a little better."),
        click.option("--memory-limit", metavar="SIZE", help="Memory the process may take, as 4GiB; else any."),
        click.option(
            "--threads",
            type=click.IntRange(min=0),
            default=0,
            help="Processor threads; 0: the engine chooses.",
        ),
        click.option(
            "--precision",
            type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
            default="auto",
            show_default=True,
            help="Arithmetic of the network; auto takes bf16 where the processor has it, fp16 needs a GPU.",
        ),
        click.option(
            "--engine",
            "backend",
            type=click.Choice([*BACKENDS, "ray"] if cluster else BACKENDS),
            default="auto",
            show_default=True,
            help="What runs the network; auto is torch, openvino is an extra for CPUs"
            f"{'; ray is short for --cluster ray' if cluster else ''}.",
        ),
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps."),
    ):
        wrapped = option(wrapped)
    return cast("Command", wrapped)


BACKENDS = ("auto", "torch", "openvino")

ENGINE_OPTIONS = ("device", "backend", "precision", "threads", "tta", "overlap", "fast")
"""Parameters of `engine_options` that are fields of Engine as they are."""


def read_options(command: Command) -> Command:
    """--untilt, --resample-gaps and --philips-precise: the fields of `medimg.dicom.options.ReadOptions`."""
    for option in (
        click.option(
            "--philips-precise",
            is_flag=True,
            help="Philips MR: the scanner's own values in place of display values (private Scale Slope).",
        ),
        click.option(
            "--resample-gaps",
            is_flag=True,
            help="DICOM series with missing or unevenly spaced slices: interpolate them onto an even grid.",
        ),
        click.option(
            "--untilt", is_flag=True, help="DICOM series of a tilted gantry: resample to a grid at right angles."
        ),
    ):
        command = option(command)
    return command


radiomics_option = click.option(
    "--radiomics",
    is_flag=True,
    help="Also write radiomics.json and .csv: IBSI features of every outlined finding (needs medimg[radiomics]).",
)


DICOM_KINDS = ("seg", "sr", "epdf", "sc", "rtstruct")
"""The keys of `medimg.report.dicom.build.KINDS`, here because no --help may cost numpy."""


def dicom_options(command: Command) -> Command:
    """--dicom, --seg-type, --seg-empty-frames and --reference: the fields of `medimg.stages.wishes.DicomWishes`."""
    for option in (
        click.option(
            "--reference",
            type=click.Path(exists=True, path_type=Path),
            help="The DICOM series that a NIfTI scan was made from: results go out as DICOM beside it.",
        ),
        seg_empty_frames_option,
        seg_type_option,
        click.option(
            "--dicom",
            "dicom_kinds",
            metavar="KIND,...",
            callback=_dicom_kinds,
            help=f"DICOM results to write for a DICOM scan: {', '.join(DICOM_KINDS)}, or none "
            "[default: what the pipeline lists, seg,sr].",
        ),
    ):
        command = option(command)
    return command


seg_type_option = click.option(
    "--seg-type",
    type=click.Choice(["binary", "fractional", "labelmap"]),
    default="binary",
    show_default=True,
    help="Kind of DICOM Segmentation; older viewers know binary only.",
)
seg_empty_frames_option = click.option(
    "--seg-empty-frames", is_flag=True, help="DICOM Segmentation: write slices without a label too."
)


def _dicom_kinds(_context: click.Context, _param: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """ "seg,sr" as a tuple; () for none, None where nothing was said."""
    if value is None:
        return None
    kinds = tuple(part.strip() for part in value.split(","))
    if kinds == ("none",):
        return ()
    if unknown := [kind for kind in kinds if kind not in DICOM_KINDS]:
        raise click.BadParameter(f"{', '.join(unknown)} is none of {', '.join(DICOM_KINDS)}, none")
    return kinds


def chosen_pipeline(
    pipeline_name: str | None, bundle_names: Sequence[str], recipe_path: Path | None, trust: bool
) -> Pipeline | None:
    """What --pipeline or --bundle names; None when neither is given."""
    from medimg.bundles.as_pipeline import bundle_ensemble
    from medimg.errors import UsageError
    from medimg.pipeline import load_pipeline

    if pipeline_name and bundle_names:
        raise UsageError("--pipeline and --bundle both say what to run; give one of them")
    if recipe_path and not bundle_names:
        raise UsageError("--recipe describes a bundle; name that with --bundle")
    if bundle_names:
        return bundle_ensemble(bundle_names, recipe_path, trusted=trust)
    if pipeline_name:
        return load_pipeline(pipeline_name, trusted=trust)
    if trust:
        raise UsageError("--trust is for a bundle or a pipeline of your own; name it with --bundle or --pipeline")
    return None


if TYPE_CHECKING:
    RoleAndPath = click.ParamType[tuple[str | None, Path]]
else:
    RoleAndPath = click.ParamType  # older click has it without type parameters


class VolumeArgument(RoleAndPath):
    """PATH or role=PATH, as (role or None, Path). The path must exist."""

    name = "[role=]path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str | None, Path]:
        """Split off a role where there is one; a path that itself holds "=" is taken as a path."""
        # here, not above: it costs numpy, which no --help needs
        from medimg.study import MR_ROLE_ALIASES

        role, separator, rest = str(value).partition("=")
        if not separator or Path(value).exists():
            role, rest = "", str(value)
        path = Path(rest)
        if not path.exists():
            self.fail(f"path {rest} does not exist", param, ctx)
        return (MR_ROLE_ALIASES.get(role.lower(), role.lower()) or None, path)
