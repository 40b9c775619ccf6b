"""Weights between torch's names and Flax variables: structure and errors, without torch."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import resnet_jax as rj

TORCHVISION = list(rj.VARIANTS)[:10]


def tiny(num_classes=10, block=rj.BasicBlock, **options):
    return rj.ResNet(block, (2, 1, 1, 1), num_classes, base_planes=8, **options)


def random_variables(model, channels=3):
    """Return variables of random numbers."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, channels)))
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.random(leaf.shape, np.float32), shapes)


def assert_same(tree, other):
    assert jax.tree.structure(tree) == jax.tree.structure(other)
    for ours, theirs in zip(jax.tree.leaves(tree), jax.tree.leaves(other), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


@pytest.fixture
def model():
    return tiny()


@pytest.fixture
def state_dict(model):
    return rj.to_torch(model, random_variables(model))


class TestRoundTrip:
    @pytest.mark.parametrize(
        ("options", "channels"),
        [
            ({}, 3),
            ({"stem": "cifar"}, 1),
            ({"block": rj.Bottleneck}, 4),
            ({"block": rj.Bottleneck, "groups": 2, "width_per_group": 32}, 3),
            ({"norm_layer": lambda **options: rj.GroupNorm(num_groups=4, **options)}, 3),
            ({"remat": True}, 3),
        ],
    )
    def test_flax_to_torch_to_flax_is_bit_identical(self, options, channels):
        model = tiny(**options)
        variables = random_variables(model, channels)
        assert_same(rj.from_torch(model, rj.to_torch(model, variables)), variables)

    @pytest.mark.parametrize("name", TORCHVISION)
    def test_every_variant_has_its_names(self, name):
        row, model = rj.VARIANTS[name], rj.create_model(name, 10, base_planes=16)
        names = rj.to_torch(model, random_variables(model))
        for stage, count in enumerate(row.layers, start=1):
            blocks = {n.split(".")[1] for n in names if n.startswith(f"layer{stage}.")}
            assert blocks == {str(index) for index in range(count)}
        last = row.layers[3] - 1
        assert f"layer4.{last}.bn{2 if row.block is rj.BasicBlock else 3}.bias" in names

    def test_order_is_torchvisions(self, state_dict):
        assert list(state_dict)[:6] == [
            "conv1.weight",
            *(f"bn1.{leaf}" for leaf in ("weight", "bias", "running_mean", "running_var")),
            "bn1.num_batches_tracked",
        ]
        names = [name.rpartition(".")[0] for name in state_dict if name.endswith("weight")]
        assert names[2:] == [
            *(f"layer1.{i}.{m}" for i in (0, 1) for m in ("conv1", "bn1", "conv2", "bn2")),
            *(
                f"layer{stage}.0.{module}"
                for stage in (2, 3, 4)
                for module in ("conv1", "bn1", "conv2", "bn2", "downsample.0", "downsample.1")
            ),
            "fc",
        ]
        assert list(state_dict)[-2:] == ["fc.weight", "fc.bias"]

    def test_tenth_block_follows_the_ninth(self):
        model = rj.ResNet(rj.BasicBlock, (1, 12, 1, 1), 10, base_planes=8)
        names = list(rj.to_torch(model, random_variables(model)))
        blocks = dict.fromkeys(n.split(".")[1] for n in names if n.startswith("layer2."))
        assert list(blocks) == [str(index) for index in range(12)]

    def test_layouts(self, model, state_dict):
        variables = random_variables(model)
        kernel = variables["params"]["layer2_0"]["conv1"]["kernel"]
        assert state_dict["layer2.0.conv1.weight"].shape == (16, 8, 3, 3)
        assert state_dict["layer2.0.conv1.weight"][5, 4, 2, 1] == kernel[2, 1, 4, 5]
        assert state_dict["fc.weight"][7, 3] == variables["params"]["fc"]["kernel"][3, 7]
        assert all(array.flags.c_contiguous for array in state_dict.values())

    def test_counter_is_the_given_number(self, model):
        state_dict = rj.to_torch(model, random_variables(model), num_batches_tracked=7)
        counters = [name for name in state_dict if name.endswith("num_batches_tracked")]
        norms = [name for name in state_dict if name.endswith("running_var")]
        assert len(counters) == len(norms) == 14
        for name in counters:
            assert state_dict[name] == 7
            assert state_dict[name].dtype == np.int64
            assert state_dict[name].shape == ()


class TestReading:
    def test_counters_may_be_absent(self, model, state_dict):
        without = {n: v for n, v in state_dict.items() if not n.endswith("tracked")}
        assert_same(rj.from_torch(model, without), rj.from_torch(model, state_dict))

    @pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
    def test_wrappers_are_taken_off(self, model, state_dict, prefix):
        wrapped = {prefix + name: value for name, value in state_dict.items()}
        assert_same(rj.from_torch(model, wrapped), random_variables(model))

    def test_down_sample_is_downsample(self, model, state_dict):
        renamed = {n.replace("downsample", "down_sample"): v for n, v in state_dict.items()}
        assert renamed != state_dict
        assert_same(rj.from_torch(model, renamed), random_variables(model))

    @pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
    def test_half_precision_becomes_float32(self, model, state_dict, dtype):
        half = {name: value.astype(dtype) for name, value in state_dict.items()}
        back = rj.from_torch(model, half)
        kernel = back["params"]["conv1"]["kernel"]
        assert {leaf.dtype for leaf in jax.tree.leaves(back)} == {np.dtype(np.float32)}
        np.testing.assert_array_equal(
            kernel, half["conv1.weight"].transpose(2, 3, 1, 0).astype(np.float32)
        )

    def test_float64_is_kept_under_x64(self, model, state_dict):
        double = {n: np.float64(v) / 3 for n, v in state_dict.items() if not n.endswith("tracked")}
        with jax.enable_x64(True):
            variables = rj.from_torch(model, double)
            back = rj.to_torch(model, variables)
        assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype(np.float64)}
        for name, value in double.items():
            np.testing.assert_array_equal(back[name], value)

    def test_arrays_are_not_aliased(self, model, state_dict):
        variables = rj.from_torch(model, state_dict)
        for value in state_dict.values():
            value[...] = -1
        assert_same(variables, random_variables(model))


