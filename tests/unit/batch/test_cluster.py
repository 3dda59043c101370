"""What is said before any node works: no Ray, no cluster, nodes that cannot do this batch."""

from __future__ import annotations

import sys

import pytest

import medimg
from medimg.batch.cluster import Host, connected
from medimg.errors import UsageError


def test_without_ray_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'medimg\[cluster\]'"), connected("auto"):
        pass


def test_a_node_that_does_not_see_the_results_is_refused(tmp_path):
    with pytest.raises(UsageError, match="shared folder"):
        Host(0.0).check(str(tmp_path / "probe"), medimg.__version__)


def test_a_node_with_another_medimg_is_refused():
    with pytest.raises(UsageError, match="install the same"):
        Host(0.0).check(None, "0.0.0")
