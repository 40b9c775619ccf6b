"""NNX networks: the numbers are linen's, and the habits those of NNX."""

import copy
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from flax import nnx
from tiny_task import assert_trees_equal

import resnet_jax as rj
from resnet_jax.models import PreactivationBasicBlock, PreactivationBottleneck

TINY = {"layers": (1, 1), "num_classes": 3, "base_planes": 8, "stem": "cifar"}
PREACT = {"stem": "cifar_preact", "final_norm": True}
FAMILIES = {
    "basic": {"block": rj.BasicBlock, "layers": [1, 1]},
    "bottleneck with average pooling": {"block": rj.Bottleneck, "shortcut": "average"},
    "resnext": {"block": rj.Bottleneck, "groups": 2, "width_per_group": 32},
    "squeeze and excite": {"block": rj.BasicBlock, "attention": "se", "stem": "deep"},
    "pre-activation": {"block": PreactivationBottleneck, **PREACT},
    "wide with dropout": {"block": PreactivationBasicBlock, "dropout": 0.3, **PREACT},
    "without statistics": {"block": rj.BasicBlock, "norm_layer": rj.GroupNorm, "base_planes": 32},
}
TX = optax.sgd(0.1, momentum=0.9)


def make(family="basic", **options):
    return rj.ResNet(**{**TINY, **FAMILIES[family], **options})


def new(seed=0, **options):
    return rj.nnx.ResNet(make(**options), rngs=nnx.Rngs(seed))


@pytest.fixture(scope="module")
def images():
    return jax.random.normal(jax.random.key(1), (4, 8, 8, 3))


LABELS = jnp.asarray([0, 1, 2, 0])


def mean_loss(logits):
    return optax.softmax_cross_entropy_with_integer_labels(logits, LABELS).mean()


@nnx.jit
def nnx_step(model, optimizer, images):
    def loss_fn(model):
        logits = model(images)
        return mean_loss(logits), logits

    (loss, logits), gradients = nnx.value_and_grad(loss_fn, has_aux=True)(model)
    optimizer.update(model, gradients)
    return loss, logits, gradients


def linen_step(model):
    @jax.jit
    def step(variables, opt_state, images, key):
        def loss_fn(params):
            logits, updates = model.apply(
                {**variables, "params": params},
                images,
                train=True,
                rngs={"dropout": key},
                mutable=["batch_stats"],
            )
            return mean_loss(logits), (logits, updates)

        (loss, (logits, stats)), gradients = jax.value_and_grad(loss_fn, has_aux=True)(
            variables["params"]
        )
        updates, opt_state = TX.update(gradients, opt_state)
        params = optax.apply_updates(variables["params"], updates)
        return {"params": params, **stats}, opt_state, (loss, logits, gradients)

    return step


@pytest.mark.parametrize("family", FAMILIES)
def test_three_steps_are_those_of_linen(family, images):
    linen = make(family)
    variables = jax.jit(linen.init)(jax.random.key(0), images)
    rngs = nnx.Rngs(dropout=5)
    model = rj.nnx.from_linen(linen, variables, rngs=rngs)
    model.train()
    optimizer = nnx.Optimizer(model, TX, wrt=nnx.Param)
    step, opt_state = linen_step(linen), TX.init(variables["params"])
    keys = nnx.Rngs(dropout=5).dropout.fork()
    for _ in range(3):
        variables, opt_state, expected = step(variables, opt_state, images, keys())
        loss, logits, gradients = nnx_step(model, optimizer, images)
        assert_trees_equal((loss, logits, nnx.to_pure_dict(gradients)), expected)
    back, after = rj.nnx.to_linen(model)
    assert_trees_equal(after, variables)
    model.eval()
    expected = jax.jit(linen.apply)(variables, images)
    np.testing.assert_array_equal(nnx.jit(lambda model: model(images))(model), expected)
    assert_trees_equal(rj.to_torch(back, after), rj.to_torch(linen, variables))


