"""Measured differences between a model and its torch twin, for the tests and the report."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
import optax
import torch
from torch_twin import TorchResNet, clear_of_kinks, images, to_nchw, to_nhwc

from resnet_jax import ResNet, from_torch, to_torch


def max_difference(ours, theirs) -> float:
    """Return max |Δ| / max |theirs|."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def norm_difference(ours, theirs) -> float:
    """Return ‖Δ‖₂ / ‖theirs‖₂."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


def eval_difference(
    model: ResNet, net: TorchResNet, size: tuple[int, int], *, jit: bool = True
) -> float:
    """Return the `max_difference` of the logits in evaluation."""
    x = images(2, *size, net.channels).astype(_dtype(net))
    apply = jax.jit(model.apply) if jit else model.apply
    with torch.no_grad():
        theirs = net.eval()(to_nchw(x))
    return max_difference(apply(from_torch(model, net.state_dict()), x), theirs)


def feature_differences(model: ResNet, net: TorchResNet, size: tuple[int, int]) -> dict[str, float]:
    """Return the `max_difference` of every stage's activations in evaluation."""
    x = images(2, *size, net.channels).astype(_dtype(net))
    ours = model.apply(from_torch(model, net.state_dict()), x, method="features")
    theirs = net.eval().features(to_nchw(x))
    assert list(ours) == list(theirs)
    return {name: max_difference(ours[name], to_nhwc(theirs[name])) for name in ours}


def small_learning_rate(model: ResNet) -> float:
    """Return a rate for ten steps in float32: rounding errors grow faster in deeper networks."""
    return 1e-6 if sum(model.layers) > 20 else 1e-5


class TrainDifferences(NamedTuple):
    """Differences of the first step's logits and gradients, and of two steps' statistics."""

    logits: float
    gradients: dict[str, float]
    first_statistics: dict[str, float]
    last_statistics: dict[str, float]


def train_differences(
    model: ResNet,
    net: TorchResNet,
    *,
    steps: int = 1,
    batches: int = 1,
    learning_rate: float = 1e-4,
    jit: bool = True,
) -> TrainDifferences:
    """Train both on the same random batches, in turn, by SGD with momentum 0.9.

    The first batch is kept clear of the kinks of the ReLUs (see `clear_of_kinks`); a small
    learning rate keeps it so. Logits differ by `max_difference`, gradients and statistics by
    `norm_difference` each.
    """
    dtype, channels = _dtype(net), net.channels
    rng = np.random.default_rng(3)
    labels = rng.integers(model.num_classes, size=(batches, 8)).astype(np.int32)
    x = [images(8, 64, 64, channels, seed=10 + index).astype(dtype) for index in range(batches)]

    clear_of_kinks(net, to_nchw(x[0]))
    variables = from_torch(model, net.state_dict())
    tx = optax.sgd(learning_rate, momentum=0.9)
    step_fn: Callable = _train_step(model, tx)
    if jit:
        step_fn = jax.jit(step_fn)
    opt_state = tx.init(variables["params"])
    optimizer = torch.optim.SGD(net.train().parameters(), lr=learning_rate, momentum=0.9)
    for step in range(steps):
        variables, opt_state, our_logits, our_gradients = step_fn(
            variables, opt_state, x[step % batches], labels[step % batches]
        )
        optimizer.zero_grad()
        logits = net(to_nchw(x[step % batches]))
        target = torch.from_numpy(labels[step % batches]).long()
        torch.nn.functional.cross_entropy(logits, target).backward()
        if step == 0:
            logits_differ = max_difference(our_logits, logits.detach())
            ours = to_torch(
                model, {"params": our_gradients, "batch_stats": variables["batch_stats"]}
            )
            gradients = {
                name: norm_difference(ours[name], parameter.grad)
                for name, parameter in net.named_parameters()
            }
            first = _statistics_differ(model, variables, net)
        optimizer.step()
    last = _statistics_differ(model, variables, net)
    return TrainDifferences(logits_differ, gradients, first, last)


def _statistics_differ(model: ResNet, variables, net: TorchResNet) -> dict[str, float]:
    ours = to_torch(model, variables)
    return {
        name: norm_difference(ours[name], buffer)
        for name, buffer in net.named_buffers()
        if not name.endswith("num_batches_tracked")
    }


def _train_step(model: ResNet, tx: optax.GradientTransformation) -> Callable:
    def step(variables, opt_state, x, labels):
        def loss_fn(params):
            logits, updated = model.apply(
                {**variables, "params": params}, x, train=True, mutable=["batch_stats"]
            )
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return losses.mean(), (logits, updated.get("batch_stats", {}))

        (_, (logits, stats)), gradients = jax.value_and_grad(loss_fn, has_aux=True)(
            variables["params"]
        )
        updates, opt_state = tx.update(gradients, opt_state, variables["params"])
        params = optax.apply_updates(variables["params"], updates)
        return {"params": params, "batch_stats": stats}, opt_state, logits, gradients

    return step


def _dtype(net: TorchResNet) -> np.dtype:
    return net.fc.weight.detach().numpy().dtype
