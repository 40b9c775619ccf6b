"""The folder of a tiny pretrained network, as timm writes it, and images to try it on."""

import json

import numpy as np
from PIL import Image
from tiny_runs import random_variables

import resnet_jax as rj
from resnet_jax.models import options_from_timm

ARGS = {"layers": [1, 1, 1, 1], "channels": [4, 6, 8, 12], "stem_type": "deep", "stem_width": 4}
NAMES = [f"n0000000{index}" for index in range(7)]
DESCRIPTIONS = ["tench, Tinca tinca", "cock", "crane", "hen", "ibis", "crane", "great white shark"]
TRANSFORM = {
    "input_size": [3, 24, 24],
    "test_input_size": [3, 28, 28],
    "crop_pct": 0.9,
    "test_crop_pct": 1.0,
    "interpolation": "bicubic",
    "mean": [0.4, 0.5, 0.6],
    "std": [0.2, 0.25, 0.3],
}


def write_weights(folder, *, names=True):
    """Write the folder; return the network and its variables."""
    folder.mkdir(parents=True)
    config = {
        "architecture": "resnet18",
        "num_classes": len(NAMES),
        "model_args": ARGS,
        "pretrained_cfg": TRANSFORM,
    }
    if names:
        config |= {
            "label_names": NAMES,
            "label_descriptions": dict(zip(NAMES, DESCRIPTIONS, strict=True)),
        }
    (folder / "config.json").write_text(json.dumps(config))
    model = rj.create_model("resnet18", len(NAMES), **options_from_timm(ARGS, "resnet18"))
    # Of this seed the network hits some of the images, and not all of them.
    variables = random_variables(model, 5, 3)
    rj.save_weights(folder / "model.safetensors", model, variables)
    return model, variables


def write_images(folder, counts, *, seed=0):
    """Write images of many sizes, so many for each class."""
    generator = np.random.default_rng(seed)
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for index in range(count):
            height, width = generator.integers(20, 60, 2)
            # Smooth, as the transforms of neighbouring pixels differ otherwise in any case.
            small = Image.fromarray(generator.integers(0, 256, (5, 6, 3), dtype=np.uint8))
            picture = small.resize((int(width), int(height)), Image.Resampling.BICUBIC)
            picture.save(folder / name / f"{index}.png")
