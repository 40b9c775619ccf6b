"""Accuracy, confusion matrix and class scores equal scikit-learn's."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from resnet_jax.evaluation import (
    accuracy,
    class_report,
    confusion_labels,
    confusion_matrix,
    per_class_accuracy,
)

# Few classes of many: some are missing, some are seen in one argument only.
PAIRS = st.integers(1, 80).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 9), min_size=n, max_size=n),
        st.lists(st.sampled_from([0, 3, 4, 9]), min_size=n, max_size=n),
    )
)
CASES = {
    "ragged": ([0, 1, 2, 3, 3, 2, 1], [0, 2, 2, 3, 0, 2, 1]),
    "one class": ([4, 4, 4], [4, 4, 4]),
    "one class of each": ([2, 2, 2], [5, 5, 5]),
    "a class that is never true": ([0, 0, 2, 2], [0, 1, 2, 1]),
    "a class that is never predicted": ([0, 1, 2, 1], [0, 0, 2, 2]),
    "one example": ([7], [7]),
    "gaps": ([1, 8, 8, 5], [5, 8, 1, 5]),
}


def check(labels, predictions):
    assert accuracy(labels, predictions) == metrics.accuracy_score(labels, predictions)

    ours = confusion_matrix(labels, predictions)
    rows = confusion_labels(labels, predictions)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a single label
        seen = metrics.confusion_matrix(labels, predictions)
    if len(set(labels) | set(predictions)) > 1:
        np.testing.assert_array_equal(ours, seen)
    np.testing.assert_array_equal(ours, metrics.confusion_matrix(labels, predictions, labels=rows))
    every = range(10)
    whole = confusion_matrix(labels, predictions, num_classes=10)
    np.testing.assert_array_equal(
        whole, metrics.confusion_matrix(labels, predictions, labels=every)
    )

    recall = metrics.recall_score(
        labels, predictions, labels=every, average=None, zero_division=np.nan
    )
    np.testing.assert_array_equal(per_class_accuracy(whole), recall)
    for zero_division in (0.0, 1.0):
        report = class_report(whole, zero_division=zero_division)
        expected = metrics.precision_recall_fscore_support(
            labels, predictions, labels=every, zero_division=zero_division
        )
        for name, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
            found = [report[str(label)][name] for label in every]
            np.testing.assert_allclose(found, values, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("case", CASES)
def test_cases(case):
    check(*CASES[case])


@settings(max_examples=150, deadline=None)
@given(PAIRS)
def test_any(pair):
    check(*pair)
