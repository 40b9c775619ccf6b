import pytest

from resnet_jax.data.augment import (
    AUGMENTATIONS,
    Cutout,
    Mixup,
    RandAugment,
    RandomErasing,
    make_augmentation,
)


def test_specs():
    assert make_augmentation("cutout") == Cutout()
    assert make_augmentation("mixup:0.4") == Mixup(0.4)
    assert make_augmentation("randaugment:1:5") == RandAugment(1, 5)
    assert make_augmentation("erase:0.25") == RandomErasing(0.25)
    for name, kind in AUGMENTATIONS.items():
        assert make_augmentation(name) == kind()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("cutuot", r"`augment` \(='cutuot'\) must be one of crop, flip, randaugment, cutout"),
        ("cutout:x", r"`augment` \(='cutout:x'\): 'x' is not a number .* write cutout:SIZE"),
        ("cutout:1.5", r"'1.5' is not a number like 8"),
        ("cutout:", r"'' is not a number"),
        ("cutout:8:2", r"has too many numbers; write cutout:SIZE"),
        ("erase:0.5:0.1", r"has too many numbers; write erase:PROBABILITY"),
        ("flip:2", r"`augment` \(='flip:2'\): `probability` \(=2.0\) must be in \[0, 1\]"),
    ],
)
def test_specs_that_say_nothing(spec, message):
    with pytest.raises(ValueError, match=message):
        make_augmentation(spec)
