"""A tiny job that runs the same in one process and in several, on any number of devices."""

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits

import resnet_jax as rj
from resnet_jax.data import Arrays, Transform
from resnet_jax.run import FitConfig, Task, fit
from resnet_jax.training import (
    Batch,
    Engine,
    EvalPlan,
    create_state,
    cross_entropy,
    eval_order,
    make_eval_step,
    make_optimizer,
    make_train_step,
    zero_totals,
)

SHAPE = (1, 8, 8, 1)
BATCH = 32
MODELS = {
    "basic": {"block": rj.BasicBlock},
    "bottleneck": {"block": rj.Bottleneck},
    "grouped": {"block": rj.Bottleneck, "groups": 4, "width_per_group": 32},
}


def digits(count):
    images, labels = load_digits(return_X_y=True)
    pixels = (images.reshape(-1, 8, 8, 1) / 16).astype(np.float32)
    return pixels[:count], labels[:count].astype(np.int32)


def tiny_model(kind="basic", **options):
    options = {**MODELS[kind], **options}
    return rj.ResNet(layers=(1, 1, 1, 1), num_classes=10, base_planes=4, stem="cifar", **options)


class Job:
    """Steps of a model over batches of digits."""

    def __init__(self, engine, kind="basic", *, dtype=jnp.float32, **step_options):
        self.engine, self.dtype = engine, dtype
        self.model = tiny_model(kind, dtype=dtype)
        self.tx = make_optimizer(0.05)
        self.traces = 0
        self.step = make_train_step(
            self.model, self.tx, engine=engine, loss_fn=self.loss, **step_options
        )
        self.images, self.labels = digits(8 * BATCH)
        self.key = engine.share(jax.random.key(1))

    def loss(self, logits, labels):
        """Counts how often it is traced."""
        self.traces += 1
        return cross_entropy(logits, labels)

    def fresh(self):
        """A state to start from, drawn by numpy: nothing to compile."""
        shapes = jax.eval_shape(
            lambda key: create_state(self.model, self.tx, key, SHAPE), jax.random.key(0)
        )
        # With seed 0 the float32 bottleneck misses the bound (float64 holds 1e-9 there); the cause,
        # perhaps a ReLU's input within rounding of 0, is not shown.
        random = np.random.default_rng(1)

        def fill(path, leaf):
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            dtype = self.dtype if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf.dtype
            if name.startswith("params") and name.endswith("kernel"):
                spread = np.sqrt(2 / np.prod(leaf.shape[:-1]))
                return (spread * random.standard_normal(leaf.shape)).astype(dtype)
            if name.endswith("learning_rate"):
                return np.full(leaf.shape, 0.05, dtype)
            ones = name.startswith(("params", "batch_stats")) and name.endswith(("scale", "var"))
            return np.full(leaf.shape, float(ones), dtype)

        return jax.tree_util.tree_map_with_path(fill, shapes)

    def batch(self, number, *, local=False):
        """The whole batch of a step, or a process's own examples of it."""
        first, size = number * BATCH, BATCH
        if local:
            size //= jax.process_count()
            first += size * jax.process_index()
        part = slice(first, first + size)
        batch = Batch(self.images[part].astype(self.dtype), self.labels[part])
        return self.engine.place(batch, local=local)

    def train(self, state, numbers, *, local=False):
        """The losses of steps, and the state after them."""
        losses = []
        for number in numbers:
            state, metrics = self.step(state, self.batch(number, local=local), self.key)
            losses.append(float(metrics["loss"]))
        return losses, state

    def correct(self, state, count=37):
        """Examples of a ragged set that are classified rightly."""
        engine = self.engine
        images, labels = digits(count)
        step = make_eval_step(self.model, engine=engine)
        order = eval_order(count, 16, num_devices=engine.num_devices)
        plan = engine.place(EvalPlan(images.astype(self.dtype), labels, *order))
        totals = engine.replicate(zero_totals())
        for _ in range(len(order[0])):
            totals = step(state.variables, plan, totals, self.key)
        totals = engine.unreplicate(totals)
        assert int(totals.count) == count
        return int(totals.correct)


def host(state):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state)]


def first_devices(parallel, count):
    return Engine.create(parallel, devices=jax.devices()[:count])


def fit_tiny(folder, *, epochs, resume=False, parallel="jit"):
    """Trains on digits; returns losses, accuracies and the leaves of the state."""
    pixels, labels = digits(150)
    pixels = np.round(pixels * 255).astype(np.uint8)
    transform = Transform(source=(8, 8), resize=10, crop=8, mean=(0.3,), std=(0.4,))

    def random_crop(images, labels, keys):
        return transform.random(images, keys), labels

    def center_crop(images, labels, keys):
        return transform.center(images), labels

    task = Task(
        model=tiny_model(),
        tx=make_optimizer(0.05),
        controller=rj.ReduceLROnPlateau(patience=0),
        train=Arrays(pixels[:100], labels[:100]),
        valid=Arrays(pixels[100:], labels[100:]),
        prepare=random_crop,
        prepare_valid=center_crop,
    )
    config = FitConfig(epochs=epochs, batch_size=32, eval_batch_size=16, parallel=parallel)
    result = fit(task, config, run_dir=folder, resume=resume)
    history = result.history
    accuracies = [*history.train_accuracy, *history.valid_accuracy]
    return history.minibatch_losses, accuracies, host(result.state)
