"""SIGTERM and SIGINT: the step is finished and saved, and the run goes on from there."""

import os
import random
import signal
import threading
import time

import pytest

from resnet_jax.run import Interrupted, StopRequest

from .runs import TIMEOUT, At, assert_same, log_of, start_tiny_run


def signalling(moment, signum=signal.SIGTERM):
    """Return a reporter that sends a signal to this process at a moment; see `At`."""
    return At(moment, lambda: os.kill(os.getpid(), signum))


def test_ten_moments(run, whole, tmp_path):
    """One run is stopped ten times at random; each stop makes some progress or none."""
    generator = random.Random(0)
    stops, steps = 0, []
    result = None
    while result is None:
        moment = generator.randrange(1, 4) if stops < 10 else 10_000
        try:
            result = run(tmp_path, resume=stops > 0, reporter=signalling(moment))
        except Interrupted as stop:
            stops += 1
            steps.append(int(str(stop).split("after step ")[1].split(",")[0]))
            # Everything done is saved and logged.
            assert (tmp_path / "checkpoints" / str(steps[-1])).is_dir()
            assert log_of(tmp_path)[-1]["step"] == steps[-1]
    assert stops == 10
    assert steps == sorted(steps)
    assert_same(tmp_path, result, whole)


@pytest.mark.parametrize("place", ["Train", "Validation"])
def test_in_an_evaluation(run, whole, tmp_path, place):
    """The state before it is saved, and it is repeated, also when it is stopped once more."""
    with pytest.raises(Interrupted, match="by SIGTERM after step 8, which is saved in"):
        run(tmp_path, reporter=signalling(place))
    assert log_of(tmp_path)[-1]["event"] == "step"
    with pytest.raises(Interrupted, match="after step 8"):
        run(tmp_path, resume=True, reporter=signalling(place))

    # Die after the evaluation that is done again, before another checkpoint.
    def die():
        raise RuntimeError("died")

    with pytest.raises(RuntimeError, match="died"):
        run(tmp_path, resume=True, reporter=At("Epoch 002/003", die))
    assert log_of(tmp_path)[-1]["event"] == "epoch"
    assert_same(tmp_path, run(tmp_path, resume=True), whole)


def test_in_the_last_evaluation(run, whole, tmp_path):
    with pytest.raises(Interrupted, match="after step 24"):
        # The line of the last step.
        run(tmp_path, reporter=signalling(16))
    assert_same(tmp_path, run(tmp_path, resume=True), whole)


def test_without_a_run_folder(run):
    with pytest.raises(Interrupted, match=r"stopped by SIGINT after step \d$") as stop:
        run(None, reporter=signalling(2, signal.SIGINT))
    assert stop.value.exit_code == 130


def test_handlers_come_back():
    before = [signal.getsignal(number) for number in StopRequest.signals]
    with StopRequest() as request:
        assert signal.getsignal(signal.SIGTERM) not in (signal.SIG_DFL, *before)
        os.kill(os.getpid(), signal.SIGTERM)
        assert request.signum == signal.SIGTERM
        # From now on as before.
        assert [signal.getsignal(number) for number in StopRequest.signals] == before
    with StopRequest(second_kills=True):
        os.kill(os.getpid(), signal.SIGTERM)
        # From now on the operating system's own rule.
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL
    assert [signal.getsignal(number) for number in StopRequest.signals] == before


def test_elsewhere_than_in_the_main_thread(run, whole, tmp_path):
    """Nothing is noted there, and nothing breaks."""
    before = signal.getsignal(signal.SIGTERM)
    results = []
    thread = threading.Thread(target=lambda: results.append(run(tmp_path)))
    thread.start()
    while thread.is_alive():
        assert signal.getsignal(signal.SIGTERM) is before
        thread.join(0.05)
    assert_same(tmp_path, results[0], whole)


def test_the_command(tmp_path):
    """Documented exit codes, one line that says how to go on, and a second signal."""
    folder = tmp_path / "run"
    process = start_tiny_run(folder)
    for _ in range(3):
        process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 143, errors
    # Libraries may warn there as well, on a busy machine.
    said = [line for line in errors.splitlines() if line.startswith(("SIGTERM", "stopped"))]
    assert len(said) == 2, errors
    first, last = said
    assert first == "SIGTERM: stopping after this step"
    assert last.startswith("stopped by SIGTERM after step ")
    assert last.endswith("; go on with the same command and --resume")

    process = start_tiny_run(folder, "--resume")
    assert process.stdout.readline().startswith("Convolutions on the CPU: ")
    assert process.stdout.readline().startswith("Resuming after step ")
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130, errors

    process = start_tiny_run(folder, "--resume")
    process.stdout.readline()
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=TIMEOUT)
    # By the second one, or by the first where it was done sooner.
    assert process.returncode in (-signal.SIGTERM, 130)
    process = start_tiny_run(folder, "--resume")
    time.sleep(0.3)
    # While it still starts.
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=TIMEOUT)
    assert process.returncode in (-signal.SIGTERM, 143)