class TestHead:
    def test_other_classes_are_an_error_that_tells_the_way_on(self, state_dict):
        with pytest.raises(rj.WeightsError) as caught:
            rj.from_torch(tiny(num_classes=5), state_dict)
        message = str(caught.value)
        assert "wrong shape: fc.bias ((10,), the model's is (5,)), fc.weight ((10, 64)," in message
        assert "(all 2 names begin with `fc.`)" in message
        assert 'head="reinit"' in message

    @pytest.mark.parametrize("absent", [False, True])
    def test_reinit_starts_a_new_one_and_keeps_the_rest(self, model, state_dict, absent):
        if absent:
            state_dict = {n: v for n, v in state_dict.items() if not n.startswith("fc.")}
        tuned = tiny(num_classes=5)
        variables = rj.from_torch(tuned, state_dict, head="reinit", head_key=jax.random.key(1))
        other = rj.from_torch(tuned, state_dict, head="reinit", head_key=jax.random.key(2))
        head = variables["params"].pop("fc")
        assert head["kernel"].shape == (64, 5)
        assert 0.9 / 8 < np.abs(head["kernel"]).max() <= 1 / 8
        assert not np.array_equal(head["kernel"], other["params"]["fc"]["kernel"])
        expected = random_variables(model)
        del expected["params"]["fc"]
        assert_same(variables, expected)

    def test_unknown_choice(self, model, state_dict):
        with pytest.raises(ValueError, match=r"`head` \(='new'\) must be 'strict' or 'reinit'"):
            rj.from_torch(model, state_dict, head="new")


