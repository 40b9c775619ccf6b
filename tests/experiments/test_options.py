"""Options: flat names, choices of the tables, messages, and what may change on a resume."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pytest

from experiments import (
    cifar_resnet18_modern,
    cifar_resnet20,
    cifar_resnet34,
    cifar_resnet34_modern,
    cifar_resnet50,
    cifar_resnet50_modern,
    cifar_resnext50_32x4d,
    cifar_resnext50_32x4d_modern,
    imagenet_resnet50,
    imagenet_resnet50_modern,
)
from experiments.choices import check_choices
from experiments.finetune import FineTune, FolderOptions, WeightOptions
from experiments.flat import default_options, fixed_options, flatten, override
from experiments.photo_options import PhotoOptions
from experiments.recipe import PRESETS, Recipe
from resnet_jax.data import DATASETS
from resnet_jax.models import STEMS, VARIANTS
from resnet_jax.run import SINKS
from resnet_jax.training import OPTIMIZERS

FINETUNE = FineTune(
    weights=WeightOptions("a.safetensors"), folder=FolderOptions(data_dir=Path("photos"))
)

# The names under which config.json has always had them.
NAMES = """
preset variant stem base_planes dataset archive data_dir run_dir resume epochs batch_size
eval_batch_size lr momentum nesterov weight_decay label_smoothing seed resize crop augment recipe
schedule warmup_epochs scheduler_on ema_decay flip_test parallel dtype remat accumulate_steps
coordinator num_processes process_id log_every checkpoint_every checkpoint_minutes compile_cache
"""
FREE = """
preset archive data_dir run_dir resume epochs eval_batch_size parallel coordinator num_processes
process_id log_every checkpoint_every checkpoint_minutes compile_cache track resident_gigabytes
"""


def leaves(options):
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        yield from leaves(value) if dataclasses.is_dataclass(value) else [field.name]


@pytest.mark.parametrize("options", [Recipe(), FINETUNE], ids=["recipe", "finetune"])
def test_flat_names_are_unique_and_those_of_older_runs(options):
    names = list(leaves(options))
    assert len(names) == len(set(names))
    assert flatten(options).keys() == set(names)
    assert set(NAMES.split()) <= set(names)


def test_finetuning_saves_what_a_recipe_chooses():
    values = flatten(FINETUNE)
    constants = ("preset", "dataset", "archive", "recipe")
    assert [values[name] for name in constants] == ["none", "folder", None, "default"]
    assert (values["weights"], values["data_dir"]) == ("a.safetensors", Path("photos"))


def test_override():
    changed = override(FINETUNE, weights="b.pth", lr=0.5, run_dir=Path("x"))
    before, after = flatten(FINETUNE), flatten(changed)
    assert {name for name in after if after[name] != before[name]} == {"weights", "lr", "run_dir"}
    assert after["lr"] == 0.5
    with pytest.raises(TypeError, match="Recipe has no option colour"):
        override(Recipe(), colour="red")


@pytest.mark.parametrize(
    ("options", "more"),
    [(Recipe(), ("workers", "image_cache")), (FINETUNE, ("max_megapixels", "image_cache"))],
    ids=["recipe", "finetune"],
)
def test_what_may_change_on_a_resume(options, more):
    values = flatten(options)
    free = {*FREE.split(), *more}
    assert values.keys() - fixed_options(options).keys() == free
    for schedule in ("cosine", "onecycle"):
        annealed = fixed_options(override(options, schedule=schedule))
        assert values.keys() - annealed.keys() == free - {"epochs"}
    assert fixed_options(override(options, schedule="constant")).keys().isdisjoint({"epochs"})


def test_defaults():
    assert default_options(Recipe) == flatten(Recipe())
    values = flatten(FINETUNE)
    assert default_options(FineTune).items() <= values.items()
    assert values.keys() - default_options(FineTune).keys() == {"weights", "data_dir"}


TABLES = {
    "variant": VARIANTS,
    "stem": STEMS,
    "dataset": DATASETS,
    "optimizer": OPTIMIZERS,
}


@pytest.mark.parametrize("name", TABLES)
def test_choices_are_the_rows_of_the_tables(name):
    for row in TABLES[name]:
        check_choices(override(Recipe(), **{name: row}))
    with pytest.raises(ValueError, match=rf"`{name}` \(='none'\) must be one of {row_names(name)}"):
        check_choices(override(Recipe(), **{name: "none"}))


def row_names(name):
    """All of them; the first ones of many."""
    rows = list(TABLES[name])
    if len(rows) <= 20:
        return ", ".join(rows)
    return f"{len(rows)} names, such as {', '.join(rows[:5])}; `python -m experiments --variants`"


def test_several_trackers_or_none():
    for track in ((), tuple(SINKS)):
        check_choices(override(Recipe(), track=track))
    with pytest.raises(ValueError, match=r"`track` \(='paper'\) must be one of tensorboard, "):
        check_choices(override(Recipe(), track=("tensorboard", "paper")))


def test_choices_inside_other_types():
    @dataclass
    class Options:
        plain: str = "anything"
        marked: Annotated[Literal["a", "b"], "mark"] = "a"

    check_choices(Options())
    check_choices(Options(marked="b"))
    with pytest.raises(ValueError, match=r"`marked` \(='c'\) must be one of a, b"):
        check_choices(Options(marked="c"))


NUMBERS = {
    "lr": (0, "must be finite and above 0"),
    "momentum": (1, "must be at least 0 and below 1"),
    "weight_decay": (-1, "must be finite and at least 0"),
    "label_smoothing": (1, "must be at least 0 and below 1"),
    "ema_decay": (1, "must be at least 0 and below 1"),
    "epochs": (0, "must be at least 1"),
    "resident_gigabytes": (-1, "must be finite and at least 0"),
}


@pytest.mark.parametrize("kind", [int, float, np.float32, np.float64, np.int64])
@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_out_of_range(name, kind):
    value, message = NUMBERS[name]
    with pytest.raises(ValueError, match=rf"`{name}` \(={value}(\.0)?\) {message}"):
        override(Recipe(), **{name: kind(value)}).check()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"optimizer": "adamw", "nesterov": True},
            r"`nesterov` \(=True\) is not an option of adamw",
        ),
        ({"beta2": 0.9}, r"`beta2` \(=0.9\) is not an option of sgd"),
        ({"nesterov": True, "momentum": 0.0}, r"`nesterov` \(=True\) needs `momentum`"),
        ({"schedule": "cosine", "scheduler_on": "minibatch_loss"}, "is for `schedule` plateau"),
    ],
)
def test_an_option_without_use_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        override(Recipe(), **options).check()


FOR_FOLDERS = {
    "crop_mode": "squash",
    "interpolation": "bicubic",
    "stream": "always",
    "image_cache": False,
    "test_part": "split",
    "memory_gigabytes": 1.0,
    "least_area": 0.5,
    "draft": True,
    "workers": 3,
}


@pytest.mark.parametrize("name", FOR_FOLDERS)
def test_a_named_data_set_has_no_use_for_the_options_of_a_folder(name):
    value = FOR_FOLDERS[name]
    override(Recipe(), dataset="folder", data_dir=Path("photos"), **{name: value}).check()
    for dataset in ("digits", "cifar10"):
        message = rf"`{name}` \(={value!r}\) is for `dataset` folder, not {dataset}; leave it out"
        with pytest.raises(ValueError, match=message):
            override(Recipe(), dataset=dataset, **{name: value}).check()
        override(Recipe(), dataset=dataset, resume=True, **{name: value}).check()


def test_all_options_of_a_folder_are_refused():
    assert {field.name for field in dataclasses.fields(PhotoOptions)} == {*FOR_FOLDERS, "repeats"}


def test_named_data_sets_are_never_streamed():
    for dataset in ("digits", "cifar10"):
        override(Recipe(), dataset=dataset, stream="never").check()


def test_digits_need_no_folder():
    for dataset in DATASETS:
        config = override(Recipe(), dataset=dataset, data_dir=Path("/nope"))
        if dataset != "digits":
            config.check()
            continue
        with pytest.raises(
            ValueError, match=r"`data_dir` \(=/nope\) is of no use to `dataset` \(='d"
        ):
            config.check()


def test_a_tracker_is_named_once():
    message = r"`track` \(=tensorboard trackio tensorboard\) names tensorboard twice; name each"
    for options in (Recipe(), FINETUNE):
        with pytest.raises(ValueError, match=message):
            override(options, track=("tensorboard", "trackio", "tensorboard")).check()


RECIPES = (
    *(cifar_resnet18_modern, cifar_resnet20, cifar_resnet34, cifar_resnet34_modern),
    *(cifar_resnet50, cifar_resnet50_modern, cifar_resnext50_32x4d),
    *(cifar_resnext50_32x4d_modern, imagenet_resnet50, imagenet_resnet50_modern),
)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_quick_run_of_any_recipe_has_no_option_that_is_refused(recipe):
    quick = {**PRESETS["quick"], **getattr(recipe, "QUICK", {})}
    override(recipe.CONFIG, **quick).check()


@pytest.mark.parametrize("config", [cifar_resnet34.CONFIG, cifar_resnet18_modern.CONFIG])
def test_the_loop_gets_the_options(config):
    config = override(config, seed=7, ema_decay=0.5, resident_gigabytes=0.25, log_every=3)
    config = override(config, reduce_dtype="bfloat16")
    loop = config.check()
    for name in ("epochs", "batch_size", "eval_batch_size", "scheduler_on", "accumulate_steps"):
        assert getattr(loop, name) == flatten(config)[name]
    assert loop.reduce_dtype == "bfloat16"
    assert (loop.seed, loop.ema_decay, loop.resident_gigabytes, loop.log_every) == (7, 0.5, 0.25, 3)
    assert not loop.evaluate_as_trained
    assert override(config, recipe="tutorial").check().evaluate_as_trained


def test_how_gradients_are_summed_is_fixed_for_a_run():
    """An older run, which does not say it, summed them in float32."""
    config = override(Recipe(), reduce_dtype="bfloat16")
    assert fixed_options(config)["reduce_dtype"] == "bfloat16"
    assert default_options(Recipe)["reduce_dtype"] == "float32"
    with pytest.raises(
        ValueError, match=r"`reduce_dtype` \(='float16'\) must be one of float32, b"
    ):
        override(config, reduce_dtype="float16").check()
