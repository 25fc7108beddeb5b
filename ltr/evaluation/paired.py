"""Tests of paired differences: the two-sided p of "there is no difference", by four ways of saying what chance would do.

    randomisation    each difference would be as likely to be its negative (Fisher 1935; for rankings Smucker, Allan &
                     Carterette, CIKM 2007): assumes nothing of their distribution, and is what ltr uses
    bootstrap        the queries are a sample of differences whose mean is 0 (Sakai, SIGIR 2006)
    t                the mean of the differences is normal (Student 1908); much the same p from some 50 queries on
    wilcoxon         the differences are symmetric about 0, by their ranks alone (Wilcoxon 1945): how often a ranker wins
                     and roughly how high, which is not whether its mean is above

Differences that are only rounding apart count as equal, and such as are 0 are evidence for neither side. Without two
differences nothing is known, and p is 1 (the randomisation test has no need of this: it gives 1 for one difference).

>>> differences = np.array([0.1, 0.2, 0.3, -0.1, 0.2])
>>> {name: round(test(differences, seed=7, draws=9_999), 3) for name, test in TESTS.items() if name != "bootstrap"}
{'randomisation': 0.188, 't': 0.108, 'wilcoxon': 0.188}
"""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ltr.errors import ConfigError, MissingExtraError

__all__ = ["TESTS", "PairedTest", "bootstrap_p", "randomisation_p", "standard_deviation", "t_p", "wilcoxon_p"]

# 2¹⁶ sums take less time than 10,000 random flips of 2,300 queries.
_EXACT: Final = 16
# Cells of one chunk: 1 to 2 MiB of float64 stays in cache.
_CELLS: Final = 1 << 18
# Values of measures are of the order of 1; what is smaller than this comes from rounding.
_DECIMALS: Final = 12


class PairedTest(Protocol):
    """p from differences; ``seed`` and ``draws`` (flips, resamples) are for the tests that draw."""

    def __call__(self, differences: NDArray[np.float64], /, *, seed: int, draws: int) -> float:
        """The two-sided p."""


def randomisation_p(differences: NDArray[np.float64], *, seed: int = 7, permutations: int = 10_000) -> float:
    """The randomisation test: the share of sign flips whose |mean| reaches the one observed.

        p = (1 + #{|Σ sᵢ dᵢ| ≥ |Σ dᵢ|}) ÷ (1 + permutations),  sᵢ = ±1 at random

    Where at most 16 differences are not 0, all sign flips are counted instead and p is exact.

    >>> randomisation_p(np.array([0.1, 0.2, 0.3]))      # exact: only +++ and −−− of the 8 reach 0.6
    0.25
    """
    _check_draws(permutations, "permutations")
    # A difference of 0 is the same under either sign.
    moving = differences[differences != 0]
    # Equal sums differ in their last bits with the order of summing; they must count as equal.
    reached = abs(moving.sum()) - 1e-12 * np.abs(moving).sum()
    if len(moving) <= _EXACT:
        return float(np.mean(np.abs(_all_sums(moving)) >= reached))
    count = int(np.count_nonzero(np.abs(_random_sums(moving, seed, permutations)) >= reached))
    return (1 + count) / (1 + permutations)


