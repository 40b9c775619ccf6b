"""The programs that a GPU and a TPU are given, lowered without either of them.

They say what XLA is asked for: layouts, types, reductions, buffers; not what it makes of it.
"""

import re
from collections import Counter
from functools import cache, partial

import jax
import jax.numpy as jnp
import pytest
from jax import export

import resnet_jax as rj
from resnet_jax.data import Pipeline, Transform, make_augmentation
from resnet_jax.ops import conv2d
from resnet_jax.training import Engine, EvalBatch, zero_totals

PLATFORMS = ("cuda", "tpu")
BATCH, SIDE = 8, 16
# Convolution, gradient for the input and gradient for the kernel, of maps [batch, height, width,
# channels] and kernels [height, width, in, out].
FORWARD = "[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]"
INPUT_GRADIENT = "[b, 0, 1, f]x[0, 1, o, i]->[b, 0, 1, f]"
KERNEL_GRADIENT = "[f, 0, 1, b]x[i, 0, 1, o]->[0, 1, b, f]"
FLOAT32_MAP = re.compile(rf"tensor<{BATCH}x\d+x\d+x\d+xf32>")
NORMALISATION = re.compile(r"/(bn\d?|final_bn)/|^_(forward|cotangent)")


def network(**options):
    return rj.ResNet(
        rj.Bottleneck, (1, 1), 10, **{"base_planes": 8, "dtype": jnp.bfloat16, **options}
    )


TX = rj.make_optimizer(0.1)


def abstract_state(model):
    shape = (1, SIDE, SIDE, 3)
    return jax.eval_shape(lambda: rj.create_state(model, TX, jax.random.key(0), shape))


def examples(dtype):
    images = jax.ShapeDtypeStruct((BATCH, SIDE, SIDE, 3), dtype)
    return images, jax.ShapeDtypeStruct((BATCH,), jnp.int32)


def lower(step, platform, *arguments):
    return export.export(step, platforms=[platform])(*arguments).mlir_module()


def engine_of(devices):
    return Engine.create("jit", devices=jax.devices()[:devices])


KEY = jax.eval_shape(lambda: jax.random.key(0))


@cache
def training(platform, *, devices=1, dtype=jnp.bfloat16, prepared=False):
    """Return the text of a training step; one that is `prepared` augments images of bytes."""
    model = network(dtype=dtype)
    options = {}
    if prepared:
        transform = Transform(
            source=(SIDE, SIDE), resize=SIDE, crop=SIDE, mean=(0.5,) * 3, std=(0.2,) * 3
        )
        augmentations = tuple(make_augmentation(text) for text in ("crop:2", "flip", "cutout:4"))
        options["prepare"] = Pipeline(transform, augmentations, num_classes=10)
    step = rj.make_train_step(model, TX, engine=engine_of(devices), **options)
    batch = rj.Batch(*examples(jnp.uint8 if prepared else jnp.float32))
    return lower(step, platform, abstract_state(model), batch, KEY)


@cache
def evaluation(platform, *, devices=1, dtype=jnp.bfloat16):
    model = network(dtype=dtype)
    state = abstract_state(model)
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    step = rj.make_eval_step(model, engine=engine_of(devices))
    batch = EvalBatch(*examples(jnp.float32), jax.ShapeDtypeStruct((BATCH,), jnp.bool_))
    return lower(step, platform, variables, batch, jax.eval_shape(zero_totals), KEY)


def operations(text):
    """Yield the function, the name in the network and the text of each operation of a program."""
    names = dict(re.findall(r'^(#loc\d+) = loc\("([^"]*)"', text, re.MULTILINE))
    function = ""
    for line in text.splitlines():
        if found := re.search(r"func\.func \w+ @(\w+)", line):
            function = found[1]
        elif "stablehlo." in line or "call @" in line:
            place = re.search(r"loc\((#loc\d*)\)$", line)
            yield function, names.get(place[1], "") if place else "", line


def float32_maps(text):
    """Return the operations on maps in float32, other than those of normalisations."""
    found = set()
    for function, place, line in operations(text):
        if FLOAT32_MAP.search(line) and not NORMALISATION.search(f"{function}/{place}"):
            module, _, name = place.rpartition("/")
            found.add((module.rpartition("/")[2], name))
    return found


def convolutions(text):
    """Return the layouts of a program's convolutions, and the types of their maps and kernels."""
    layouts, types = set(), set()
    for _, _, line in operations(text):
        if "stablehlo.convolution" in line:
            layouts.add(re.search(r"dim_numbers = (\S.*?), window", line)[1])
            types |= set(re.findall(r"x([a-z]\w*)>", line.partition(" : (")[2]))
    return layouts, types


