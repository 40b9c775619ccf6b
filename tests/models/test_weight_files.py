"""Weight files: both formats, both ways, and what is refused."""

import contextlib
import sys

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import resnet_jax as rj

SUFFIXES = [".safetensors", ".pth", ".pt"]


@pytest.fixture(scope="module")
def model():
    return rj.ResNet(rj.Bottleneck, (1, 1, 1, 1), 10, base_planes=8)


@pytest.fixture(scope="module")
def variables(model):
    return jax.jit(model.init)(jax.random.key(0), np.zeros((1, 32, 32, 3), np.float32))


def assert_same(tree, other):
    jax.tree.map(np.testing.assert_array_equal, tree, other)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_is_read_as_it_was_written(model, variables, tmp_path, suffix):
    path = tmp_path / "new" / f"weights{suffix}"
    rj.save_weights(path, model, variables)
    assert_same(rj.load_weights(model, str(path)), variables)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_safetensors_says_whose_layout_it_has(model, variables, tmp_path):
    path = tmp_path / "weights.safetensors"
    rj.save_weights(path, model, variables, num_batches_tracked=5)
    assert b'"format":"pt"' in path.read_bytes()[:4000]
    arrays = load_file(path)
    assert arrays["bn1.num_batches_tracked"] == 5
    np.testing.assert_array_equal(
        arrays["fc.weight"], np.asarray(variables["params"]["fc"]["kernel"]).T
    )


def test_pth_is_a_torch_state_dict(model, variables, tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "weights.pth"
    rj.save_weights(path, model, variables)
    state_dict = torch.load(path, weights_only=True)
    assert list(state_dict) == list(rj.to_torch(model, variables))
    assert all(isinstance(value, torch.Tensor) for value in state_dict.values())


@pytest.mark.parametrize("entry", ["state_dict", "model_state_dict", "model"])
def test_checkpoints_are_unwrapped(model, variables, tmp_path, entry):
    torch = pytest.importorskip("torch")
    tensors = {f"module.{n}": torch.tensor(a) for n, a in rj.to_torch(model, variables).items()}
    torch.save({"epoch": 3, entry: tensors, "optimizer": {}}, tmp_path / "checkpoint.pth")
    assert_same(rj.load_weights(model, tmp_path / "checkpoint.pth"), variables)


def test_torch_tensors_are_copied_and_bfloat16_is_read(model, variables):
    torch = pytest.importorskip("torch")
    tensors = {n: torch.tensor(a) for n, a in rj.to_torch(model, variables).items()}
    read = rj.from_torch(model, tensors)
    half = rj.from_torch(
        model,
        {n: t.bfloat16().requires_grad_() for n, t in tensors.items() if not n.endswith("tracked")},
    )
    np.testing.assert_array_equal(
        half["params"]["fc"]["kernel"], tensors["fc.weight"].bfloat16().float().numpy().T
    )
    for tensor in tensors.values():
        tensor.zero_()
    assert_same(read, variables)


def test_head_and_key_are_passed_on(model, variables, tmp_path):
    path = tmp_path / "weights.safetensors"
    rj.save_weights(path, model, variables)
    tuned = model.clone(num_classes=3)
    with pytest.raises(rj.WeightsError, match=r"fc\.weight \(\(10, 256\), the model's is"):
        rj.load_weights(tuned, path)
    key = jax.random.key(4)
    read = rj.load_weights(tuned, path, head="reinit", head_key=key)
    assert_same(
        read, rj.from_torch(tuned, rj.to_torch(model, variables), head="reinit", head_key=key)
    )


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_existing_file_is_kept_unless_told(model, variables, tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(b"precious")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        rj.save_weights(path, model, variables)
    assert path.read_bytes() == b"precious"
    rj.save_weights(path, model, variables, overwrite=True)
    assert_same(rj.load_weights(model, path), variables)


@contextlib.contextmanager
def largest_file(size):
    """Let the operating system refuse to write beyond `size` bytes, as if the disk were full."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_failed_write_leaves_the_old_file_and_no_other(model, variables, tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(b"precious")
    # safetensors and torch raise exceptions of their own.
    refused = pytest.raises(OSError, match=r"File too large|unexpected pos")
    with refused as caught, largest_file(1000):
        rj.save_weights(path, model, variables, overwrite=True)
    assert caught.value.filename == str(path)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_files(model, variables, tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    rj.save_weights(path, model, variables)
    whole = path.read_bytes()
    for damaged in (b"", b"not weights at all", whole[:4097], whole[: len(whole) // 2], whole[:-1]):
        path.write_bytes(damaged)
        with pytest.raises(rj.WeightsError, match="is damaged or no file of weights"):
            rj.load_weights(model, path)


def test_a_pickled_object_is_not_run(model, tmp_path):
    torch = pytest.importorskip("torch")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pth")
    with pytest.raises(
        rj.WeightsError,
        match=r"holds objects beside its tensors \(torch\.nn\.modules\.linear\.Linear\)",
    ):
        rj.load_weights(model, tmp_path / "module.pth")
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    with pytest.raises(rj.WeightsError, match="holds a list, not tensors by name"):
        rj.load_weights(model, tmp_path / "list.pth")


def test_a_home_folder(model, variables, tmp_path, monkeypatch):
    """No folder with the name ~ is made."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    rj.save_weights("~/a.safetensors", model, variables)
    assert (tmp_path / "home/a.safetensors").is_file()
    rj.load_weights(model, "~/a.safetensors")
    for use in (rj.load_weights, lambda model, path: rj.save_weights(path, model, variables)):
        with pytest.raises(ValueError, match="no home folder is known for ~nobody-here"):
            use(model, "~nobody-here/a.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_names_with_another_ending(model, variables, tmp_path):
    for path in (tmp_path / "weights.npz", tmp_path / "weights"):
        with pytest.raises(rj.WeightsError, match=r"must end in \.safetensors, \.pth or \.pt"):
            rj.save_weights(path, model, variables)
    with pytest.raises(FileNotFoundError, match=r"no\.safetensors\) does not exist"):
        rj.load_weights(model, tmp_path / "no.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_safetensors_needs_no_torch(model, variables, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    rj.save_weights(tmp_path / "weights.safetensors", model, variables)
    assert_same(rj.load_weights(model, tmp_path / "weights.safetensors"), variables)
    with pytest.raises(ImportError, match=r"pip install torch\); a \.safetensors file does"):
        rj.save_weights(tmp_path / "weights.pth", model, variables)
    (tmp_path / "weights.pt").write_bytes(b"\x80\x02")
    with pytest.raises(ImportError, match=r"pip install torch"):
        rj.load_weights(model, tmp_path / "weights.pt")


def test_a_file_with_other_tensors(model, variables, tmp_path):
    arrays = rj.to_torch(model, variables)
    arrays["head.weight"] = arrays.pop("fc.weight")
    save_file(arrays, tmp_path / "other.safetensors")
    with pytest.raises(rj.WeightsError, match=r"missing: fc\.weight; unexpected: head\.weight;"):
        rj.load_weights(model, tmp_path / "other.safetensors")
