"""A thousand short epochs: memory, file handles, step time and the folder stay as they are."""

import json
import time

import pytest

from .runs import start_tiny_run

EPOCHS = 1000


@pytest.mark.slow
def test_a_thousand_epochs(tmp_path):
    start = time.perf_counter()
    figures = tmp_path / "figures.jsonl"
    process = start_tiny_run(
        tmp_path / "run",
        *("--epochs", str(EPOCHS), "--batch-size", "640", "--checkpoint-every", "0"),
        *("--log-every", "100", "--lr", "0.001"),
        figures=figures,
    )
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    rows = [json.loads(line) for line in figures.read_text().splitlines()]
    assert len(rows) == EPOCHS

    def mean(name, first, last):
        return sum(row[name] for row in rows[first:last]) / (last - first)

    for name in ("resident_mb", "handles", "threads", "step_ms", "folder_kb", "checkpoints"):
        parts = [mean(name, first, first + 100) for first in range(100, EPOCHS, 200)]
        print(f"\n{name}: " + ", ".join(f"{part:.1f}" for part in parts), end="")
    print(f"\n{time.perf_counter() - start:.0f} s")
    early, late = (100, 200), (EPOCHS - 100, EPOCHS)
    # Losses and accuracies are kept: a few hundred bytes an epoch.
    assert mean("resident_mb", *late) < mean("resident_mb", *early) + 60
    # Those of the save in the background come and go; one lost in a hundred epochs would add 8.
    for name in ("handles", "threads"):
        assert mean(name, *late) < mean(name, *early) + 3
    assert max(row["checkpoints"] for row in rows) <= 4
