"""The paired test agrees with scipy's, and says chance where there is only chance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pipeline.evaluation.significance import paired_randomization_test


def theirs(differences: list[float], n_samples: int) -> float:
    zeros = np.zeros(len(differences))
    found = stats.permutation_test(
        (np.array(differences), zeros),
        lambda left, right, axis: np.mean(left - right, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=n_samples,
        rng=np.random.default_rng(1),
    )
    return float(found.pvalue)


@pytest.mark.parametrize("seed", range(6))
def test_few_queries_are_tested_exactly(seed: int) -> None:
    rng = np.random.default_rng(seed)
    differences = rng.normal(0.05 * seed, 0.1, 10).round(2).tolist()
    # More samples than patterns: scipy then tries them all.
    assert paired_randomization_test(differences) == pytest.approx(theirs(differences, 5000))


@pytest.mark.parametrize("shift", [0.0, 0.01, 0.02, 0.03])
def test_many_queries_agree_with_scipy(shift: float) -> None:
    differences = np.random.default_rng(7).normal(shift, 0.1, 120).tolist()
    ours = paired_randomization_test(differences)
    assert ours == pytest.approx(theirs(differences, 20_000), abs=0.015)
    # With that many the t-test comes to much the same.
    assert ours == pytest.approx(float(stats.ttest_1samp(differences, 0).pvalue), abs=0.02)
    assert paired_randomization_test(differences) == ours


def test_what_does_not_differ_does_not_count() -> None:
    assert paired_randomization_test([]) == paired_randomization_test([0.0] * 50) == 1.0
    assert paired_randomization_test([0.5]) == 1.0
    assert paired_randomization_test([0.1] * 6) == 2 / 2**6
    assert paired_randomization_test([0.1] * 6 + [0.0] * 90) == 2 / 2**6
    assert paired_randomization_test([-0.1] * 6) == 2 / 2**6
    assert paired_randomization_test([0.1, -0.1] * 20) == 1.0
    assert 0 < paired_randomization_test([0.2] * 200) < 1e-4


def test_chance_is_seldom_called_significant() -> None:
    rng = np.random.default_rng(3)
    p_values = [paired_randomization_test(rng.normal(0, 1, 12).tolist()) for _ in range(400)]
    assert np.mean(np.array(p_values) < 0.05) == pytest.approx(0.05, abs=0.03)
