"""Types, and what a fingerprint depends on."""

import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.data import Arrays, Dataset, DatasetError, DatasetSpec, Parts, array_digest
from resnet_jax.data.base import combined_digest

IMAGES = np.zeros((3, 2, 2, 1), np.uint8)
LABELS = np.arange(3, dtype=np.int32)


def test_arrays_know_their_length():
    assert len(Arrays(IMAGES, LABELS)) == 3


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES.astype(np.float32), LABELS, "`images` is float32"),
        (IMAGES[..., 0], LABELS, r"`images` is uint8 \(3, 2, 2\)"),
        (IMAGES, LABELS.astype(np.int64), "`labels` is int64"),
        (IMAGES, LABELS[:2], r"expected int32 \[3\]"),
        (
            IMAGES.tolist(),
            LABELS,
            r"`images` is a list; expected a NumPy array, such as np\.asarray",
        ),
        (IMAGES, jnp.asarray(LABELS), "`labels` is a ArrayImpl; expected a NumPy array"),
    ],
)
def test_arrays_of_another_kind_are_refused(images, labels, message):
    with pytest.raises(ValueError, match=message):
        Arrays(images, labels)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ("cat", "do\udce7"),
            r"`class_names` has 'do\\udce7', which is not UTF-8; rename the class",
        ),
        (("cat", "cat"), "`class_names` has 'cat' twice; each class needs a name of its own"),
        (("e\u0301", "é"), "`class_names` has .* twice, in different Unicode forms"),
        (("cat", 7), r"`class_names` has 7 \(a int\), which is not a text"),
        ("cat", r"`class_names` \(='cat'\) must be a tuple of names"),
    ],
)
@pytest.mark.parametrize("door", ["dataset", "row"])
def test_names_that_no_report_can_keep_are_refused(names, message, door):
    """Before anything is loaded or trained."""
    arrays = Arrays(IMAGES, LABELS)
    kind, fields = {
        "row": (DatasetSpec, {"side": 2, "load": None}),
        "dataset": (Dataset, {"name": "x", "train": arrays, "test": arrays, "fingerprint": "0"}),
    }[door]
    with pytest.raises(ValueError, match=message) as error:
        kind(class_names=names, mean=(0.5,), std=(0.5,), **fields)
    str(error.value).encode()
    assert "\n" not in str(error.value)


def test_digest_sees_contents_order_shape_and_type():
    a = np.arange(12, dtype=np.int32)
    others = [a[::-1], a.reshape(3, 4), a.astype(np.uint32), a + (a == 5)]
    assert len({array_digest(x) for x in [a, *others]}) == 5
    assert array_digest(a) == array_digest(np.arange(24, dtype=np.int32)[:12])
    assert array_digest(a[::-1]) == array_digest(a[::-1].copy())


def test_combined_digest_sees_name_and_every_part():
    parts = {"a": "1", "b": "2"}
    assert combined_digest("x", parts) == combined_digest("x", {"b": "2", "a": "1"})
    others = [("y", parts), ("x", {"a": "2", "b": "1"}), ("x", {"a": "1"})]
    assert all(combined_digest("x", parts) != combined_digest(*other) for other in others)


def test_parts_name_their_arrays():
    parts = Parts(Arrays(IMAGES, LABELS), Arrays(IMAGES[:1], LABELS[:1]))
    assert parts.digests == {
        "train_images": array_digest(IMAGES),
        "train_labels": array_digest(LABELS),
        "test_images": array_digest(IMAGES[:1]),
        "test_labels": array_digest(LABELS[:1]),
    }


def test_error_is_one_line_and_a_value_error():
    error = DatasetError("first\nsecond")
    assert isinstance(error, ValueError)
    assert str(error) == "first second"
