"""DICOMweb against servers that do what Orthanc does not: small pages, tokens, refusals, moments of trouble."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pydicom
import pytest
from click.testing import CliRunner
from pacs_peers import chest

from medimg.cli import cli
from medimg.errors import NetworkError
from medimg.pacs import dicomweb, retry
from medimg.pacs.connect import connect
from medimg.pacs.query import Match, Query
from medimg.pacs.servers import DicomWebServer

Answer = tuple[int, str, bytes]
JSON = "application/dicom+json"


def series_json(uid: str, modality: str = "CT", description: str = "") -> dict:
    """A QIDO-RS answer about a study or series."""
    keys = {"0020000D": ("UI", "1.2"), "0020000E": ("UI", uid), "00080060": ("CS", modality)}
    keys |= {"0008103E": ("LO", description), "00100020": ("LO", "P1")}
    return {tag: {"vr": vr, "Value": [value]} for tag, (vr, value) in keys.items()}


@contextlib.contextmanager
def serving(answer: Callable[[BaseHTTPRequestHandler], Answer]) -> Iterator[str]:
    """An HTTP server that answers as the function says; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, kind, body = answer(self)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            if "chunked" in self.headers.get("Transfer-Encoding", ""):
                while (size := int(self.rfile.readline(), 16)) > 0:
                    self.rfile.read(size + 2)
                self.rfile.readline()
            else:
                self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *_):
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def client(url: str, **known) -> dicomweb.DicomWeb:
    return connect(DicomWebServer("web", url, **{"retries": 0, "timeout": 10, **known}))


def answers(*entries: dict) -> Answer:
    return (200, JSON, json.dumps(entries).encode())


@pytest.fixture
def at_once(monkeypatch):
    """Retries without the waits between them."""
    monkeypatch.setattr(retry, "FIRST_WAIT_SECONDS", 0.001)


def test_every_page_is_asked_for_however_few_a_server_sends_at_once():
    everything = [series_json(f"1.2.{number}") for number in range(7)]

    def two_at_once(request):
        if "/series" not in request.path:
            return answers(series_json("")) if "offset=0" in request.path else answers()
        offset = int(parse_qs(urlsplit(request.path).query)["offset"][0])
        return answers(*everything[offset : offset + 2])

    with serving(two_at_once) as url:
        found = [match.series_uid for match in client(url).find(Query({"modality": "CT"}))]
    assert found == [f"1.2.{number}" for number in range(7)]


def test_a_server_that_knows_no_offset_is_asked_no_more_than_twice():
    asked = []

    def always_all(request):
        asked.append(request.path)
        return answers(series_json("1.2.3"))

    with serving(always_all) as url:
        assert len(list(client(url).find(Query({"modality": "CT"})))) == 1
    assert len(asked) == 4


