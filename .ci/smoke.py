"""A network's forward pass with the installed library, where nothing else of the repository is."""

import importlib.metadata
import importlib.util
import pathlib
import sys

import jax
import numpy as np

import resnet_jax as rj

folder = pathlib.Path(rj.__file__).parent
assert folder.is_relative_to(sys.prefix), folder
assert (folder / "py.typed").is_file()
assert importlib.util.find_spec("experiments") is None
assert rj.__version__ == importlib.metadata.version("flax-resnet") != "unknown"
rooms = "ops", "models", "nnx", "pretrained", "data", "training", "run", "evaluation"
for module in (rj, *(getattr(rj, room) for room in rooms)):
    for name in module.__all__:
        assert getattr(module, name) is not None
digits = rj.load_dataset("digits")
numbers = {"mean": digits.mean, "std": digits.std}
transform = rj.Transform(source=(8, 8), resize=9, crop=8, **numbers)
model = rj.ResNet(rj.BasicBlock, (1, 1, 1, 1), num_classes=10, base_planes=4, stem="cifar")
variables = jax.jit(model.init)(jax.random.key(0), np.zeros((1, 8, 8, 1), np.float32))
images, labels = digits.test.images[:16], digits.test.labels[:16]
logits = rj.predict_logits(model, variables, images, transform.center, batch_size=16)
count = rj.confusion_matrix(labels, logits.argmax(1), num_classes=10).sum()
print(f"flax-resnet {rj.__version__}: {count} images classified")
