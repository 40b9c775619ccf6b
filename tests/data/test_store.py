"""The prepared copy: array_record, in TFDS's order, made and read without TensorFlow."""

import json
import os
import subprocess
import sys
from pathlib import Path

from resnet_jax.data import load_dataset

ROOT = Path(__file__).parents[2]


def test_the_prepared_copy_is_array_record_and_shuffled(cifar, tmp_path):
    files = cifar(per_batch=30)
    load_dataset("cifar10", archive=files.binary, data_dir=tmp_path / "d", datasets=files.datasets)
    folder = tmp_path / "d" / "cifar10" / "1.0.0"
    info = json.loads((folder / "dataset_info.json").read_text())
    assert info["fileFormat"] == "array_record"
    import tensorflow_datasets as tfds

    source = tfds.builder_from_directory(folder).as_data_source("train")
    ids = [bytes(record["id"]).decode() for record in source]
    assert sorted(ids) == [f"train_{i:05d}" for i in range(150)]
    assert ids != sorted(ids)  # so that putting them in order is really needed
    assert source.dataset_info.features["label"].names[3] == "cat"


NO_TENSORFLOW = '''
import importlib.machinery
import sys
from pathlib import Path

class Refuse:
    """Finds TensorFlow, so that it looks installed, and fails if it is imported."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tensorflow":
            return importlib.machinery.ModuleSpec(name, self)

    def create_module(self, spec):
        raise RuntimeError("imported " + spec.name)

    def exec_module(self, module):
        raise AssertionError

sys.meta_path.insert(0, Refuse())
from resnet_jax.data import load_dataset
from tests.data.cifar_files import CifarFiles

folder = Path(sys.argv[1])
files = CifarFiles(folder, "cifar10", 4, 6)
dataset = load_dataset(
    "cifar10", archive=files.binary, data_dir=folder / "d", datasets=files.datasets
)
assert (dataset.train.images == files.train_images).all()
assert "tensorflow_datasets" in sys.modules
assert not [name for name in sys.modules if name.split(".")[0] == "tensorflow"]
'''


def test_tensorflow_is_neither_needed_nor_imported(tmp_path):
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", NO_TENSORFLOW, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "Preparing cifar10 (only once)",
        "Reading cifar10 (only once)",
    ]
