"""The zoo: folders that load, whose cards say how to train them again; nothing is trained twice."""

import hashlib
import shlex

import jax.numpy as jnp
import numpy as np
import pytest
from tiny_runs import write_run

import resnet_jax as rj
from experiments import cifar_resnet18_modern, cifar_resnet20, recipe, zoo
from experiments.flat import flatten, override
from resnet_jax.run import DataFacts

FACTS = DataFacts(("cat", "dog", "hen"), 32, (0.5, 0.4, 0.3), (0.2, 0.2, 0.2))


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """Works in an empty folder; returns the recipes that were trained, which takes no time."""
    monkeypatch.chdir(tmp_path)
    jobs = []

    def train(job):
        jobs.append(job)
        if not job.run.resume:
            # Nothing is computed with the weights, so the smallest of each family stand for all.
            write_run(
                job.run.run_dir, override(job, base_planes=4), classes=3, channels=3, data=FACTS
            )
            (job.run.run_dir / "metrics.jsonl").write_text('{"event": "step"}\n')

    return jobs, train


OPTIONS = ["--out", "zoo", "--dataset", "folder", "--data-dir", "photos", "--seed", "7"]
OPTIONS += ["--data-name", "my photos", "--epochs", "4"]


def test_the_folders_load_and_their_cards_say_how_they_were_made(trained, tmp_path):
    jobs, train = trained
    assert zoo.main(OPTIONS, train=train) == 0
    assert len(jobs) == 3
    for name, job in zip(zoo.NETWORKS, jobs, strict=True):
        network = rj.load_pretrained(str(tmp_path / "zoo" / name))
        assert network.class_names == FACTS.class_names
        logits = network.model.apply(network.variables, jnp.zeros((1, 32, 32, 3)), train=False)
        assert np.isfinite(logits).all()
        card = (tmp_path / "zoo" / name / "README.md").read_text()
        log = tmp_path / "runs/zoo" / name / "metrics.jsonl"
        assert hashlib.sha256(log.read_bytes()).hexdigest() in card
        assert "Trained on my photos" in card
        assert "- seed: 7" in card
        # The command of the card makes the options of the training.
        (line,) = [line for line in card.splitlines() if line.startswith("python -m experiments.")]
        _, _, module, *words = shlex.split(line)
        defaults = {
            "cifar_resnet20": cifar_resnet20,
            "cifar_resnet18_modern": cifar_resnet18_modern,
        }
        parsed = recipe.parse(defaults[module.split(".")[1]].CONFIG, words, description="")
        expected = flatten(override(job, run_dir=parsed.run.run_dir))
        assert flatten(parsed) == expected


def test_a_second_command_goes_on_and_replaces_nothing_unasked(trained, tmp_path, capsys):
    jobs, train = trained
    options = [*OPTIONS, "--networks", "resnet20"]
    assert zoo.main(options, train=train) == 0
    assert zoo.main(options, train=train) == 2
    assert "zoo/resnet20" in capsys.readouterr().err
    assert len(jobs) == 1
    assert zoo.main([*options, "--overwrite"], train=train) == 0
    assert [job.run.resume for job in jobs] == [False, True]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--networks vgg", "`networks` (='vgg') must be one of resnet20, resnet56"),
        ("--epochs 0", "`epochs` (=0) must be at least 1"),
        ("--dataset digits", "`dataset` (='digits') must be one of cifar10"),
    ],
)
def test_mistakes(options, message, trained, tmp_path, capsys):
    jobs, train = trained
    assert zoo.main(["--out", "zoo", *options.split()], train=train) == 2
    assert message in capsys.readouterr().err
    assert not jobs
    assert not any(tmp_path.iterdir())
