from __future__ import annotations

import re

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from resnet_jax.evaluation import confusion_labels, confusion_matrix

PAIRS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=40)


@given(PAIRS)
def test_all_classes_equal_scikit_learn(pairs):
    labels, predictions = np.array(pairs).T
    expected = metrics.confusion_matrix(labels, predictions, labels=range(7))
    result = confusion_matrix(labels, predictions, num_classes=7)
    np.testing.assert_array_equal(result, expected)
    assert result.dtype == np.int64


@given(PAIRS)
def test_seen_classes_equal_scikit_learn(pairs):
    labels, predictions = np.array(pairs).T
    rows = confusion_labels(labels, predictions)
    expected = metrics.confusion_matrix(labels, predictions, labels=rows)
    np.testing.assert_array_equal(confusion_matrix(labels, predictions), expected)
    seen = set(labels) | set(predictions)
    assert set(rows) >= seen
    assert len(rows) == max(2, len(seen))
    assert list(rows) == sorted(set(rows))


def test_rows_are_true_and_columns_predicted():
    assert confusion_matrix([0, 0, 0, 1], [1, 1, 0, 1]).tolist() == [[1, 2], [0, 1]]


def test_gaps_between_classes_are_left_out():
    assert confusion_labels([9, 2], [5, 2]).tolist() == [2, 5, 9]
    assert confusion_matrix([9, 2], [5, 2]).tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize(
    ("only", "classes", "matrix"),
    [(0, [0, 1], [[3, 0], [0, 0]]), (1, [0, 1], [[0, 0], [0, 3]]), (7, [0, 7], [[0, 0], [0, 3]])],
)
def test_a_single_class_still_gives_two_by_two(only, classes, matrix):
    assert confusion_labels([only] * 3, [only] * 3).tolist() == classes
    assert confusion_matrix([only] * 3, [only] * 3).tolist() == matrix


def test_one_class_on_request_is_one_by_one():
    assert confusion_matrix([0, 0], [0, 0], num_classes=1).tolist() == [[2]]


def test_takes_jax_arrays_and_small_integer_kinds():
    labels = jnp.array([200, 0, 200], dtype=jnp.int32)
    predictions = np.array([200, 200, 200], dtype=np.uint8)
    assert confusion_matrix(labels, predictions).tolist() == [[0, 1], [0, 2]]
    # 200 · 201 + 200 would overflow uint8 arithmetic.
    assert confusion_matrix(predictions, predictions, num_classes=201)[200, 200] == 3


@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [
        (
            [0, 1],
            [0],
            "`labels` (2 entries) and `predictions` (1 entries) must have the same length",
        ),
        ([[0, 1]], [0, 1], "`labels` must have one axis, [n]; its shape is (1, 2)"),
        ([0, 1], 3, "`predictions` must have one axis, [n]; its shape is ()"),
        ([], [], "`labels` is empty; at least one example is needed"),
        ([0.0], [0], "`labels` must hold integer class indices; its dtype is float64"),
        ([0], [True], "`predictions` must hold integer class indices; its dtype is bool"),
        ([0, -1], [0, 0], "`labels` must hold class indices ≥ 0; its smallest is -1"),
    ],
)
def test_bad_input(labels, predictions, message):
    for function in (confusion_matrix, confusion_labels):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            function(labels, predictions)


def test_a_number_of_classes_of_few_bits():
    """Its square needs more bits than it has."""
    matrix = confusion_matrix([0, 199], [199, 0], num_classes=np.uint8(200))
    np.testing.assert_array_equal(matrix, confusion_matrix([0, 199], [199, 0], num_classes=200))


@pytest.mark.parametrize(
    ("arguments", "num_classes", "message"),
    [
        (([0], [0]), 0, "`num_classes` (=0) must be at least 1"),
        (([3], [0]), 3, "`labels` holds class 3; with `num_classes` (=3) the last is 2"),
        (([0], [5]), 3, "`predictions` holds class 5; with `num_classes` (=3) the last is 2"),
    ],
)
def test_bad_number_of_classes(arguments, num_classes, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        confusion_matrix(*arguments, num_classes=num_classes)