def test_a_token_is_sent_as_a_bearer_and_netrc_is_left_alone(monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password other\n", encoding="ascii")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("MEDIMG_PACS_WEB_TOKEN", "geheim")
    seen = []

    def note(request):
        seen.append(request.headers.get("Authorization"))
        return answers()

    with serving(note) as url:
        client(url).echo()
        monkeypatch.delenv("MEDIMG_PACS_WEB_TOKEN")
        client(url).echo()
    assert seen == ["Bearer geheim", None]


def test_what_may_pass_is_tried_again_and_a_wrong_password_is_not(at_once, monkeypatch):
    statuses = [503, 429, 200, 401, 401]

    def next_one(request):
        return (statuses.pop(0), JSON, b"[]")

    with serving(next_one) as url:
        assert client(url, retries=4).echo()
        monkeypatch.setenv("MEDIMG_PACS_WEB_PASSWORD", "geheim")
        with pytest.raises(NetworkError, match="answered 401; check user and secret") as caught:
            client(url, retries=4, user="me").echo()
    assert "geheim" not in str(caught.value)
    assert statuses == [401]


@pytest.mark.parametrize("body", [b"<html>", b'[{"0020000D": 5}]', b'{"a": [', b"[[]]"])
def test_an_answer_that_is_no_dicomweb_is_said_to_be_none(body):
    with serving(lambda request: (200, JSON, body)) as url, pytest.raises(NetworkError, match=r"web \(.*check the url"):
        list(client(url).find(Query({"modality": "CT"})))


def refusal(of: str, stored: tuple[str, ...] = ()) -> dict:
    """A STOW-RS answer: one instance refused for lack of resources."""

    def item(uid, **more):
        known = {"00081150": {"vr": "UI", "Value": ["1.2"]}, "00081155": {"vr": "UI", "Value": [uid]}}
        return {**known, **more}

    reason = {"00081197": {"vr": "US", "Value": [0xA700]}}
    return {
        "00081198": {"vr": "SQ", "Value": [item(of, **reason)]},
        "00081199": {"vr": "SQ", "Value": [item(uid) for uid in stored]},
    }


@pytest.mark.parametrize(("status", "kind"), [(200, f"{JSON}; charset=utf-8"), (202, JSON), (409, JSON)])
def test_of_a_partial_failure_each_instance_has_its_own_answer(tmp_path, status, kind):
    paths = chest(tmp_path)[:3]
    first, *others = (str(pydicom.dcmread(path).SOPInstanceUID) for path in paths)
    body = json.dumps(refusal(first, tuple(others))).encode()
    with serving(lambda request: (status, kind, body)) as url:
        result = client(url).send(paths)
    assert result.done == paths[1:]
    assert result.failed == [(str(paths[0]), "refused, out of resources 0xA700")]


def test_a_request_that_is_too_large_fails_alone_and_a_server_that_lets_nobody_in_ends_it(tmp_path, monkeypatch):
    monkeypatch.setattr(dicomweb, "BATCH_INSTANCES", 1)
    paths = chest(tmp_path)[:3]
    second = str(pydicom.dcmread(paths[1]).SOPInstanceUID)
    turns = [
        (413, "text/plain", b""),
        (200, JSON, json.dumps(refusal("", (second,))).encode()),
        (403, "text/plain", b""),
    ]
    with serving(lambda request: turns.pop(0)) as url:
        result = client(url).send(paths)
    assert result.done == [paths[1]]
    assert [path for path, _ in result.failed] == [str(paths[0]), str(paths[2])]
    with serving(lambda request: (403, "text/plain", b"")) as url, pytest.raises(NetworkError, match="403"):
        client(url).send(paths)


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_an_instance_whose_uid_is_a_path_stays_in_its_folder(tmp_path):
    path = chest(tmp_path / "in")[0]
    dataset = pydicom.dcmread(path)
    dataset.SOPInstanceUID = "../../escaped"
    pydicom.dcmwrite(tmp_path / "hostile.dcm", dataset)
    body = (
        b"--x\r\nContent-Type: application/dicom\r\n\r\n" + (tmp_path / "hostile.dcm").read_bytes() + b"\r\n--x--\r\n"
    )
    kind = 'multipart/related; type="application/dicom"; boundary=x'
    with serving(lambda request: (200, kind, body)) as url:
        got = client(url).get(Match("1.2", "1.2.3", instances=1), tmp_path / "a" / "b")
    assert got.failed == []
    assert [path.parent for path in got.done] == [tmp_path / "a" / "b"]
    assert not list(tmp_path.glob("**/escaped*"))


def run(url: str, tmp_path: Path, monkeypatch, *arguments: object, entry: str = ""):
    (tmp_path / "servers.yaml").write_text(
        f"servers:\n  web: {{kind: dicomweb, url: '{url}', retries: 0{entry}}}\n", encoding="utf-8"
    )
    monkeypatch.setenv("MEDIMG_SERVERS", str(tmp_path / "servers.yaml"))
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], prog_name="medimg")


def test_a_secret_is_in_no_output_whatever_goes_wrong(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDIMG_PACS_WEB_PASSWORD", "geheim")
    log = tmp_path / "log"
    chest(tmp_path / "in")
    find = ("pacs", "find", "modality=CT", "--server", "web")
    batch = ("batch", "--from-pacs", "modality=CT", "--server", "web", "-o", tmp_path / "out", "--log-file", log)
    for answer in ((401, "text/plain", b"no"), (200, JSON, b"<html>")):
        with serving(lambda request, answer=answer: answer) as url:
            for command in (find, ("pacs", "send", tmp_path / "in", "--server", "web"), batch):
                result = run(url, tmp_path, monkeypatch, *command, "--verbose", entry=", user: me")
                assert result.exit_code in (1, 3), result.output
                everything = result.output + result.stderr + (log.read_text(encoding="utf-8") if log.exists() else "")
                assert "geheim" not in everything
                assert "bWU6Z2VoZWlt" not in everything  # me:geheim in base64
                assert "Authorization" not in everything


def test_a_secret_that_would_cross_the_network_in_the_clear_is_warned_of(caplog, monkeypatch):
    monkeypatch.setenv("MEDIMG_PACS_WEB_TOKEN", "geheim")
    client("https://pacs.example.org")
    client("http://127.0.0.1:1")
    assert caplog.text == ""
    client("http://pacs.example.org")
    assert "use https" in caplog.text
    assert "geheim" not in caplog.text


HOSTILE = "\x1b[2J\x1b]0;owned\x07\u202eevil"


def test_hostile_text_reaches_no_terminal_and_is_true_in_json(tmp_path, monkeypatch):
    def answer(request):
        return answers(series_json("1.2.3", description=HOSTILE)) if "offset=0" in request.path else answers()

    with serving(answer) as url:
        table = run(url, tmp_path, monkeypatch, "pacs", "find", "modality=CT", "--server", "web")
        as_json = run(url, tmp_path, monkeypatch, "pacs", "find", "modality=CT", "--server", "web", "--json")
    assert table.exit_code == as_json.exit_code == 0
    for output in (table.output, as_json.output):
        assert not {"\x1b", "\x07", "\u202e"} & set(output)
    (found,) = json.loads(as_json.output)["series"]
    assert found["description"] == HOSTILE
