"""A report page and its whole scan on this machine's loopback: `medimg view --serve`.

Nobody else can reach it: it listens on 127.0.0.1 alone, on a free port, and answers only below a path that nobody can
guess. Requests that name another host are refused, so that a web page cannot reach it through a name of its own
(DNS rebinding). Nothing is written, and nothing leaves the machine.
"""

from __future__ import annotations

import secrets
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from medimg import files
from medimg.report.embed import nifti_gz, whole
from medimg.report.html import Show, report_html
from medimg.report.planes import on_grid
from medimg.results import Report
from medimg.study import Volume

LOOPBACK = "127.0.0.1"
TOKEN_BYTES = 24

HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""With every answer: the scan is kept by no cache and shown within no other page."""

Contents = dict[str, tuple[str, bytes]]
"""Name below the secret path -> media type and bytes."""


class ReportServer(ThreadingHTTPServer):
    """Serves `contents` until it is closed. `url` is the page's, its secret in the path."""

    daemon_threads = True

    def __init__(self, contents: Contents) -> None:
        super().__init__((LOOPBACK, 0), _Handler)
        self.contents = contents
        self.token = secrets.token_urlsafe(TOKEN_BYTES)
        self.hosts = frozenset(f"{name}:{self.server_port}" for name in (LOOPBACK, "localhost"))

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{LOOPBACK}:{self.server_port}/{self.token}/"


def contents_of(report: Report, volumes: dict[str, Volume], language: str = "en") -> Contents:
    """The page, every scan on the report's grid as it was read, and the label map as it is."""
    shown = on_grid(volumes)
    scans = [whole(role, volume) for role, volume in shown.items()]
    contents = {f"data-scan-{number}.nii.gz": ("application/gzip", scan.nifti_gz) for number, scan in enumerate(scans)}
    if report.segmentation is not None:
        labels = nifti_gz(report.segmentation.array, report.segmentation.affine_ras, intent="label")
        contents["data-labels.nii.gz"] = ("application/gzip", labels)
    page = report_html(report, None, Show(shown, None), language)
    contents[""] = ("text/html; charset=utf-8", files.encoded(page))
    return contents


class _Handler(BaseHTTPRequestHandler):
    server: ReportServer
    server_version = "medimg"
    sys_version = ""

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, with_body: bool) -> None:
        if self.headers.get("Host") not in self.server.hosts:
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
            return
        token, slash, name = self.path.removeprefix("/").partition("/")
        known = secrets.compare_digest(token.encode("utf-8", "replace"), self.server.token.encode("ascii"))
        if not known or not slash or name not in self.server.contents:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        media_type, body = self.server.contents[name]
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def end_headers(self) -> None:
        """As usual, with HEADERS."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the path holds the secret."""
