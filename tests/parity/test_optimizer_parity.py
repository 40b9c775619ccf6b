"""Optimizers equal torch's step by step, and so does a whole training run on real images."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from rounding import assert_sums_close
from sklearn.datasets import load_digits
from torch_twin import to_nchw, twin_of

import resnet_jax as rj
from resnet_jax.data import Transform
from resnet_jax.training import make_optimizer, set_learning_rate

RULES = [
    {"momentum": 0.0},
    {"momentum": 0.9},
    {"momentum": 0.9, "weight_decay": 5e-4},
    {"momentum": 0.0, "weight_decay": 5e-2},
    {"momentum": 0.9, "nesterov": True},
    {"momentum": 0.5, "weight_decay": 1e-2, "nesterov": True},
]


def sgd_steps(rule, dtype, steps=25):
    """Yield both parameters after each step along the same gradients; the rate falls twice.

    The third item is the size of the terms that a parameter is summed from: a run whose steps all
    lead away from 0.
    """
    rng = np.random.default_rng(0)
    start = {"a": rng.standard_normal((3, 4)), "b": rng.standard_normal(5)}
    params = {name: value.astype(dtype) for name, value in start.items()}
    theirs = {name: torch.nn.Parameter(torch.from_numpy(p.copy())) for name, p in params.items()}
    tx = make_optimizer(0.1, **rule)
    optimizer = torch.optim.SGD(theirs.values(), lr=0.1, dampening=0, **rule)
    state = tx.init(params)
    sizes = {name: np.abs(value) for name, value in start.items()}
    away = make_optimizer(0.1, **{**rule, "weight_decay": 0.0})
    away_state = away.init(sizes)
    for step in range(steps):
        if step in (10, 20):
            rate = 0.1 * 0.1 ** (step // 10)
            state, away_state = (set_learning_rate(s, rate) for s in (state, away_state))
            optimizer.param_groups[0]["lr"] = rate
        gradients = {n: rng.standard_normal(p.shape).astype(dtype) for n, p in params.items()}
        updates, state = tx.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
        for name, parameter in theirs.items():
            parameter.grad = torch.from_numpy(gradients[name])
        optimizer.step()
        downhill = {name: -np.abs(gradient) for name, gradient in gradients.items()}
        updates, away_state = away.update(downhill, away_state)
        sizes = optax.apply_updates(sizes, updates)
        yield params, {name: p.detach().numpy() for name, p in theirs.items()}, sizes


@pytest.mark.parametrize("rule", RULES)
def test_sgd_float32(rule):
    for ours, theirs, sizes in sgd_steps(rule, np.float32):
        for name in theirs:
            assert_sums_close(ours[name], theirs[name], sizes[name])


@pytest.mark.parametrize("rule", RULES)
def test_sgd_float64(rule):
    with jax.enable_x64(True):
        for ours, theirs, sizes in sgd_steps(rule, np.float64):
            for name in theirs:
                assert ours[name].dtype == np.float64
                assert_sums_close(ours[name], theirs[name], sizes[name])


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-12)], ids=["float32", "float64"]
)
@pytest.mark.parametrize("kernels_only", [False, True])
@pytest.mark.parametrize(
    ("beta1", "beta2", "weight_decay"), [(0.9, 0.999, 0.05), (0.8, 0.95, 0.5), (0.9, 0.999, 0.0)]
)
def test_adamw(beta1, beta2, weight_decay, kernels_only, dtype, tolerance):
    rng = np.random.default_rng(0)
    params = {"kernel": rng.standard_normal((3, 4)), "bias": rng.standard_normal(5)}
    params = {name: value.astype(dtype) for name, value in params.items()}
    theirs = {name: torch.nn.Parameter(torch.from_numpy(p.copy())) for name, p in params.items()}
    groups = [
        {"params": [theirs["kernel"]], "weight_decay": weight_decay},
        {"params": [theirs["bias"]], "weight_decay": 0.0 if kernels_only else weight_decay},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.1, betas=(beta1, beta2))
    tx = make_optimizer(
        0.1,
        beta1,
        name="adamw",
        beta2=beta2,
        weight_decay=weight_decay,
        decay_kernels_only=kernels_only,
    )
    with jax.enable_x64(dtype == np.float64):
        state = tx.init(params)
        for step in range(25):
            if step == 10:
                state = set_learning_rate(state, 0.01)
                for group in optimizer.param_groups:
                    group["lr"] = 0.01
            gradients = {n: rng.standard_normal(p.shape).astype(dtype) for n, p in params.items()}
            updates, state = tx.update(gradients, state, params)
            params = optax.apply_updates(params, updates)
            for name, parameter in theirs.items():
                parameter.grad = torch.from_numpy(gradients[name])
            optimizer.step()
            for name, parameter in theirs.items():
                assert params[name].dtype == dtype
                expected = parameter.detach().numpy()
                np.testing.assert_allclose(params[name], expected, rtol=tolerance, atol=tolerance)


def digit_batches(steps, batch, seed):
    """Batches of scikit-learn's real digits, 16×16 by bilinear resampling, normalised."""
    digits = load_digits()
    transform = Transform(source=(8, 8), resize=16, crop=16, mean=(0.3,), std=(0.38,))
    scaled = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    order = np.random.default_rng(seed).permutation(len(scaled))
    for step in range(steps):
        picked = order.take(range(step * batch, (step + 1) * batch), mode="wrap")
        yield (
            np.asarray(transform.center(jnp.asarray(scaled[picked]))),
            digits.target[picked].astype(np.int32),
        )