class TestMisfit:
    def test_all_is_reported_at_once_in_one_line(self, model, state_dict):
        del state_dict["bn1.running_var"]
        state_dict["layer1.0.conv1.kernel"] = state_dict.pop("layer1.0.conv1.weight")
        state_dict["layer2.0.conv2.weight"] = np.zeros((16, 16, 1, 1), np.float32)
        state_dict["bn1.weight"] = np.zeros(8, np.int64)
        state_dict["bn1.bias"] = np.array([1, np.nan, 1, np.inf, 1, 1, 1, 1], np.float32)
        state_dict["extra.num_batches_tracked"] = np.array(3)
        state_dict["module.fc.bias"] = state_dict["fc.bias"]
        with pytest.raises(rj.WeightsError) as caught:
            rj.from_torch(model, state_dict)
        assert str(caught.value) == (
            "the state dict does not fit the model; "
            "missing: bn1.running_var, layer1.0.conv1.weight; "
            "unexpected: extra.num_batches_tracked, layer1.0.conv1.kernel; "
            "repeated: module.fc.bias (as fc.bias); "
            "wrong shape: layer2.0.conv2.weight ((16, 16, 1, 1), the model's is (16, 16, 3, 3)); "
            "not floating point: bn1.weight (int64); "
            "not finite: bn1.bias (2 of 8 values)"
        )

    def test_a_few_of_many_names_and_their_prefix(self, model, state_dict):
        """Another network within a module, as a detector's backbone."""
        inner = {f"backbone.body.a_{name}": value for name, value in state_dict.items()}
        with pytest.raises(rj.WeightsError) as caught:
            rj.from_torch(model, inner)
        needed = [name for name in state_dict if not name.endswith("num_batches_tracked")]
        assert str(caught.value) == (
            "the state dict does not fit the model; "
            f"missing: bn1.bias, bn1.running_mean, bn1.running_var and {len(needed) - 3} more; "
            "unexpected: backbone.body.a_bn1.bias, backbone.body.a_bn1.num_batches_tracked, "
            f"backbone.body.a_bn1.running_mean and {len(state_dict) - 3} more "
            f"(all {len(state_dict)} names begin with `backbone.body.`); "
            'head="reinit" starts a new `fc`'
        )

    @pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16, np.float64])
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_values_that_are_not_finite_are_named(self, model, state_dict, dtype, value):
        kernel = state_dict["layer2.0.conv2.weight"].astype(dtype)
        kernel[3, 4, 1] = value
        state_dict["layer2.0.conv2.weight"] = kernel
        with pytest.raises(rj.WeightsError, match=r"conv2\.weight \(3 of 2304 values\)$"):
            rj.from_torch(model, state_dict)

    @pytest.mark.parametrize("x64", [False, True])
    def test_numbers_that_are_finite_in_64_bits_alone(self, model, state_dict, x64):
        bias = np.full(state_dict["bn1.bias"].shape, 1e300)
        with jax.enable_x64(x64):
            if x64:
                kept = rj.from_torch(model, state_dict | {"bn1.bias": bias})
                assert kept["params"]["bn1"]["bias"].max() == 1e300
            else:
                with pytest.raises(rj.WeightsError, match=r"bn1\.bias \(8 of 8 values\)$"):
                    rj.from_torch(model, state_dict | {"bn1.bias": bias})

    def test_a_head_that_is_not_read_may_hold_anything(self, model, state_dict):
        state_dict["fc.weight"][0] = np.nan
        rj.from_torch(model, state_dict, head="reinit")

    def test_variables_of_another_model(self, model):
        variables = random_variables(model)
        del variables["params"]["fc"]["bias"]
        variables["params"]["bn1"]["scale"] = np.zeros(9, np.float32)
        variables["params"]["new"] = {"kernel": np.zeros(3, np.float32)}
        with pytest.raises(rj.WeightsError) as caught:
            rj.to_torch(model, variables)
        assert str(caught.value) == (
            "the variables do not fit the model; missing: fc.bias; unexpected: params/new/kernel; "
            "wrong shape: bn1.weight ((9,), the model's is (8,))"
        )

    def test_norm_without_counterpart(self):
        from flax import linen as nn

        class Odd(nn.Module):
            scale_init: object
            dtype: object
            axis_name: object

            @nn.compact
            def __call__(self, x, train):
                return x * self.param("gamma", self.scale_init, (1, 1, 1, x.shape[-1]))

        with pytest.raises(
            rj.WeightsError,
            match=r"`params/bn1/gamma` has no counterpart .* must be one of kernel, scale, bias",
        ):
            rj.from_torch(tiny(norm_layer=Odd), {})
