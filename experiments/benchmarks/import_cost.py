"""Seconds to import the library, in whole and in part, against `import jax, flax.linen`.

    python -m experiments.benchmarks.import_cost

Each import runs in a process of its own. The statements take turns, so that a change in the load
of the machine affects all of them. The time of a process that imports nothing is subtracted.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from .command_line import CommandLine
from .harness import describe_machine, exit_code, new_file, print_table, save

NOTHING = "pass"
REFERENCE = "import jax, flax.linen"
STATEMENTS = (
    "import resnet_jax",
    "from resnet_jax import create_model",
    "from resnet_jax import load_dataset",
    "from resnet_jax import make_train_step",
    "from resnet_jax import fit",
    "from resnet_jax import predict_logits, accuracy",
    "from resnet_jax import plot_accuracy",
    "from resnet_jax import *",
)


def measure(statements: Sequence[str], repeats: int) -> dict[str, float]:
    """Return the median seconds of a process that runs each statement.

    Args:
        statements: statements of Python.
        repeats: number of processes per statement, after one that is not timed.
    """
    seconds: dict[str, list[float]] = {statement: [] for statement in statements}
    for repeat in range(repeats + 1):
        for statement in statements:
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", statement], check=True)
            if repeat:
                seconds[statement].append(time.perf_counter() - start)
    return {statement: statistics.median(taken) for statement, taken in seconds.items()}


def work(argv: Sequence[str] | None) -> int:
    """Do what the command line says; return the exit code."""
    parser = CommandLine(__doc__)
    parser.add_argument("--repeats", type=int, default=7, help="processes for each statement")
    parser.add_argument("--json", type=new_file, help="also write the figures to this file")
    options = parser.parse_args(argv)
    print(f"{describe_machine()}\n", flush=True)
    taken = measure((NOTHING, REFERENCE, *STATEMENTS), options.repeats)
    seconds = {statement: taken[statement] - taken[NOTHING] for statement in taken}
    rows = [
        [statement, seconds[statement], seconds[statement] / seconds[REFERENCE]]
        for statement in (REFERENCE, *STATEMENTS)
    ]
    print_table(["statement", "s", "ratio"], rows)
    save(options.json, seconds)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(lambda: work(argv))


if __name__ == "__main__":
    raise SystemExit(main())