def bootstrap_p(differences: NDArray[np.float64], *, seed: int = 7, resamples: int = 10_000) -> float:
    """The paired bootstrap test (Sakai, SIGIR 2006, after Efron & Tibshirani 1993): t of resamples of centred differences.

        p = (1 + #{|t(w*)| ≥ |t(d)|}) ÷ (1 + resamples),  w = d − mean(d),  t(x) = mean(x) ÷ (s(x)/√n)

    >>> bootstrap_p(np.full(30, 0.1), resamples=99)     # no resample of zeros differs from 0
    0.01
    """
    _check_draws(resamples, "resamples")
    n = len(differences)
    if n < 2 or not np.any(differences):
        return 1.0
    centred = differences - differences.mean()
    observed = abs(_t(differences))
    if observed == np.inf:
        return 1 / (1 + resamples)
    generator = np.random.default_rng(seed)
    step, count = max(1, _CELLS // n), 0
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = centred[generator.integers(0, n, size=(rows, n), dtype=np.int32)]
        # |mean| ≥ t·s/√n needs no division by the s of a resample of one query's copies.
        means = np.abs(drawn.mean(axis=1))
        count += int(np.count_nonzero((means >= observed * drawn.std(axis=1, ddof=1) / np.sqrt(n)) & (means > 0)))
    return (1 + count) / (1 + resamples)


def t_p(differences: NDArray[np.float64]) -> float:
    """Student's paired t-test: the mean over its standard error, by the t distribution of n − 1 degrees of freedom.

    >>> round(t_p(np.array([1.0, 2.0, 3.0])), 4)        # t = 2/(1/√3), df 2
    0.0742
    """
    if len(differences) < 2 or not np.any(differences):
        return 1.0
    try:
        from scipy.special import stdtr
    except ImportError as error:
        raise MissingExtraError("scipy", "train") from error
    return float(2 * stdtr(len(differences) - 1, -abs(_t(differences))))


def wilcoxon_p(differences: NDArray[np.float64]) -> float:
    """Wilcoxon's signed-rank test without the differences of 0: exact for few (scipy's rule), else by the normal distribution.

    >>> wilcoxon_p(np.array([0.1, 0.2, 0.3]))           # 2 of the 8 signs of the ranks 1, 2, 3
    0.25
    """
    moving = np.round(differences, _DECIMALS)
    moving = moving[moving != 0]
    if not len(moving):
        return 1.0
    try:
        from scipy.stats import wilcoxon
    except ImportError as error:
        raise MissingExtraError("scipy", "train") from error
    return float(wilcoxon(moving).pvalue)


# A name of ``compare(test=...)`` -> the test.
TESTS: Final[dict[str, PairedTest]] = {
    "randomisation": lambda d, /, *, seed, draws: randomisation_p(d, seed=seed, permutations=draws),
    "bootstrap": lambda d, /, *, seed, draws: bootstrap_p(d, seed=seed, resamples=draws),
    "t": lambda d, /, *, seed, draws: t_p(d),
    "wilcoxon": lambda d, /, *, seed, draws: wilcoxon_p(d),
}


def standard_deviation(differences: NDArray[np.float64]) -> float:
    """The sample's s, ÷ (n − 1) under the root; 0 where all are equal but for rounding, NaN for fewer than two.

    >>> standard_deviation(np.array([0.3 - 0.2, 0.1, 0.1]))
    0.0
    """
    if len(differences) < 2:
        return float("nan")
    deviation = float(np.std(differences, ddof=1))
    return deviation if deviation > 1e-12 * float(np.abs(differences).max()) else 0.0


def _t(differences: NDArray[np.float64]) -> float:
    """Mean ÷ standard error of at least two differences, not all 0."""
    deviation = standard_deviation(differences)
    mean = float(differences.mean())
    return mean / (deviation / np.sqrt(len(differences))) if deviation else float(np.copysign(np.inf, mean))


def _check_draws(draws: int, noun: str) -> None:
    if draws < 1:
        raise ConfigError(f"{draws} {noun}", hint="give at least 1")


def _all_sums(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Σ sᵢ dᵢ of all 2ⁿ sign flips."""
    sums = np.zeros(1)
    for difference in differences:
        sums = np.concatenate([sums + difference, sums - difference])
    return sums


def _random_sums(differences: NDArray[np.float64], seed: int, permutations: int) -> NDArray[np.float64]:
    """Σ sᵢ dᵢ of random sign flips, a chunk at a time: Σ (2bᵢ − 1) dᵢ with random bits bᵢ."""
    generator = np.random.default_rng(seed)
    n, total = len(differences), differences.sum()
    sums = np.empty(permutations)
    step = max(1, _CELLS // n)
    for start in range(0, permutations, step):
        rows = min(step, permutations - start)
        bits = generator.integers(0, 256, size=(rows, -(-n // 8)), dtype=np.uint8)
        signs = np.unpackbits(bits, axis=1, count=n).astype(np.float64)
        sums[start : start + rows] = 2.0 * (signs @ differences) - total
    return sums
