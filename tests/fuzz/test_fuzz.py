"""A short run of the fuzzer with a fixed seed; `make fuzz` makes the long one."""

from __future__ import annotations

import numpy as np
import pytest

from fuzz.mutate import MUTATIONS, mutate
from fuzz.run import fuzz
from fuzz.seeds import KINDS

SEED = 20261125
CASES_A_KIND = 20


@pytest.mark.slow
def test_damaged_scans_end_as_volumes_or_reasons():
    outcome = fuzz(CASES_A_KIND * len(KINDS), SEED)
    assert outcome.failures == {}
    assert outcome.cases == CASES_A_KIND * len(KINDS)
    # the run reached both ends, or it tests nothing
    assert outcome.verdicts["ok"] > outcome.cases
    assert len(outcome.verdicts) > 6


@pytest.mark.parametrize("change", MUTATIONS, ids=lambda change: change.__name__)
def test_every_mutation_changes_bytes(change):
    rng = np.random.default_rng(5)
    data = bytes(range(256)) * 4 + b"ISCS 123 "
    assert any(change(data, rng) != data for _ in range(5))


def test_the_same_seed_damages_alike():
    data = bytes(range(256)) * 4
    assert mutate(data, np.random.default_rng(5)) == mutate(data, np.random.default_rng(5))
