"""The variants for CIFAR: their sizes, shortcuts, pre-activated blocks, dropout and weights."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

import resnet_jax as rj
from resnet_jax.models import (
    PadDownsample,
    PreactivationBasicBlock,
    PreactivationBottleneck,
    freeze_batch_norm,
    stage_of,
    stages_up_to,
)

# Trainable parameters at 10 classes: those of resnet by section 4.2 of He et al. 2015, of
# preact_resnet18 as in kuangliu/pytorch-cifar, of wide_resnet as in Zagoruyko and Komodakis 2016
# (11.0, 36.5 and 8.9 million), of resnext29 as in Xie et al. 2016 (34.4 million).
PARAMETERS = {
    "resnet20": 269_722,
    "resnet32": 464_154,
    "resnet44": 658_586,
    "resnet56": 853_018,
    "resnet110": 1_727_962,
    "preact_resnet18": 11_171_146,
    "preact_resnet34": 21_279_306,
    "preact_resnet50": 23_509_066,
    "preact_resnet110": 1_730_522,
    "preact_resnet164": 1_703_258,
    "wide_resnet16_8": 10_961_370,
    "wide_resnet28_10": 36_479_194,
    "wide_resnet40_4": 8_949_210,
    "resnext29_8x64d": 34_426_698,
    "resnext29_4x64d": 17_562_442,
    "resnext29_2x64d": 9_130_314,
    "resnext29_32x4d": 4_775_754,
}
IMAGES = np.random.default_rng(1).standard_normal((4, 8, 8, 3), np.float32)
LABELS = jnp.array([0, 1, 2, 0])
WIDE = {"stem": "cifar_preact", "final_norm": True}


def init(model):
    return jax.jit(model.init)(jax.random.key(0), IMAGES[:1])


def preact(block=PreactivationBasicBlock, **options):
    return rj.ResNet(block, (1, 1), 3, **{"base_planes": 8, **WIDE, **options})


@pytest.mark.parametrize("name", PARAMETERS)
def test_factory(name):
    factory = getattr(rj, name)
    assert rj.VARIANTS[name].parameters == PARAMETERS[name]
    assert factory() == rj.create_model(name) == factory(num_classes=10)
    assert factory(100).num_classes == rj.create_model(name, 100).num_classes == 100
    assert factory.__name__ == name
    assert f"{PARAMETERS[name]:,} parameters at 10 classes" in factory.__doc__


def test_every_row_is_tested():
    assert list(PARAMETERS) == list(rj.VARIANTS)[-len(PARAMETERS) :]


@pytest.mark.parametrize("name", PARAMETERS)
def test_maps(name):
    model = rj.create_model(name)
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    maps = jax.eval_shape(
        lambda v, x: model.apply(v, x, method="features"), variables, jnp.zeros((2, 32, 32, 3))
    )
    stages = [f"layer{stage + 1}" for stage in range(len(model.layers))]
    assert set(maps) == {"stem", *stages, "pooled"}
    assert [maps[stage].shape[1] for stage in ("stem", *stages)] == [32, 32, 16, 8, 4][
        : 1 + len(stages)
    ]


def test_option_a_has_every_second_pixel_and_zeros_on_both_sides():
    x = jnp.asarray(IMAGES)
    out = PadDownsample(features=8, stride=2).apply({}, x)
    np.testing.assert_array_equal(out[..., 2:5], x[:, ::2, ::2])
    assert not out[..., :2].any()
    assert not out[..., 5:].any()
    assert PadDownsample(features=8, dtype=jnp.bfloat16).apply({}, x).dtype == jnp.bfloat16
    with pytest.raises(ValueError, match=r"has 2 of them and its input 3; use another `shortcut`"):
        PadDownsample(features=2).apply({}, x)


def test_option_b_projects():
    def count(model):
        shapes = jax.eval_shape(model.init, jax.random.key(0), IMAGES)
        return sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))

    more = 16 * 32 + 32 * 2 + 32 * 64 + 64 * 2
    assert count(rj.resnet20(shortcut="projection")) == PARAMETERS["resnet20"] + more


@pytest.mark.parametrize("block", [PreactivationBasicBlock, PreactivationBottleneck])
def test_a_branch_that_starts_at_zero_can_learn(block):
    model = preact(block, zero_init_residual=True)
    variables = init(model)
    params = variables["params"]["layer1_0"]
    last = "conv2" if block is PreactivationBasicBlock else "conv3"
    assert not params[last]["kernel"].any()
    assert params["bn2"]["scale"].all()
    assert params["conv1"]["kernel"].all()

    def loss(params):
        logits = model.apply({**variables, "params": params}, IMAGES)
        return optax.softmax_cross_entropy_with_integer_labels(logits, LABELS).sum()

    gradient = jax.jit(jax.grad(loss))(variables["params"])
    assert gradient["layer1_0"][last]["kernel"].any()


def test_a_basic_block_refuses_what_it_does_not_have():
    with pytest.raises(ValueError, match=r"PreactivationBasicBlock .* use PreactivationBottleneck"):
        preact(groups=2)
    with pytest.raises(NotImplementedError, match=r"PreactivationBasicBlock does not support"):
        preact(replace_stride_with_dilation=(True,))


def test_a_dilated_bottleneck_keeps_the_resolution():
    dilated = preact(PreactivationBottleneck, replace_stride_with_dilation=(True,))
    maps = dilated.apply(init(dilated), IMAGES, method="features")
    assert maps["layer2"].shape == (4, 8, 8, 64)


def test_bfloat16_and_remat():
    plain = preact(dropout=0.3)
    variables = init(plain)
    half = plain.clone(dtype=jnp.bfloat16)
    maps = half.apply(variables, IMAGES, method="features")
    assert maps["layer2"].dtype == jnp.bfloat16
    assert maps["pooled"].dtype == jnp.float32

    def logits(model):
        return jax.jit(
            lambda: model.apply(
                variables,
                IMAGES,
                train=True,
                mutable=["batch_stats"],
                rngs={"dropout": jax.random.key(1)},
            )[0]
        )()

    np.testing.assert_allclose(logits(plain.clone(remat=True)), logits(plain), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "block", [rj.BasicBlock, rj.Bottleneck, PreactivationBasicBlock, PreactivationBottleneck]
)
def test_dropout_is_between_the_convolutions_in_training_only(block):
    model = rj.ResNet(block, (1,), 3, base_planes=16, stem="cifar", dropout=0.5)
    variables = init(model)
    plain = model.clone(dropout=0.0)
    np.testing.assert_array_equal(model.apply(variables, IMAGES), plain.apply(variables, IMAGES))
    # The input of the last convolution: half of its values are zero, the others doubled.
    last = "conv2" if block.expansion == 1 else "conv3"

    def inputs(model):
        found = []

        def keep(call, args, kwargs, context):
            if context.module.name == last:
                found.append(args[0])
            return call(*args, **kwargs)

        with nn.intercept_methods(keep):
            model.apply(
                variables,
                IMAGES,
                train=True,
                mutable=["batch_stats"],
                rngs={"dropout": jax.random.key(1)},
            )
        return np.asarray(found[0])

    with_dropout, without = inputs(model), inputs(plain)
    kept = with_dropout != 0
    np.testing.assert_allclose(with_dropout[kept], 2 * without[kept], rtol=1e-6)
    assert 0.4 < kept.sum() / (without != 0).sum() < 0.6


def test_dropout_trains_and_differs_by_step():
    model, tx = preact(dropout=0.4), optax.sgd(0.0)
    state = rj.create_state(model, tx, jax.random.key(0), IMAGES.shape)
    step = rj.make_train_step(model, tx)
    batch = rj.Batch(jnp.concatenate([IMAGES, IMAGES]), jnp.concatenate([LABELS, LABELS]))
    losses = []
    for _ in range(3):
        state, metrics = step(state, batch, jax.random.key(2))
        losses.append(float(metrics["loss"]))
    assert len(set(losses)) == 3


def test_the_last_normalisation_belongs_to_the_head():
    model = preact()
    assert stage_of("final_bn") == "head"
    frozen = freeze_batch_norm(model, stages_up_to("layer2"))
    variables = init(model)
    _, updates = frozen.apply(variables, IMAGES, train=True, mutable=["batch_stats"])
    moved = {
        stage_of(name)
        for name, part in updates["batch_stats"].items()
        if not all(
            np.array_equal(*pair)
            for pair in zip(
                jax.tree.leaves(part),
                jax.tree.leaves(variables["batch_stats"][name]),
                strict=True,
            )
        )
    }
    assert moved == {"head"}


def test_axis_name_shares_the_statistics():
    model = preact(axis_name="batch")
    variables = init(model)

    def statistics(x):
        return model.apply(variables, x, train=True, mutable=["batch_stats"])[1]

    shared = jax.vmap(statistics, axis_name="batch")(IMAGES.reshape(2, 2, 8, 8, 3))
    whole = preact().apply(variables, IMAGES, train=True, mutable=["batch_stats"])[1]
    jax.tree.map(
        lambda ours, theirs: np.testing.assert_allclose(ours[0], theirs, rtol=1e-4, atol=1e-5),
        shared,
        whole,
    )
