from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from resnet_jax.evaluation import accuracy, class_report, confusion_matrix, per_class_accuracy

# Seven classes, some of them without a label, without a prediction, or without either.
PAIRS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=40)


@given(PAIRS)
def test_accuracy_equals_scikit_learn(pairs):
    labels, predictions = np.array(pairs).T
    result = accuracy(labels, predictions)
    assert result == metrics.accuracy_score(labels, predictions)
    assert type(result) is float


def test_accuracy_counts_large_sets_exactly():
    labels = np.zeros(2**24 + 1, dtype=np.int8)
    predictions = labels.copy()
    predictions[0] = 1
    assert accuracy(labels, predictions) == 2**24 / (2**24 + 1)


def test_accuracy_checks_its_input():
    with pytest.raises(ValueError, match=r"`labels` \(1 entries\) and `predictions` \(2 entries\)"):
        accuracy([0], [0, 1])
    with pytest.raises(ValueError, match="`labels` is empty"):
        accuracy([], [])


@pytest.mark.parametrize("zero_division", [0.0, 1.0, np.nan])
@given(pairs=PAIRS)
def test_class_report_equals_scikit_learn(zero_division, pairs):
    labels, predictions = np.array(pairs).T
    report = class_report(
        confusion_matrix(labels, predictions, num_classes=7), zero_division=zero_division
    )
    expected = metrics.precision_recall_fscore_support(
        labels, predictions, labels=range(7), zero_division=zero_division
    )
    assert list(report) == [str(index) for index in range(7)]
    for key, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        np.testing.assert_allclose(
            [scores[key] for scores in report.values()], values, rtol=1e-12, err_msg=key
        )


@given(PAIRS)
def test_per_class_accuracy_is_the_accuracy_within_each_class(pairs):
    labels, predictions = np.array(pairs).T
    result = per_class_accuracy(confusion_matrix(labels, predictions, num_classes=7))
    for index, value in enumerate(result):
        members = labels == index
        if members.any():
            assert value == accuracy(labels[members], predictions[members])
        else:
            assert np.isnan(value)


def test_class_report_names_its_rows_in_order():
    report = class_report([[2, 0], [1, 1]], class_names=["zebra", "ant"])
    assert list(report) == ["zebra", "ant"]
    assert report["ant"] == {"precision": 1.0, "recall": 0.5, "f1": 2 / 3, "support": 2}
    assert {type(value) for value in report["ant"].values()} == {float, int}


def test_class_report_takes_numbers_as_names():
    report = class_report([[2, 0], [1, 1]], class_names=np.array([3, 8]))
    assert list(report) == ["3", "8"]
    assert {type(name) for name in report} == {str}
    with pytest.raises(TypeError, match=r"^a name \(=b'a'\) must be text or a whole number$"):
        class_report([[1, 0], [0, 1]], class_names=[b"a", b"b"])


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([1, 2], "`matrix` must be square, [classes, classes]; its shape is (2,)"),
        ([[1, 2, 3]], "`matrix` must be square, [classes, classes]; its shape is (1, 3)"),
        (np.zeros((0, 0), int), "`matrix` must be square, [classes, classes]; its shape is (0, 0)"),
        ([[0.5]], "`matrix` must hold integer counts; its dtype is float64"),
        ([[-1]], "`matrix` must hold counts ≥ 0; its smallest is -1"),
    ],
)
def test_bad_matrix(matrix, message):
    for function in (per_class_accuracy, class_report):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            function(matrix)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a"], "`class_names` (1 names) must have one name for each of the 2 classes"),
        (["a", "a"], "`class_names` (=['a', 'a']) must be distinct"),
        ([1, "1"], "`class_names` (=['1', '1']) must be distinct"),
    ],
)
def test_bad_class_names(names, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        class_report([[1, 0], [0, 1]], class_names=names)
