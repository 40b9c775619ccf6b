"""The ImageNet recipe in two real processes, from files to a report that `validate` agrees with."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from pictures import write_folder
from test_processes import free_port

from experiments import validate

ROOT = Path(__file__).parents[2]
CLASSES = ("n01440764", "n01443537", "n01484850")
ARGUMENTS = [
    *("--data-dir", "photos", "--run-dir", "run", "--base-planes", "4", "--track"),
    *("--resize", "36", "--crop", "32", "--progressive", "24", "--epochs", "2"),
    *("--warmup-epochs", "0.5", "--batch-size", "16", "--eval-batch-size", "8", "--workers", "1"),
]


@pytest.mark.slow
def test_resnet50_from_files_to_the_report(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "photos" / "train", classes=CLASSES, per_class=16)
    write_folder(tmp_path / "photos" / "val", classes=CLASSES, per_class=5)
    address = f"127.0.0.1:{free_port()}"
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": "1",
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
    }
    running = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "experiments.imagenet_resnet50", *ARGUMENTS),
                *("--coordinator", address, "--num-processes", "2", "--process-id", str(number)),
            ],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    try:
        outputs = [process.communicate(timeout=1200) for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0, 0], outputs
    assert "48 train, 15 valid and test" in outputs[0][1]
    assert "| 24 px | Train (running): " in outputs[0][0]
    assert "Epoch" not in outputs[1][0]
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["config"]["variant"] == "resnet50"
    assert (report["image_sizes"], report["tests_on_valid"]) == ([24, 32], True)
    assert sum(map(sum, report["confusion_matrix"])) == 15
    assert (tmp_path / "run" / "report.html").exists()
    command = ["--run", "run", "--checkpoint", "last", "--data-dir", "photos", "--out", "out.json"]
    assert validate.main(command) == 0
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["images"] == 15
    assert result["top1"] == pytest.approx(report["test_accuracy"])