def test_new_parameters_are_those_of_linen(images):
    model = rj.nnx.create_model("resnet20", layers=(1, 1, 1), base_planes=4, rngs=nnx.Rngs(7))
    linen = rj.create_model("resnet20", layers=(1, 1, 1), base_planes=4)
    expected = jax.jit(linen.init)(nnx.Rngs(7).params(), images)
    assert_trees_equal(rj.nnx.to_linen(model)[1], expected)
    assert rj.nnx.to_linen(model)[0] == linen


def test_statistics_are_updated_in_place_in_training_alone(images):
    model = new()
    mean, kernel = model.layer1_0.bn1.mean, model.layer1_0.conv1.kernel
    assert isinstance(mean, nnx.BatchStat)
    assert isinstance(kernel, nnx.Param)
    before = mean[...]
    model.eval()
    plain = model(images)
    np.testing.assert_array_equal(model(images, train=False), plain)
    assert model.layer1_0.bn1.mean[...] is before
    trained = model(images, train=True)
    assert model.layer1_0.bn1.mean is mean
    assert jnp.any(mean[...] != before)
    assert jnp.abs(trained - plain).max() > 1e-3
    model.train()
    np.testing.assert_array_equal(model(images), trained)


class Classifier(nnx.Module):
    def __init__(self, rngs):
        self.backbone = new()
        self.head = nnx.Linear(16, 5, rngs=rngs)

    def __call__(self, x):
        return self.head(self.backbone.features(x)["pooled"])


def test_as_a_part_of_another_module(images):
    model = Classifier(nnx.Rngs(0))
    model.eval()
    assert model.backbone.use_running_average
    linen, variables = rj.nnx.to_linen(model.backbone)
    features = linen.apply(variables, images, method="features")
    assert_trees_equal(model.backbone.features(images), features)
    np.testing.assert_array_equal(model(images), model.head(features["pooled"]))
    # Only the head is trained.
    only_head = nnx.All(nnx.Param, nnx.PathContains("head"))
    optimizer = nnx.Optimizer(model, TX, wrt=only_head)

    def loss_fn(model):
        return jnp.square(model(images)).sum()

    kernel = model.head.kernel[...]
    gradients = nnx.grad(loss_fn, argnums=nnx.DiffState(0, only_head))(model)
    optimizer.update(model, gradients)
    assert_trees_equal(rj.nnx.to_linen(model.backbone)[1], variables)
    assert jnp.any(model.head.kernel[...] != kernel)


def test_split_merge_and_copies(images):
    model = new()
    model.eval()
    logits = model(images)
    graphdef, params, rest = nnx.split(model, nnx.Param, ...)
    assert set(nnx.to_pure_dict(params)) == {"conv1", "bn1", "layer1_0", "layer2_0", "fc"}
    merged = nnx.merge(graphdef, params, rest)
    doubled = nnx.merge(graphdef, jax.tree.map(lambda leaf: 2 * leaf, params), rest)
    np.testing.assert_array_equal(merged(images), logits)
    assert jnp.any(doubled(images) != logits)
    for other in (nnx.clone(model), copy.deepcopy(model)):
        other(images, train=True)
        np.testing.assert_array_equal(model(images), logits)
        assert jnp.any(other(images) != logits)


def test_one_program_for_all_calls_of_a_mode(images):
    traced = []

    @nnx.jit
    def apply(model):
        traced.append(model.use_running_average)
        return model(images)

    model, other = new(), new(seed=1)
    for network in (model, model, other):
        apply(network)
    other.eval()
    apply(other)
    assert traced == [False, True]


def test_a_view_has_another_mode(images):
    model = new()
    view = nnx.view(model, use_running_average=True)
    assert (view.use_running_average, model.use_running_average) == (True, False)
    assert view.fc.kernel is model.fc.kernel
    np.testing.assert_array_equal(view(images), model(images, train=False))


def test_an_ensemble_by_vmap(images):
    @nnx.split_rngs(splits=2)
    @nnx.vmap
    def make_all(rngs):
        return rj.nnx.ResNet(make(), rngs=rngs)

    models = make_all(nnx.Rngs(0))
    logits = nnx.vmap(lambda model, x: model(x), in_axes=(0, None))(models, images)
    assert logits.shape == (2, 4, 3)
    assert jnp.any(logits[0] != logits[1])
    assert models.bn1.mean.shape == (2, 8)


