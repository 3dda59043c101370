"""`medimg bundle export`: a pipeline's network for other programs."""

from __future__ import annotations

from pathlib import Path

import click

from medimg.cli.options import bundle_option, output_option, recipe_option, trust_option
from medimg.cli.plain import say


@click.command(
    "export",
    epilog="""\b
Examples:
  medimg bundle export brain_tumour -o deployed
  medimg bundle export lung_nodule -o deployed --format onnx --window 128,128,128
""",
)
@click.argument("pipeline_name", metavar="[PIPELINE]", required=False)
@bundle_option
@recipe_option
@trust_option
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(["bundle", "torchscript", "onnx", "openvino"]),
    help="Only this one; may be given several times [default: all that are installed].",
)
@click.option("--window", metavar="I,J,K", help="Voxels of the exported network's input [default: the bundle's].")
@output_option
def export(
    pipeline_name: str | None,
    bundle_names: tuple[str, ...],
    recipe_path: Path | None,
    trust: bool,
    formats: tuple[str, ...],
    window: str | None,
    output: Path,
) -> None:
    """Write a pipeline (a name or a path), or a bundle, for deployment; each format is checked against torch.

    OUTPUT holds the bundle, model.ts (TorchScript), model.onnx, openvino/model.xml, export.json, and DEPLOY.md, the
    page that says what goes in and what comes out. ONNX and OpenVINO are optional: pip install 'medimg[onnx]'.
    """
    from medimg.cli.console import progress_bars
    from medimg.cli.options import chosen_pipeline
    from medimg.export.run import FORMATS, export_pipeline

    if len(bundle_names) > 1:
        raise click.UsageError("one bundle at a time; an ensemble runs with medimg infer --bundle A --bundle B")
    pipeline = chosen_pipeline(pipeline_name, bundle_names, recipe_path, trust)
    if pipeline is None:
        raise click.UsageError("name a pipeline (see medimg pipelines), or a bundle with --bundle")
    with progress_bars() as progress:
        outcome = export_pipeline(pipeline, output, formats or FORMATS, _window(window), progress)
    for name, path in outcome.written.items():
        off = outcome.differences.get(name)
        say(f"{name}: {path}" + ("" if off is None else f"  (differs from torch by {off:.1e} of the largest value)"))
    for name, why in outcome.skipped.items():
        say(f"medimg: warning: {name} skipped: {why}", err=True)
    say(f"deployment note: {output / 'DEPLOY.md'}")


def _window(text: str | None) -> tuple[int, int, int] | None:
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) != 3 or not all(part.strip().isdigit() and int(part) > 0 for part in parts):
        raise click.UsageError(f"--window {text}: write three numbers of voxels, such as 128,128,128")
    i, j, k = map(int, parts)
    return i, j, k
