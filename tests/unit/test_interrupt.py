"""Ctrl-C stops a running simulation within a second and leaves no thread behind."""

import signal
import subprocess
import sys

import pytest

WITHIN = 1.0  # seconds of one processor from the signal to KeyboardInterrupt in the user's code

RUN = """
import os, signal, threading, time
import liqsim as lq
venue = lq.Venue.from_tiers([(0, 1e9, 0.005, 100)])
sent = []

def interrupt():
    time.sleep({after})
    sent.append(time.process_time())
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt).start()
try:
    lq.sweep(
        lq.GBM(0.6), venue, leverage=[5, 20], stop=[0.05, 0.1], n_paths=10**9, seed=1,
        threads={threads}, monitoring={monitoring!r}, progress={progress},
    )
except KeyboardInterrupt:
    print((time.process_time() - sent[0]) / {threads}, threading.active_count(), flush=True)
    raise
"""


def seconds_to_stop(after, threads, monitoring="continuous", progress=False):
    """Of a processor's time, whatever else the machine is doing."""
    code = RUN.format(after=after, threads=threads, monitoring=monitoring, progress=progress)
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120)
    assert process.returncode == -signal.SIGINT
    assert process.stderr.rstrip().endswith(b"KeyboardInterrupt")
    stopped, threads_left = process.stdout.split()
    assert int(threads_left) == 1
    return float(stopped)


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
@pytest.mark.parametrize(
    ("threads", "progress"), [(2, False), *(pytest.param(*x, marks=pytest.mark.slow) for x in [(1, False), (2, True)])]
)
def test_interrupt(threads, progress):
    assert seconds_to_stop(2.0, threads, progress=progress) < WITHIN


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
@pytest.mark.parametrize("threads", [1, 2])
def test_interrupt_of_long_paths(threads):
    assert seconds_to_stop(2.0, threads, monitoring="15s") < WITHIN
