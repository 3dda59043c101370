"""Results to a PACS while a batch runs, wherever the folders of cases lie."""

from __future__ import annotations

import pytest
from pacs_peers import chest, free_port, quick_pipeline, sender, stored

from medimg.batch.exports import Export
from medimg.batch.options import Options
from medimg.batch.run import Batch
from medimg.pacs.deliver import Courier
from medimg.pacs.inbox import Inbox
from medimg.pacs.receive import Receiver


def test_results_that_lie_in_a_store_are_sent_once(tmp_path):
    pytest.importorskip("fsspec")
    chest(tmp_path / "export")
    port = free_port()
    server = Receiver("MEDIMG", port, ("SENDER",)).start(Inbox(tmp_path / "pacs", 1 << 30, 0))
    store = tmp_path / "store"
    options = Options((str(quick_pipeline(tmp_path / "quick")),), workers=1, results=f"file://{store}")
    events = []
    try:
        for _ in range(2):
            with Batch(Export((tmp_path / "export",)), tmp_path / "out", options, events.append) as batch:
                courier = Courier(batch, sender(port))
                batch.plan()
                batch.run()
                assert courier.rest() == 0
    finally:
        server.shutdown()
    assert [event["objects"] for event in events if event["event"] == "delivered"] == [2]
    assert len(stored(tmp_path / "pacs")) == 2
    assert {path.name for path in store.glob("*/*.dcm")} == {"report.dcm", "segmentation.dcm"}
    assert not list((tmp_path / "out").glob("*/*.dcm"))