def test_dropout_draws_from_its_stream(images):
    def with_dropout():
        return new(family="wide with dropout")

    model = with_dropout()
    one, two = model(images), model(images)
    assert jnp.any(one != two)
    np.testing.assert_array_equal(with_dropout()(images), one)
    model.eval()
    np.testing.assert_array_equal(model(images), model(images))
    key = jax.random.key(3)
    linen, variables = rj.nnx.to_linen(model)
    expected, _ = linen.apply(
        variables, images, train=True, rngs={"dropout": key}, mutable=["batch_stats"]
    )
    np.testing.assert_array_equal(model(images, train=True, rngs=key), expected)
    for rngs in (nnx.Rngs(dropout=3), nnx.Rngs(3).dropout):
        assert jnp.any(model(images, train=True, rngs=rngs) != expected)
    # A network without dropout has no random state.
    assert not nnx.state(new(), nnx.RngState)


def test_checkpoint_of_orbax(tmp_path, images):
    model = new()
    model(images)
    model.eval()
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "model", nnx.state(model))
    abstract = nnx.eval_shape(lambda: new(seed=1))
    graphdef, shapes = nnx.split(abstract)
    with ocp.StandardCheckpointer() as checkpointer:
        restored = nnx.merge(graphdef, checkpointer.restore(tmp_path / "model", shapes))
    restored.eval()
    np.testing.assert_array_equal(restored(images), model(images))


def test_display(capsys):
    nnx.display(new())
    shown = capsys.readouterr().out
    assert "ResNet" in shown
    assert "layer1_0" in shown


def test_every_factory_makes_its_variant():
    factories = set(rj.nnx.__all__) - {"ResNet", "create_model", "from_linen", "to_linen"}
    assert factories == set(rj.models.__all__) & set(rj.VARIANTS)
    for name in factories:
        make = getattr(rj.nnx, name)
        assert make.__name__ == name
        assert inspect.signature(make).parameters["num_classes"].default == (
            rj.VARIANTS[name].num_classes
        )
    small = {"layers": (1, 1, 1), "base_planes": 4, "num_classes": 2, "in_channels": 1}
    model = nnx.eval_shape(lambda: rj.nnx.resnext29_8x64d(rngs=nnx.Rngs(0), **small))
    assert model.linen == rj.resnext29_8x64d(2, layers=(1, 1, 1), base_planes=4)
    assert model.conv1.kernel.shape == (3, 3, 1, 4)


def test_mistakes(images):
    with pytest.raises(ValueError, match=r"`rngs` \(=None\) must be given"):
        rj.nnx.ResNet(make())
    with pytest.raises(ValueError, match="collection 'cache'; NNX networks have only params and"):
        rj.nnx.from_linen(make(), {"params": {}, "cache": {}})
    with pytest.raises(ValueError, match="part 'features', a name that the module needs"):
        rj.nnx.from_linen(make(), {"params": {"features": {"kernel": jnp.ones(1)}}})
    with pytest.raises(ValueError, match=r"has 1 channels .* made for 3"):
        new()(images[..., :1])
    with pytest.raises(TypeError, match="`x` has dtype uint8"):
        new().features(jnp.zeros((1, 8, 8, 3), jnp.uint8))
    model = make()
    folded = rj.models.fold_batch_norm(model, jax.jit(model.init)(jax.random.key(0), images))
    message = (
        "^only a `ResNet` has an NNX form, a `FoldedNetwork` has none; convert the `ResNet` in it$"
    )
    with pytest.raises(TypeError, match=message):
        rj.nnx.from_linen(*folded)
    averaged = rj.evaluation.FlipAveraged(model)
    with pytest.raises(TypeError, match="a `FlipAveraged` has none"):
        rj.nnx.ResNet(averaged, rngs=nnx.Rngs(0))
