"""What a study costs besides its paths, and how it spreads over workers.

python benchmarks/studies.py cells --paths 100000        10,000 cells: memory, overhead, opening and plotting
python benchmarks/studies.py workers --most 4            the same study on 1 .. 4 processes of a dask cluster
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from scaling import status

from liqsim.engine.memory import bytes_text
from liqsim.engine.run import Threads, available_threads
from liqsim.engine.schedulers import local_cluster
from liqsim.results import fingerprint
from liqsim.store.place import Place
from liqsim.study import open_store, read_study, run_study

CELLS = """
venue = ["binance-usdm-btcusdt", "bitmex-xbtusd", "cme-mbt", "hyperliquid-btc"]
leverage = [1.2, 1.4, 1.6, 1.8, 2, 2.2, 2.4, 2.6, 2.8, 3]
stop = [0.01, 0.02, 0.03, 0.05, 0.07, 0.10, 0.15, 0.20, 0.30, inf]
side = "long"
notional = [2e4, 5e4, 1e5, 2e5, 5e5]
price = 77_835
horizon = "7D"
seed = 7

[[model]]
kind = "kou"
sigma = [0.3, 0.4, 0.5, 0.6, 0.7]
intensity = 40
p_up = 0.45
eta_up = 30
eta_down = 25

[premium]
mean = 1e-4
half_life = "15h"
vol = 3e-4
"""

ONE = CELLS.replace('["binance-usdm-btcusdt", "bitmex-xbtusd", "cme-mbt", "hyperliquid-btc"]', '"binance-usdm-btcusdt"')
ONE = ONE.replace("[2e4, 5e4, 1e5, 2e5, 5e5]", "1e5").replace("[0.3, 0.4, 0.5, 0.6, 0.7]", "[0.5, 0.7]")


class Timed(Threads):
    """Threads that add up the processor time of their tasks, whatever else the machine does."""

    def __init__(self, n: int) -> None:
        super().__init__(n)
        self.work: list[float] = []

    def _run(self, *item):
        begun = time.thread_time()
        found = super()._run(*item)
        self.work.append(time.thread_time() - begun)
        return found


def study_of(folder: Path, text: str, n_paths: int):
    path = folder / "study.toml"
    path.write_text(f"n_paths = {n_paths}\n{text}")
    return read_study(path)


def cells(n_paths: int, threads: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        begun = time.perf_counter()
        study = study_of(folder, CELLS, n_paths)
        passes = len(study.keys)
        planned = time.perf_counter() - begun
        workers = Timed(threads)
        begun, spent = time.perf_counter(), time.process_time()
        ds = run_study(study, folder / "big.zarr", scheduler=lambda: workers, progress=True)
        wall, spent = time.perf_counter() - begun, time.process_time() - spent
        n_cells, work = ds.p_liquidation.size, sum(workers.work)
        print(f"cells        {n_cells:,} in {passes} passes of {n_paths:,} paths, {len(workers.work):,} tasks")
        print(f"planning     {planned:.2f} s")
        print(f"wall         {wall:.1f} s on {threads} threads")
        print(f"processor    {spent:.1f} s, {100 * (spent / work - 1):.1f} % more than its tasks")
        print(f"store        {bytes_text(Place(folder / 'big.zarr').size(False))}")
        print(f"peak memory  {bytes_text(2**20 * status('VmHWM'))}")
        del ds
        import liqsim.plot as plot  # the libraries of pictures are not what is timed

        begun = time.perf_counter()
        ds = open_store(folder / "big.zarr")
        opened = time.perf_counter() - begun
        plot.heatmap(ds.isel(model=0, venue=0, notional=0).sel(side="long"))
        print(f"opening      {opened:.2f} s, with a picture of one slice {time.perf_counter() - begun:.2f} s")


def processor_seconds(client) -> float:
    """Of all workers and of this process, which holds the dask scheduler and adds the sums."""
    return sum(client.run(time.process_time).values()) + time.process_time()


def workers(n_paths: int, most: int) -> None:
    seen = set()
    first = 0.0
    print("| workers | seconds | speed-up | processor seconds |\n| ---: | ---: | ---: | ---: |")
    for n in range(1, most + 1):
        with tempfile.TemporaryDirectory() as name:
            study = study_of(Path(name), ONE, n_paths)
            with local_cluster(n) as cluster:
                cluster.client.wait_for_workers(n)
                cluster.client.run(__import__, "liqsim.engine.schedulers")
                before = processor_seconds(cluster.client)
                begun = time.perf_counter()
                ds = run_study(study, Path(name, "a.zarr"), scheduler=lambda: cluster)
                seconds = time.perf_counter() - begun
                spent = processor_seconds(cluster.client) - before
            seen.add(fingerprint(ds))
        first = first or seconds
        print(f"| {n} | {seconds:.1f} | {first / seconds:.2f} | {spent:.1f} |", flush=True)
    print(f"{available_threads()} processors; the bits are {'the same' if len(seen) == 1 else 'DIFFERENT'}")
    if len(seen) != 1:
        sys.exit(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["cells", "workers"])
    parser.add_argument("--paths", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=available_threads())
    parser.add_argument("--most", type=int, default=4)
    given = parser.parse_args()
    if given.what == "cells":
        cells(given.paths, given.threads)
    else:
        workers(given.paths, given.most)
