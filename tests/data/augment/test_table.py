import pytest

from resnet_jax.data.augment import (
    AUGMENTATIONS,
    ColorJitter,
    CutMix,
    Cutout,
    Mixup,
    OneOf,
    RandAugment,
    RandomErasing,
    RandomResizedCrop,
    TrivialAugment,
    make_augmentation,
)


def test_specs():
    assert make_augmentation("cutout") == Cutout()
    assert make_augmentation("mixup:0.4") == Mixup(0.4)
    assert make_augmentation("randaugment:1:5") == RandAugment(1, 5)
    assert make_augmentation("erase:0.25") == RandomErasing(0.25)
    assert make_augmentation("erase:0.1:pixel") == RandomErasing(0.1, "pixel")
    assert make_augmentation("rrc:0.25") == RandomResizedCrop(0.25)
    assert make_augmentation("rrc:0.25:0.5") == RandomResizedCrop(0.25, 0.5)
    assert make_augmentation("jitter:0.1:0.2:0.3:0.5") == ColorJitter(0.1, 0.2, 0.3, 0.5)
    assert make_augmentation("trivialaugment") == TrivialAugment()
    assert make_augmentation("mixup:0.2/cutmix") == OneOf((Mixup(0.2), CutMix(1.0)))
    for name, kind in AUGMENTATIONS.items():
        assert make_augmentation(name) == kind()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("cutuot", r"`augment` \(='cutuot'\) must be one of crop, flip, rrc, jitter, ran"),
        ("cutout:x", r"`augment` \(='cutout:x'\): 'x' is not a number .* write cutout:SIZE"),
        ("cutout:1.5", r"'1.5' is not a number like 8"),
        ("cutout:", r"'' is not a number"),
        ("cutout:8:2", r"has too many options; write cutout:SIZE$"),
        ("erase:0.5:0.1", r"'erase:0.5:0.1'\): `fill` \(='0.1'\) must be one of zero, random, p"),
        ("erase:0.5:zero:1", r"has too many options; write erase:PROBABILITY:FILL$"),
        ("trivialaugment:9", r"has too many options; write trivialaugment$"),
        ("jitter:x", r"is not a number like 0.4; write jitter:BRIGHTNESS:CONTRAST:SATURATION:HUE$"),
        ("jitter:0.4:0.4:0.4:0.7", r"`hue` \(=0.7\) must be in \[0, 0.5\]"),
        ("rrc:0", r"`augment` \(='rrc:0'\): `min_area` \(=0.0\) must be in \(0, 1\]"),
        ("rrc:0.1:1:3", r"has too many options; write rrc:MIN_AREA:MAX_AREA$"),
        ("mixup/", r"`augment` \(=''\) must be one of crop, flip"),
        ("mixup:0.2/cutmix:0", r"`augment` \(='cutmix:0'\): `alpha` \(=0.0\) must be finite"),
        ("flip/cutout", r"`augment` \(='flip/cutout'\): `choices` \(=Flip, Cutout\) must all"),
        ("flip:2", r"`augment` \(='flip:2'\): `probability` \(=2.0\) must be in \[0, 1\]"),
    ],
)
def test_specs_that_say_nothing(spec, message):
    with pytest.raises(ValueError, match=message):
        make_augmentation(spec)
