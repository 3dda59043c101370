"""A real Ray cluster of several nodes on this machine. `make cluster-test` runs these tests."""

from __future__ import annotations

import os
from importlib import util
from pathlib import Path

import pytest

HOW = "make cluster-test installs it and runs them"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Only where they are asked for: starting a cluster takes longer than most of the other tests together."""
    asked = "cluster" in config.getoption("markexpr")
    for item in items:
        if Path(__file__).parent in Path(item.fspath).parents:
            item.add_marker(pytest.mark.cluster)
            if util.find_spec("ray") is None:
                item.add_marker(pytest.mark.skip(reason=f"no Ray; {HOW}"))
            elif not asked:
                item.add_marker(pytest.mark.skip(reason=f"a Ray cluster is not started unasked; {HOW}"))


@pytest.fixture(scope="session")
def head():
    """The head of a cluster, without processors of its own; this process is connected to it."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # Ray would report to its makers
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - Ray's name; else 15, and on a busy machine they starve
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    ray.init(address=cluster.address, log_to_driver=False, configure_logging=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def nodes(head):
    """Two nodes of one processor each; those that are left afterwards go."""
    added = [head.add_node(num_cpus=1) for _ in range(2)]
    yield added
    for node in set(head.worker_nodes):
        head.remove_node(node)
