from __future__ import annotations

import gzip
import http.client
import threading

import nibabel as nib
import numpy as np
import pytest

from medimg.report.serve import ReportServer, contents_of


@pytest.fixture
def server(detection, chest):
    with ReportServer(contents_of(detection, {"ct": chest})) as serving:
        thread = threading.Thread(target=serving.serve_forever, daemon=True)
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


def ask(server, path, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def test_the_whole_scan_and_its_labels_are_given_out_below_the_secret(server, detection, chest):
    for name, expected in (("data-scan-0", chest.array), ("data-labels", detection.segmentation.array)):
        answer, body = ask(server, f"/{server.token}/{name}.nii.gz")
        assert answer.status == 200
        image = nib.Nifti1Image.from_bytes(gzip.decompress(body))
        np.testing.assert_array_equal(image.get_fdata(), expected)


def test_the_page_may_ask_this_server_and_nobody_else(server):
    answer, body = ask(server, f"/{server.token}/")
    assert answer.status == 200
    assert b"connect-src &#39;self&#39;" in body
    assert b"data-scan-0.nii.gz" in body
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize(
    "path", ["/", "/favicon.ico", "/{token}", "/{token}/../etc/passwd", "/{token}x/", "/{token}/x", "/%C3%A9/"]
)
def test_nothing_else_is_there(path, server):
    answer, body = ask(server, path.format(token=server.token))
    assert answer.status == 404
    assert server.token.encode() not in body


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "0.0.0.0:{port}", ""])
def test_a_request_in_another_hosts_name_is_refused(host, server):
    answer, _ = ask(server, f"/{server.token}/", Host=host.format(port=server.server_port))
    assert answer.status == 421


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_only_reading_is_possible(method, server):
    answer, _ = ask(server, f"/{server.token}/", method)
    assert answer.status == 501


def test_it_listens_on_loopback_alone_and_every_time_under_another_secret(server):
    assert server.server_address[0] == "127.0.0.1"
    with ReportServer({}) as other:
        assert other.token != server.token
        assert other.server_port != server.server_port