def maps_that_are_transposed(text):
    """Return the operations that change the order of four axes."""
    return [
        line
        for _, _, line in operations(text)
        if re.search(r"stablehlo\.transpose .* dims = \[\d, \d, \d, \d\]", line)
    ]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_convolutions_are_nhwc_in_bfloat16(platform):
    trained, evaluated = training(platform), evaluation(platform)
    assert convolutions(trained) == ({FORWARD, INPUT_GRADIENT, KERNEL_GRADIENT}, {"bf16"})
    assert convolutions(evaluated) == ({FORWARD}, {"bf16"})
    assert maps_that_are_transposed(trained) == maps_that_are_transposed(evaluated) == []
    # What is looked for is found where it is.
    assert convolutions(training(platform, dtype=jnp.float32))[1] == {"f32"}
    transposed = jax.jit(lambda x: x.transpose(0, 3, 1, 2))
    assert maps_that_are_transposed(lower(transposed, platform, examples(jnp.float32)[0]))


@pytest.mark.parametrize(
    ("platform", "groups", "barriers"), [("tpu", 4, 1), ("tpu", 1, 0), ("cuda", 4, 0)]
)
def test_a_grouped_convolution_is_stored_in_bfloat16_on_a_tpu(platform, groups, barriers):
    """What reads it does so behind a barrier, and cannot have it kept in float32."""
    x = jax.ShapeDtypeStruct((2, 8, 8, 16), jnp.bfloat16)
    kernel = jax.ShapeDtypeStruct((3, 3, 16 // groups, 16), jnp.bfloat16)
    text = lower(jax.jit(partial(conv2d, groups=groups)), platform, x, kernel)
    assert text.count("stablehlo.optimization_barrier") == barriers


@pytest.mark.parametrize("platform", PLATFORMS)
def test_only_statistics_and_the_pooled_vector_are_float32(platform):
    """Of the maps only the last one becomes float32, to be summed over space."""
    pooled = {"convert_element_type", "reduce_sum"}
    assert float32_maps(evaluation(platform)) == {("ResNet.features", name) for name in pooled}
    backward = {"broadcast_in_dim", "convert_element_type"}
    assert float32_maps(training(platform)) == {
        ("ResNet.features", name) for name in pooled | backward
    }
    found = {name for _, name in float32_maps(training(platform, dtype=jnp.float32))}
    assert {"conv_general_dilated", "add", "gt", "select_n"} <= found


@pytest.mark.parametrize("platform", PLATFORMS)
def test_several_devices_exchange_each_gradient_once(platform):
    parameters = jax.tree.leaves(abstract_state(network()).params)
    gradients = Counter("x".join(map(str, (*leaf.shape, "f32"))) for leaf in parameters)
    norms = sum(leaf.ndim == 1 for leaf in parameters) - 1  # scales and biases; `fc` has one, too
    sums = Counter(all_sums(training(platform, devices=4)))
    # The compiler combines the sums of the gradients and of the loss.
    assert not gradients + Counter(["f32"]) - sums
    # Each normalisation has one forward and one backward, of two numbers a channel.
    rest = sums - gradients - Counter(["f32"])
    assert rest.total() == norms
    assert all(re.fullmatch(r"2x\d+xf32", text) for text in rest)
    assert all_sums(training(platform)) == []
    for other in ("all_gather", "all_to_all", "collective_permute", "reduce_scatter"):
        assert other not in training(platform, devices=4)


def all_sums(text):
    """Return the types of the sums over devices, one for each time that a program makes one."""
    own, calls = {}, {}
    function = ""
    for line in text.splitlines():
        if found := re.search(r"func\.func \w+ @(\w+)", line):
            function = found[1]
        if "stablehlo.all_reduce" in line:
            own.setdefault(function, []).append(None)
        elif found := re.match(r"\s+}\) : \(tensor<(\w+)>\) -> tensor<\1>", line):
            if None in own.get(function, []):
                own[function][own[function].index(None)] = found[1]
        elif found := re.search(r"\bcall @(\w+)", line):
            calls.setdefault(function, []).append(found[1])

    def of(function):
        inner = [text for called in calls.get(function, []) for text in of(called)]
        return own.get(function, []) + inner

    return of("main")


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_host_is_not_called(platform):
    programs = [training(platform, devices=4), training(platform, prepared=True)]
    for text in [*programs, evaluation(platform, devices=4)]:
        targets = set(re.findall(r"custom_call @(\w+)", text))
        assert not {name for name in targets if "callback" in name.lower()}
        for other in ("infeed", "outfeed", "stablehlo.send", "stablehlo.recv"):
            assert other not in text

    def calls(x):
        return jax.pure_callback(lambda x: x, x, x)

    text = jax.jit(calls).lower(jnp.zeros(4)).as_text()
    assert "callback" in text.lower()


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("devices", [1, 4])
def test_the_state_is_updated_in_place(platform, devices):
    text = training(platform, devices=devices)
    arguments = re.search(r"func\.func public @main\((.*?)\) -> ", text, re.DOTALL)[1]
    donated = [
        part
        for part in re.split(r", (?=%arg\d)", arguments)
        if "tf.aliasing_output" in part or "jax.buffer_donor" in part
    ]
    # The state is the first argument.
    count = len(jax.tree.leaves(abstract_state(network())))
    assert [part.partition(":")[0] for part in donated] == [f"%arg{at}" for at in range(count)]
