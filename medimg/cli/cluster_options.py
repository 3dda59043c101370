"""Where the cases of a batch run and with which engine, and where their results go."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import click

from medimg.cli.options import engine_options

Command = TypeVar("Command", bound=Callable[..., Any])


def cluster_options(command: Command) -> Command:
    """`engine_options`, and those of a cluster: the command gets `engine`, `cluster`, a `medimg.batch.options.Cluster`
    or None, and `results`, a URL or None."""
    command = engine_options(command, cluster=True)

    @functools.wraps(command)
    def with_cluster(*args: Any, **given: Any) -> Any:
        from medimg.batch.options import Cluster

        where = given.pop("where")
        if given["backend"] == "ray":
            if where == "local":
                raise click.UsageError("--engine ray is short for --cluster ray; leave --cluster local out")
            where, given["backend"] = "ray", "auto"
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
            help="Who works: processes of this machine, or a Ray cluster (needs medimg[cluster]). [default: local]",
        ),
    ):
        wrapped = option(wrapped)
    return cast("Command", wrapped)


OPTIONS = ("address", "cpus_per_worker", "gpus_per_worker")
"""Fields of Cluster; None where nothing was said."""
