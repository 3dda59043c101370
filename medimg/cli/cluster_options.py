"""Where the cases of a batch run, and where their results go."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def cluster_options(command: Command) -> Command:
    """The command gets them as `cluster`, a `medimg.batch.options.Cluster` or None, and `results`, a URL or None."""

    @functools.wraps(command)
    def with_cluster(*args: Any, **given: Any) -> Any:
        from medimg.batch.options import Cluster

        where = given.pop("where")
        asked = {name: value for name in OPTIONS if (value := given.pop(name)) is not None}
        if asked and where != "ray":
            names = ", ".join(f"--{name.replace('_', '-')}" for name in asked)
            raise click.UsageError(f"{names} goes with --cluster ray")
        return command(*args, cluster=Cluster(**asked) if where == "ray" else None, **given)

    wrapped: Any = with_cluster
    for option in (
        click.option(
            "--results",
            metavar="URL",
            help="Where the folders of cases go in place of OUTPUT: a URL as s3://bucket/folder (fsspec).",
        ),
        click.option(
            "--gpus-per-worker",
            type=click.FloatRange(min=0),
            help="With --cluster ray: GPUs each worker claims; 0.5 lets two share one. [default: 0]",
        ),
        click.option(
            "--cpus-per-worker",
            type=click.IntRange(min=1),
            help="With --cluster ray: processors each worker claims, and threads it has. [default: 1]",
        ),
        click.option("--address", help="With --cluster ray: where it is; auto is this machine's. [default: auto]"),
        click.option(
            "--cluster",
            "where",
            type=click.Choice(["local", "ray"]),
            default="local",
            show_default=True,
            help="Who works: processes of this machine, or a Ray cluster (needs medimg[cluster]).",
        ),
    ):
        wrapped = option(wrapped)
    return cast("Command", wrapped)


OPTIONS = ("address", "cpus_per_worker", "gpus_per_worker")
"""Fields of Cluster; None where nothing was said."""
