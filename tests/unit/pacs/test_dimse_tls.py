"""Our client of DIMSE over TLS, with our own SCP as the server: who is trusted, and who is let in."""

from __future__ import annotations

import pytest
from pacs_peers import certificate, chest, free_port, pixels, sender, stored

from medimg.errors import NetworkError, UsageError
from medimg.pacs.inbox import Inbox
from medimg.pacs.receive import Receiver
from medimg.pacs.tls import Tls


@pytest.fixture(scope="module")
def identities(tmp_path_factory):
    """Certificate and key of the server, of us and of a stranger, each of its own authority."""
    return {name: certificate(tmp_path_factory.mktemp(name)) for name in ("server", "ours", "stranger")}


@pytest.fixture
def port(tmp_path, identities):
    """Of a server that lets in who has our certificate."""
    (ca, key), (our_ca, _) = identities["server"], identities["ours"]
    number, tls = free_port(), Tls(str(our_ca), str(ca), str(key))
    server = Receiver("MEDIMG", number, ("SENDER",), tls=tls).start(Inbox(tmp_path / "in", 1 << 30, 0))
    yield number
    server.shutdown()


def test_over_tls_what_is_sent_is_stored_as_it_was(tmp_path, port, identities):
    files = chest(tmp_path / "study")[:3]
    ca, (certificate_file, key) = identities["server"][0], identities["ours"]
    client = sender(port, tls=Tls(str(ca), str(certificate_file), str(key)))
    assert client.echo().endswith(f":{port}")
    sent = client.send(files)
    assert (sent.done, sent.failed) == (files, [])
    assert stored(tmp_path / "in") == pixels(files)


@pytest.mark.parametrize("wrong", ["no tls", "another authority", "no certificate of ours", "a stranger's", "its name"])
def test_who_is_not_trusted_or_not_let_in_is_told_what_to_check(tmp_path, port, identities, wrong):
    ca, (ours, key), (strange_ca, strange_key) = identities["server"][0], identities["ours"], identities["stranger"]
    known = {
        "no tls": None,
        "another authority": Tls(str(strange_ca), str(ours), str(key)),
        "no certificate of ours": Tls(str(ca)),
        "a stranger's": Tls(str(ca), str(strange_ca), str(strange_key)),
        "its name": Tls(str(ca), str(ours), str(key)),
    }
    host = {"host": "localhost"} if wrong == "its name" else {}
    client = sender(port, tls=known[wrong], **host)
    with pytest.raises(NetworkError) as caught:
        client.echo()
    assert "\n" not in str(caught.value)
    assert ("certificates" in str(caught.value) or "broke off" in str(caught.value)) == (wrong != "no tls")
    assert not list((tmp_path / "in").rglob("*.dcm"))


def test_files_that_cannot_be_used_are_named(port, tmp_path):
    with pytest.raises(UsageError, match=r"cannot use the TLS files .*gone.pem"):
        sender(port, tls=Tls(str(tmp_path / "gone.pem"))).echo()
