"""`medimg pacs listen`: studies come in, pipelines run, results go back."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from medimg.cli.events import Events, event_options
from medimg.cli.options import case_options, engine_options, output_option, send_to_option
from medimg.cli.plain import say

if TYPE_CHECKING:
    from medimg.inference.options import Engine

SECONDS_OF_A_DAY = 86400


@click.command(
    "listen",
    epilog="""\b
Examples:
  medimg pacs listen --allow SCANNER1 -o /srv/medimg
  medimg pacs listen --host 0.0.0.0 --port 11112 --aet MEDIMG --allow CT1 --allow PACS --send-to archive -o /srv/medimg

Exit codes: 0 it was stopped (Ctrl-C, SIGTERM); 1 it could not go on: start it again; 2 the command line is wrong, or
another process works on OUTPUT.
""",
)
@output_option
@click.option("--allow", "allowed", metavar="TITLE", multiple=True, required=True, help="AE title that may send to us.")
@click.option("--aet", metavar="TITLE", default="MEDIMG", show_default=True, help="Our AE title.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 is every one.")
@click.option("--port", type=click.IntRange(1, 65535), default=11112, show_default=True, help="Port to listen on.")
@click.option(
    "--quiet-for",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    default=60,
    show_default=True,
    help="A study is complete once nothing has been added to it for so long.",
)
@send_to_option
@click.option("--quota", metavar="SIZE", default="100GiB", show_default=True, help="What is received takes at most.")
@click.option("--reserve", metavar="SIZE", default="1GiB", show_default=True, help="What stays free on the disk.")
@click.option("--largest", metavar="SIZE", default="2GiB", show_default=True, help="Size of one instance at most.")
@click.option(
    "--associations", type=click.IntRange(min=1), default=16, show_default=True, help="Associations at a time."
)
@click.option(
    "--keep-for",
    type=click.FloatRange(min=0),
    metavar="DAYS",
    help="Remove what was received of a study so long after its last instance, once its results are done and sent.",
)
@click.option("--tls-certificate", metavar="FILE", default="", help="Our certificate (PEM): only TLS is taken.")
@click.option("--tls-key", metavar="FILE", default="", help="Its key, where it is in another file.")
@click.option("--tls-ca", metavar="FILE", default="", help="Whose certificates senders must show.")
@case_options
@event_options
@engine_options
def listen(
    output: Path,
    allowed: tuple[str, ...],
    aet: str,
    host: str,
    port: int,
    quiet_for: float,
    send_to: str | None,
    quota: str,
    reserve: str,
    largest: str,
    associations: int,
    keep_for: float | None,
    tls_certificate: str,
    tls_key: str,
    tls_ca: str,
    pipelines: tuple[str, ...],
    trust: bool,
    workers: int,
    attempts: int,
    time_limit: float,
    events: Events,
    engine: Engine,
) -> None:
    """Receive studies as a storage SCP, run the pipelines that want them, and send the results where they are wanted.

    What arrives is kept in OUTPUT/received and is on the disk before it is acknowledged; a full disk is answered with
    status A700, and the sender tries later. The journal in OUTPUT knows what was done, as that of medimg batch:
    started again, it goes on with what was received and is not done. Needs medimg[pacs]. For research use only.
    """
    from medimg.batch.exports import Export
    from medimg.batch.options import Options
    from medimg.batch.run import Batch
    from medimg.inference.options import parse_bytes
    from medimg.pacs.connect import extra_needed, pacs_named
    from medimg.pacs.deliver import Courier
    from medimg.pacs.tls import Tls

    with extra_needed():
        from medimg.pacs.inbox import Inbox
        from medimg.pacs.receive import Receiver
        from medimg.pacs.service import RECEIVED, Service

    if (tls_key or tls_ca) and not tls_certificate:
        raise click.UsageError("--tls-key and --tls-ca go with --tls-certificate")
    tls = Tls(tls_ca, tls_certificate, tls_key) if tls_certificate else None
    receiver = Receiver(aet, port, allowed, host, associations, parse_bytes(largest), tls)
    bounds = parse_bytes(quota), parse_bytes(reserve)
    options = Options(pipelines, workers, attempts, time_limit, engine, quiet=quiet_for, trusted=trust)
    pacs = pacs_named(send_to) if send_to else None
    folder = output / RECEIVED
    try:
        with (
            events as tell,
            Batch(Export((folder,)), output, options, tell) as batch,
            Courier(batch, pacs) if pacs else nullcontext() as courier,
        ):
            keep = None if keep_for is None else keep_for * SECONDS_OF_A_DAY
            Service(receiver, Inbox(folder, *bounds), batch, courier, keep).run()
    except KeyboardInterrupt:
        say("stopped; what was received is kept, and the next start goes on with it", err=True)
