"""Inference: a forward pass with and without folding, and image files, beside eager torch.

    python -m experiments.benchmarks.inference
    python -m experiments.benchmarks.inference --parts predict --networks resnet50 --images 500

All sides run in float32 on the CPU and take turns. The forward pass is on random images: ours as it
is trained, ours with folded batch normalisations, and torch's in evaluation mode and
`inference_mode`, in the better of its memory layouts. Predicting is the work of
`experiments.predict`, on JPEG files that lie in the system's cache: decoding, resizing, cropping,
the network, and the five likeliest classes. Torch does it with torchvision's transforms and a
`DataLoader`, with and without processes that decode; the better one counts. A ratio is torch's time
over ours: above 1, ours is faster. Predicting is timed by the wall clock alone, as other processes
decode. torch must be installed, and torchvision for the predictions.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .command_line import CommandLine
from .harness import (
    Build,
    Summary,
    compare,
    describe_machine,
    exit_code,
    new_file,
    print_table,
    save,
)

NETWORKS = ("resnet34", "resnet50", "resnext50_32x4d")
PARTS = ("forward", "predict")
TRANSFORM: dict[str, Any] = {
    "resize": 256,
    "crop": 224,
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
}
"""How image files are prepared, as by torchvision's presets for ImageNet."""


def our_forward(
    *, variant: str, batch: int, size: int, folded: bool
) -> dict[str, Callable[[], Any]]:
    """Build our forward pass on random images."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from resnet_jax.models import create_model, fold_batch_norm

    model = create_model(variant, 10)
    images = jnp.asarray(
        np.random.default_rng(0).standard_normal((batch, size, size, 3), np.float32)
    )
    variables = jax.jit(model.init)(jax.random.key(0), images[:1])
    apply = jax.jit(model.apply)
    if folded:
        network, variables = fold_batch_norm(model, variables)
        apply = jax.jit(network.apply)
    return {"forward": lambda: jax.block_until_ready(apply(variables, images))}


def our_predict(*, variant: str, paths: Sequence[Path], batch: int) -> dict[str, Callable[[], Any]]:
    """Build our classification of image files."""
    import jax
    import jax.numpy as jnp

    from resnet_jax.data import ImageTransform
    from resnet_jax.models import create_model

    from ..class_names import Names
    from ..network import Network
    from ..predict import predict

    model, transform = create_model(variant), ImageTransform(**TRANSFORM)
    crop = transform.crop
    variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, crop, crop, 3)))
    names = Names.of([str(index) for index in range(1000)])
    network = Network(model, variables, names, transform, origin="random weights")
    return {"predict": lambda: list(predict(network, paths, batch_size=batch))}


def torch_forward(**arguments: Any) -> dict[str, Callable[[], Any]]:
    """Build torch's forward pass."""
    from .torch_inference import forward_jobs

    return forward_jobs(**arguments)


def torch_predict(**arguments: Any) -> dict[str, Callable[[], Any]]:
    """Build torch's classification of image files."""
    from .torch_inference import predict_jobs

    return predict_jobs(**arguments, **TRANSFORM)


def measure_forward(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure and print the forward passes, one network at a time."""
    figures, rows = [], []
    for variant in options.networks:
        common = {"variant": variant, "batch": options.batch, "size": options.size}
        sides: dict[str, tuple[Build, dict[str, Any]]] = {
            "ours": (our_forward, {**common, "folded": False}),
            "ours folded": (our_forward, {**common, "folded": True}),
            "torch NCHW": (torch_forward, {**common, "layout": "NCHW"}),
            "torch channels_last": (torch_forward, {**common, "layout": "channels_last"}),
        }
        times = compare(sides, repeats=options.repeats, budget=60)["forward"]
        plain, folded = (times[name].seconds(options.clock) for name in ("ours", "ours folded"))
        torch = _best_torch(times, options.clock)
        milliseconds = [1e3 * plain, 1e3 * folded, 1e3 * torch]
        rows.append([variant, *milliseconds, torch / plain, torch / folded])
        of_sides = {name: asdict(summary) for name, summary in times.items()}
        figures.append({"network": variant, "sides": of_sides})
    header = ["network", "ours ms", "folded ms", "torch ms", "torch/ours", "torch/folded"]
    print_table(header, rows)
    return figures


def measure_predict(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure and print the classification of image files, one network at a time."""
    from .photographs import encoded, write_folder

    figures, rows = [], []
    with tempfile.TemporaryDirectory() as folder:
        write_folder(Path(folder), encoded(options.images, options.width))
        paths = sorted(Path(folder).rglob("*.jpg"))
        for variant in options.networks:
            common = {"variant": variant, "paths": paths, "batch": options.batch}
            sides: dict[str, tuple[Build, dict[str, Any]]] = {"ours": (our_predict, common)}
            for workers in sorted({0, os.cpu_count() or 1}):
                arguments = {**common, "workers": workers}
                sides[f"torch, {workers} workers"] = (torch_predict, arguments)
            times = compare(sides, repeats=options.repeats, budget=180)["predict"]
            ours, torch = times["ours"].wall, _best_torch(times, "wall")
            rows.append([variant, options.images / ours, options.images / torch, torch / ours])
            of_sides = {name: asdict(summary) for name, summary in times.items()}
            figures.append({"network": variant, "images": options.images, "sides": of_sides})
    print_table(["network", "ours images/s", "torch images/s", "ours/torch"], rows)
    return figures


def _best_torch(times: dict[str, Summary], clock: str) -> float:
    """Return the seconds of the fastest side of torch's."""
    return min(times[name].seconds(clock) for name in times if name.startswith("torch"))


def work(argv: Sequence[str] | None) -> int:
    """Do what the command line says; return the exit code."""
    parser = CommandLine(__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--batch", type=int, default=32, help="images")
    parser.add_argument("--size", type=int, default=110, help="pixels of a random image's side")
    parser.add_argument("--images", type=int, default=2000, help="files to classify")
    parser.add_argument("--width", type=int, default=500, help="pixels of a file's width")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each job of each side")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--json", type=new_file, help="also write the figures to this file")
    options = parser.parse_args(argv)
    print(f"{describe_machine()}\n", flush=True)
    figures: dict[str, Any] = {"clock": options.clock}
    if "forward" in options.parts:
        figures["forward"] = measure_forward(options)
        print()
    if "predict" in options.parts:
        figures["predict"] = measure_predict(options)
    save(options.json, figures)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(lambda: work(argv))


if __name__ == "__main__":
    raise SystemExit(main())
