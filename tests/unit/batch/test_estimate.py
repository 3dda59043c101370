"""What a batch will take is told by its own cases, where some are done."""

from __future__ import annotations

import numpy as np
import pytest
from toy import chest_crop

from medimg.batch.estimate import BENCHMARK


def test_before_the_first_case_it_is_told_by_the_benchmarks(batch):
    with batch(workers=2) as planned:
        estimate = planned.plan().estimate
    seconds, size = BENCHMARK["detection"]
    assert not estimate.measured
    assert estimate.seconds == pytest.approx(3 * seconds / 2)
    assert estimate.bytes == 3 * size


def test_afterwards_by_the_cases_that_are_done(batch, export):
    with batch() as first:
        first.plan()
        first.run()
        mean = first.journal.mean_seconds("lung_nodule_classical")
    chest_crop(export / "b" / "new.nii.gz", np.eye(4), (20.0, 22.0, 18.0), radius_mm=7.0)
    with batch() as second:
        estimate = second.plan().estimate
    assert estimate.measured
    assert estimate.seconds == pytest.approx(mean)
    assert 1000 < estimate.bytes < 1 << 20
