"""The comparison of sums tells rounding from errors."""

import numpy as np
import pytest
from rounding import assert_sums_close

TERMS = np.random.default_rng(0).standard_normal((10_000, 50)).astype(np.float32)
SIZES = np.abs(TERMS).sum(0)


def test_another_order_of_summation_passes():
    one_by_one = np.cumsum(TERMS[::-1], axis=0)[-1]
    assert_sums_close(one_by_one, TERMS.sum(0, dtype=np.float64), SIZES)


def test_a_small_relative_error_fails():
    sums = TERMS.sum(0)
    with pytest.raises(AssertionError, match="more than 8 roundings"):
        assert_sums_close(sums * np.float32(1.0001), sums, SIZES)


def test_a_single_missing_term_fails():
    sums, wrong = TERMS.sum(0), TERMS.sum(0)
    wrong[7] -= TERMS[3, 7]
    with pytest.raises(AssertionError, match=r"1 of 50 sums .* at \[7\]"):
        assert_sums_close(wrong, sums, SIZES)


@pytest.mark.parametrize("wrong", [1e-30, np.nan])
def test_a_sum_without_terms_is_0(wrong):
    zeros = np.zeros(2, np.float32)
    assert_sums_close(zeros, zeros, zeros)
    with pytest.raises(AssertionError, match="1 of 2"):
        assert_sums_close(np.array([0, wrong], np.float32), zeros, zeros)
