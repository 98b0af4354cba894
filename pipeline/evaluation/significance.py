"""Is a difference between two rankings more than chance? A paired test over the queries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["N_SAMPLES", "SIGNIFICANT", "paired_randomization_test"]

SIGNIFICANT = 0.05
N_SAMPLES = 100_000
# So many queries that differ have few enough sign patterns to try them all.
_N_EXACT = 16
_SAMPLED_AT_ONCE = 5_000
# Sums of the same numbers in another order differ by less.
_ROUNDING = 1e-9


def paired_randomization_test(differences: Sequence[float], *, seed: int = 0) -> float:
    """Two-sided p-value of Fisher's randomization test for a mean difference of 0.

    If neither ranking were better, each query's difference could as well have the other sign. The
    p-value is the share of all sign patterns whose mean is at least as far from 0 as the one
    found. Up to 16 queries that differ, all patterns are tried; beyond, 100,000 are drawn and
    the one found counts as one more, so that the p-value is never 0.

    Parameters
    ----------
    differences
        One a query; queries without a difference change nothing.
    seed
        Of the patterns drawn.

    Returns
    -------
    float
        In (0, 1]; 1 where nothing differs.

    References
    ----------
    Smucker, Allan & Carterette, CIKM 2007, doi:10.1145/1321440.1321528; Phipson & Smyth,
    Stat. Appl. Genet. Mol. Biol. 2010, doi:10.2202/1544-6115.1585.

    Examples
    --------
    >>> paired_randomization_test([0.1, 0.2, 0.3, 0.0]) == 2 / 2**3
    True
    """
    values = np.asarray(differences, np.float64)
    values = values[values != 0]
    if not len(values):
        return 1.0
    found = abs(values.sum()) - _ROUNDING
    if len(values) <= _N_EXACT:
        patterns = np.arange(2 ** len(values))[:, None] >> np.arange(len(values)) & 1
        return float(np.mean(np.abs((2.0 * patterns - 1) @ values) >= found))
    rng = np.random.default_rng(seed)
    n_as_far = 0
    for _ in range(N_SAMPLES // _SAMPLED_AT_ONCE):
        signs = 2.0 * rng.integers(0, 2, (_SAMPLED_AT_ONCE, len(values))) - 1
        n_as_far += int(np.count_nonzero(np.abs(signs @ values) >= found))
    return (n_as_far + 1) / (N_SAMPLES + 1)
