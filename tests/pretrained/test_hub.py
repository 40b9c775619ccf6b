"""Repositories of the Hugging Face Hub, by a server on loopback that speaks like it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from .conftest import NAMES
from .hub_server import COMMITS, serve

pytest.importorskip("huggingface_hub")
WORKER = Path(__file__).with_name("hub_worker.py")


@pytest.fixture(scope="module")
def server(folder):
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    config, weights = files["config.json"], files["model.safetensors"]
    repositories = {
        "tiny/net": files,
        "tiny/renamed": {"config.json": config, "pytorch_model.bin": weights},
        "tiny/empty": {"config.json": config},
        "tiny/broken": files,
    }
    with serve(repositories) as server:
        yield server


def run(cache, url, *sources, **variables):
    """Return the results of the worker, which sees no proxy and no other cache."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("HF_") and "proxy" not in name.lower()
    }
    environment |= {"HF_HOME": str(cache), "HF_ENDPOINT": url, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    command = [sys.executable, str(WORKER), *sources]
    done = subprocess.run(
        command, env=environment | variables, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_repositories_and_the_cache(server, tensors, tmp_path):
    sources = ["tiny/net", "hf-hub:tiny/net@v2", "hf_hub:tiny/renamed"]
    loaded = run(tmp_path, server.url, *sources)
    for result, source in zip(
        loaded,
        [f"net@{COMMITS['main']}", f"net@{COMMITS['v2']}", f"renamed@{COMMITS['main']}"],
        strict=True,
    ):
        assert result["source"] == f"hf-hub:tiny/{source}"
        assert result["names"] == list(NAMES)
        np.testing.assert_allclose(result["sum"], tensors["fc.weight"].sum(), rtol=1e-5)
    fetched = [line.split("/")[-1] for line in server.requests if re.match("GET.*/resolve/", line)]
    # The files of both revisions are the same.
    weights = ["model.safetensors", "pytorch_model.bin"]
    assert sorted(fetched) == ["config.json", "config.json", *weights]
    assert "HEAD /tiny/net/resolve/v2/config.json" in server.requests

    before = len(server.requests)
    again = run(tmp_path, server.url, *sources, "tiny/other", HF_HUB_OFFLINE="1")
    assert [r["sum"] for r in again[:3]] == [r["sum"] for r in loaded]
    assert again[3]["error"] == "OSError"
    assert again[3]["message"].startswith(
        "`source` (=tiny/other) is not in the cache, and the Hub cannot be reached; copy "
        "config.json and model.safetensors of https://huggingface.co/tiny/other into a folder"
    )
    assert len(server.requests) == before


def test_what_fails(server, tmp_path):
    sources = ["tiny/gone", "tiny/net@v3", "tiny/empty", "tiny/failing", "tiny/broken"]
    results = run(tmp_path, server.url, *sources)
    assert [result["error"] for result in results] == [
        *("FileNotFoundError", "FileNotFoundError", "WeightsError", "OSError", "OSError")
    ]
    messages = [result["message"] for result in results]
    assert messages[0] == "`source` (=tiny/gone) is no repository of the Hub that you may read"
    assert messages[1] == "`source` (=tiny/net@v3) has no such revision"
    assert "has no weights; it must hold model.safetensors" in messages[2]
    for message in messages[3:]:
        assert "\n" not in message
        assert "copy config.json and model.safetensors" in message
    assert not list(tmp_path.rglob("snapshots/*/model.safetensors"))


def test_without_a_network(tmp_path):
    (result,) = run(tmp_path, "http://127.0.0.1:9", "tiny/net")
    assert result["error"] == "OSError"
    assert "the Hub cannot be reached; copy config.json and model.safetensors" in result["message"]


def test_without_the_library(tmp_path, monkeypatch):
    import resnet_jax as rj

    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"pip install huggingface_hub\); or copy config\.json"):
        rj.load_pretrained("timm/resnet50.a1_in1k")
