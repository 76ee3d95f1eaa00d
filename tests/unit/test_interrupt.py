"""Ctrl-C stops a running simulation within a second and leaves no thread behind."""

import signal
import subprocess
import sys
import time

import pytest

WITHIN = 1.0  # seconds from the signal to KeyboardInterrupt in the user's code

RUN = """
import threading, time
import liqsim as lq
venue = lq.Venue.from_tiers([(0, 1e9, 0.005, 100)])
print("ready", flush=True)
try:
    lq.sweep(
        lq.GBM(0.6), venue, leverage=[5, 20], stop=[0.05, 0.1], n_paths=10**9, seed=1,
        threads={threads}, monitoring={monitoring!r}, progress={progress},
    )
except KeyboardInterrupt:
    print(time.monotonic(), threading.active_count(), flush=True)
    raise
"""


def seconds_to_stop(after, threads, monitoring="continuous", progress=False):
    code = RUN.format(threads=threads, monitoring=monitoring, progress=progress)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"ready\n"
            time.sleep(after)
            assert process.poll() is None, "the run ended by itself"
            sent = time.monotonic()
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == -signal.SIGINT
    assert errors.rstrip().endswith(b"KeyboardInterrupt")
    stopped, threads_left = output.split()
    assert int(threads_left) == 1
    return float(stopped) - sent


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
@pytest.mark.parametrize(("threads", "progress"), [(1, False), (2, False), (2, True)])
def test_interrupt(threads, progress):
    assert seconds_to_stop(2.0, threads, progress=progress) < WITHIN


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
@pytest.mark.parametrize("threads", [1, 2])
def test_interrupt_of_long_paths(threads):
    assert seconds_to_stop(2.0, threads, monitoring="15s") < WITHIN