def trajectories(seed, steps=30, batch=96):
    """The losses of both, from the same weights over the same batches.

    With zeroed residual scales the network starts out shallow, so that rounding grows slowly.
    """
    model = rj.ResNet(
        rj.BasicBlock, (1, 1, 1, 1), 10, base_planes=16, stem="cifar", zero_init_residual=True
    )
    net = twin_of(model, channels=1, seed=seed)
    rule = {"momentum": 0.9, "weight_decay": 5e-4}
    variables = rj.from_torch(model, net.state_dict())
    tx = make_optimizer(0.01, **rule)
    opt_state = tx.init(variables["params"])
    optimizer = torch.optim.SGD(net.train().parameters(), lr=0.01, **rule)

    @jax.jit
    def step(variables, opt_state, x, labels):
        def loss_fn(params):
            logits, updated = model.apply(
                {**variables, "params": params}, x, train=True, mutable=["batch_stats"]
            )
            loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
            return loss, updated

        (loss, updated), gradients = jax.value_and_grad(loss_fn, has_aux=True)(variables["params"])
        updates, opt_state = tx.update(gradients, opt_state, variables["params"])
        params = optax.apply_updates(variables["params"], updates)
        return {"params": params, **updated}, opt_state, loss

    ours, theirs = [], []
    for x, labels in digit_batches(steps, batch, seed):
        variables, opt_state, loss = step(variables, opt_state, x, labels)
        ours.append(float(loss))
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(to_nchw(x)), torch.from_numpy(labels).long())
        loss.backward()
        optimizer.step()
        theirs.append(float(loss.detach()))
    return np.array(ours), np.array(theirs)


@pytest.mark.parametrize("seed", [0, 1])
def test_training_on_real_images(seed):
    ours, theirs = trajectories(seed)
    relative = np.abs(ours - theirs) / theirs
    assert relative[:10].max() <= 1e-3, relative
    # Both learn, and stay together: the rest of the run differs by far less than it falls.
    assert theirs[-10:].mean() < 0.9 * theirs[:3].mean()
    assert abs(ours[10:].mean() - theirs[10:].mean()) <= 0.02 * theirs[10:].mean(), relative
    assert relative.max() <= 0.1, relative
