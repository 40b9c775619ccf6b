"""The benchmark of the operations: the layers of the networks, the sides, the parts of a step."""

import json
from collections import Counter

import jax
import pytest

from experiments.benchmarks import ops
from experiments.benchmarks.bench import Built
from experiments.benchmarks.harness import Failure
from experiments.benchmarks.jax_ops import JaxOps, layers_of
from experiments.benchmarks.layers import Activations, Convolution
from experiments.benchmarks.turns import Result

SMALL = Convolution(8, 4, 8, 3, stride=2, groups=2)


@pytest.mark.parametrize(
    ("variant", "count", "some"),
    [
        ("resnet34", 36, {Convolution(28, 64, 64, 3): 6, Convolution(7, 256, 512, 3, 2): 1}),
        ("resnet50", 53, {Convolution(7, 256, 1024, 1): 6, Convolution(28, 128, 128, 3, 2): 1}),
        ("resnext50_32x4d", 53, {Convolution(14, 256, 256, 3, groups=32): 3}),
    ],
)
def test_the_layers_of_a_network(variant, count, some):
    layers = layers_of(variant, 110)
    convolutions = {layer: n for layer, n in layers.items() if isinstance(layer, Convolution)}
    norms = sum(n for layer, n in layers.items() if layer.name.startswith("batch norm"))
    assert sum(convolutions.values()) == norms == count
    assert some.items() <= convolutions.items()
    assert layers[Convolution(110, 3, 64, 7, 2)] == 1
    assert layers[Activations("max pool", 55, 64)] == 1


@pytest.fixture
def torch_threads():
    """Leave torch its threads, which a side changes in its process."""
    import torch

    count = torch.get_num_threads()
    yield
    torch.set_num_threads(count)


@pytest.mark.parametrize("layer", [SMALL, SMALL.norm, Activations("max pool", 8, 4)])
def test_the_sides_run_all_jobs_of_a_layer(layer, torch_threads, monkeypatch):
    from experiments.benchmarks.torch_ops import TorchOps

    sides = [JaxOps(layer=layer, batch=2, plain=plain) for plain in (False, True)]
    sides += [TorchOps(layer=layer, batch=2, layout=name) for name in ("NCHW", "channels_last")]
    for side in sides:
        monkeypatch.setattr(side, "turn_seconds", 0.0)
        for job in layer.jobs:
            side.build(job)
            assert side.turn(job).wall > 0


def result(milliseconds):
    return Result(milliseconds / 1e3, milliseconds / 2e3, None, 1, Built(1.0, 1, 0, "process"))


def test_a_row_has_the_better_layout_of_torch_and_what_is_missing():
    found = {
        "ours": result(8),
        "lax": Failure("MemoryError: 8 GiB", "", out_of_memory=True),
        "torch NCHW": result(6),
        "torch channels_last": result(4),
    }
    assert ops.Row.of("forward", found, "wall").cells() == ["forward", 8.0, "-", 4.0, 0.5]
    assert ops.Row.of("forward", found, "cpu").ours == 4.0
    assert ops.Row.of("forward", {}, "wall").cells() == ["forward", "-", "-", "-", "-"]


def test_the_parts_of_a_step_are_the_rows_times_the_layers():
    images = Convolution(8, 3, 8, 3)
    layers = Counter({images: 1, SMALL: 3, SMALL.norm: 2, Activations("max pool", 8, 8): 1})
    benchmark = ops.Benchmark(["ours", "torch"], batch=2, repeats=1, clock="wall")
    for layer in layers:
        for job in layer.jobs:
            operation = f"{layer.name} {job}"
            benchmark.rows[operation] = ops.Row(operation, 1.0, None, 2.0)
    step = ops.Row("resnet", 20.0, None, 30.0)
    parts = {row.operation: (row.ours, row.torch) for row in benchmark.parts("net", layers, step)}
    assert parts == {
        "net: convolutions, forward": (4.0, 8.0),
        "net: convolutions, input gradients": (3.0, 6.0),  # the images need none
        "net: convolutions, kernel gradients": (4.0, 8.0),
        "net: normalisations, both ways": (2.0, 4.0),
        "net: max pool, both ways": (1.0, 2.0),
        "net: all else": (6.0, 2.0),
        "net: the step": (20.0, 30.0),
    }
    benchmark.rows[f"{SMALL.name} forward"] = ops.Row("", None, None, 2.0)
    rows = {row.operation: row for row in benchmark.parts("net", layers, step)}
    assert rows["net: convolutions, forward"].ours is rows["net: all else"].ours is None


def test_the_command_measures_what_is_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir)
    options = ["--networks", "resnet34", "--without", "lax", "--only", "max pool"]
    options += ["--batch", "1", "--size", "32", "--repeats", "1"]
    assert ops.main([*options, "--json", str(tmp_path / "rows.json")]) == 0
    rows = json.loads((tmp_path / "rows.json").read_text())["figures"]["rows"]
    assert [row["operation"] for row in rows] == [
        "max pool 64 @16 forward",
        "max pool 64 @16 both ways",
    ]
    assert all(row["ours"] > 0 and row["torch"] > 0 and row["lax"] is None for row in rows)
    assert "| 1 | max pool 64 @16 forward |" in capsys.readouterr().out
