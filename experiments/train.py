"""Training and evaluating a job, from its options to the run folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax

from resnet_jax.data import Pipeline
from resnet_jax.ops import cpu_lowering
from resnet_jax.run import (
    History,
    Identity,
    JsonLines,
    Reporter,
    SinkGroup,
    StopRequest,
    Task,
    fit,
    processes,
)
from resnet_jax.training import Engine, TrainState

from .cli import advise_when_stopped, exit_code
from .flat import fixed_options, flatten
from .job import CreateModel, Job


class Result(NamedTuple):
    """What a training returns.

    Attributes:
        history: minibatch losses, training accuracies (%) and validation accuracies (%).
        state: the state after the last step.
    """

    history: History
    state: TrainState


def train(
    job: Job,
    *,
    create_model: CreateModel | None = None,
    evaluate: Callable[..., None] | None = None,
    reporter: Reporter | None = None,
    stop: StopRequest | None = None,
) -> Result:
    """Train, evaluate, and write the run folder.

    Args:
        job: the options.
        create_model: a function from the number of classes to the network; None makes that of the
            options.
        evaluate: evaluates the result, see `experiments.evaluate.evaluate`, which None takes.
        reporter: what prints; None prints to standard output.
        stop: notes signals, see `fit`.

    Raises:
        ValueError: before anything is written, for options that cannot work; as `DatasetError`
            if the data set cannot be loaded, as `CheckpointError` if the run cannot be resumed or
            saved, as `RunFolderError` if its folder is in use or cannot be written to.
        NonFiniteLossError: if the loss becomes NaN or infinite.
        Interrupted: if a signal asked to stop the training.
    """
    config = job.check()
    reporter = Reporter() if reporter is None else reporter
    with job.run.build() as folder:
        # The first process may not write before all have found the folder usable.
        processes.wait_for_all("run folder checked")
        job = job.resolve()
        chosen = Identity(fixed_options(job), job.defaults)
        folder.check_options(chosen)
        engine = job.devices.build()
        task, dataset, facts = job.build(create_model)
        engine.check_batch_size(config.batch_size, config.accumulate_steps)
        _check_mixing(job, task, engine)
        found = Identity({"num_classes": len(dataset.class_names), "data": dataset.fingerprint})
        with job.run.build_sinks(folder) as sinks:
            folder.begin(flatten(job), data=facts)
            if jax.default_backend() == "cpu" and processes.is_first():
                reporter.line(f"Convolutions on the CPU: {cpu_lowering()}")
            result = fit(
                task,
                config,
                folder=folder,
                sinks=sinks,
                identity=chosen | found,
                reporter=reporter,
                stop=stop,
            )
            if processes.is_first():
                if evaluate is None:
                    # Matplotlib comes with it.
                    from .evaluate import evaluate as evaluate_test

                    evaluate = evaluate_test
                evaluate(
                    folder,
                    model=job.evaluation.build(task.model),
                    result=result,
                    dataset=dataset,
                    tests_on_valid=dataset.test is task.valid,
                    transform=job.build_test_transform(dataset),
                    random_seed=job.training.seed if job.is_tutorial else None,
                    batch_size=config.eval_batch_size,
                    config=flatten(job),
                    sinks=SinkGroup([JsonLines(folder.log_path), *sinks.sinks]),
                    reporter=reporter,
                )
        processes.wait_for_all("evaluated")
    return Result(result.history, result.state)


def run_command(
    read: Callable[[], Job],
    *,
    create_model: CreateModel | None = None,
    evaluate: Callable[..., None] | None = None,
) -> int:
    """Run the command of a training; return its exit code, see `exit_code`.

    Args:
        read: reads the command line.
        create_model: as for `train`.
        evaluate: as for `train`.
    """

    def work() -> int:
        job = read()
        with advise_when_stopped(
            "go on with the same command and --resume", when=lambda: job.run.build().has_run
        ):
            job.devices.join()
            with processes.lost_processes_explained():
                stop = StopRequest(second_kills=True)
                train(job, create_model=create_model, evaluate=evaluate, stop=stop)
        return 0

    return exit_code(work)


def _check_mixing(job: Job, task: Task, engine: Engine) -> None:
    """Raise unless all else allows that examples are mixed, if they are.

    Raises:
        ValueError: naming the number that must divide the batch, or the option.
    """
    if not any(isinstance(one, Pipeline) and one.mixes for one in task.prepares):
        return
    if job.evaluation.train_accuracy == "running":
        raise ValueError(
            "`train_accuracy` (='running') needs one label for each image, but `augment` mixes "
            "examples; take full or none"
        )
    size, steps = job.training.batch_size, job.training.accumulate_steps
    unit = 2 * engine.num_devices * steps
    if size % unit:
        raise ValueError(
            f"`batch_size` (={size}) must be divisible by {unit}, twice the number of devices "
            "times `accumulate_steps`: `augment` mixes examples in pairs"
        )
