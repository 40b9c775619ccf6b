"""A tiny job that runs the same in one process and in several, on any number of devices."""

import jax
import jax.numpy as jnp
import numpy as np
import tiny_task
from tiny_task import digits

import resnet_jax as rj
from resnet_jax.run import FitConfig, RunFolder, TensorBoard, fit
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


def tiny_model(kind="basic", **options):
    return tiny_task.tiny_model(base_planes=4, **MODELS[kind], **options)


def pixels(count):
    """Return images from 0 to 1, and labels."""
    arrays = digits(count)
    return (arrays.images / 255).astype(np.float32), arrays.labels


class Job:
    """Steps of a model over batches of digits."""

    def __init__(self, engine, kind="basic", *, dtype=jnp.float32, **model_options):
        self.engine, self.dtype = engine, dtype
        self.model = tiny_model(kind, dtype=dtype, **model_options)
        self.tx = make_optimizer(0.05)
        self.traces = 0
        self.step = make_train_step(self.model, self.tx, engine=engine, loss_fn=self.loss)
        self.images, self.labels = pixels(8 * BATCH)
        self.key = engine.share(jax.random.key(1))

    def loss(self, logits, labels):
        """Return the loss, and count how often it is traced."""
        self.traces += 1
        return cross_entropy(logits, labels)

    def fresh(self):
        """Return a state to start from, drawn by NumPy: nothing to compile."""
        shapes = jax.eval_shape(
            lambda key: create_state(self.model, self.tx, key, SHAPE), jax.random.key(0)
        )
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
        """Return the whole batch of a step, or a process's own examples of it."""
        first, size = number * BATCH, BATCH
        if local:
            size //= jax.process_count()
            first += size * jax.process_index()
        part = slice(first, first + size)
        batch = Batch(self.images[part].astype(self.dtype), self.labels[part])
        return self.engine.place(batch, local=local)

    def train(self, state, numbers, *, local=False):
        """Return the losses of steps, and the state after them."""
        losses = []
        for number in numbers:
            state, metrics = self.step(state, self.batch(number, local=local), self.key)
            losses.append(float(metrics["loss"]))
        return losses, state

    def correct(self, state, count=37):
        """Return how many examples of a ragged set are classified correctly."""
        engine = self.engine
        images, labels = pixels(count)
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


def assert_close(losses, leaves, expected_losses, expected, *, exact=False):
    """Fail unless losses and leaves of a state agree but for the order of sums.

    Leaves are compared with their largest value. In float32 most differ by a few 1e-6. But where
    the input of a ReLU is within rounding of 0, the gradient may pass on one side only, and a sum
    differs by a whole term: an input of -2.7e-7 was seen to cost 2e-4. The losses hardly notice.

    Args:
        losses: the losses.
        leaves: the leaves of the state.
        expected_losses: the losses to compare with.
        expected: the leaves to compare with.
        exact: for float64, where both bounds are 1e-9.
    """
    of_losses, of_leaves = (1e-9, 1e-9) if exact else (1e-5, 1e-3)
    np.testing.assert_allclose(losses, expected_losses, rtol=of_losses)
    for leaf, wanted in zip(leaves, expected, strict=True):
        assert leaf.dtype == wanted.dtype
        scale = max(np.abs(wanted).max(), 1e-3)
        np.testing.assert_allclose(leaf, wanted, rtol=0, atol=of_leaves * scale)


def first_devices(parallel, count):
    return Engine.create(parallel, devices=jax.devices()[:count])


def fit_tiny(folder, *, epochs, resume=False, parallel="jit"):
    """Train on digits; return losses, accuracies and the leaves of the state."""
    task = tiny_task.tiny_task(model=tiny_model(), train=digits(100), valid=digits(50, first=100))
    config = FitConfig(epochs=epochs, batch_size=32, eval_batch_size=16, parallel=parallel)
    result = fit(
        task,
        config,
        folder=RunFolder(folder, resume=resume),
        sinks=[TensorBoard(folder)],
    )
    history = result.history
    accuracies = [*history.train_accuracy, *history.valid_accuracy]
    return history.minibatch_losses, accuracies, host(result.state)
