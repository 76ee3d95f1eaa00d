"""Reading bars, leaving gaps out, and what bad files are told."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from liqsim.calibrate import PriceSeries, ReturnCounts, load_prices, log_returns
from liqsim.errors import CalibrationError

START = np.datetime64("2024-01-01T00:00:00", "s")


def bars(n: int = 300, step: int = 3600, seed: int = 1) -> list[list[str]]:
    prices = 100 * np.exp(np.cumsum(0.01 * np.random.default_rng(seed).standard_normal(n)))
    return [[f"{START + np.timedelta64(step * k, 's')}Z", f"{p:.6f}", "1.5"] for k, p in enumerate(prices)]


def write(path: Path, rows: list[list[str]], header: str = "time_utc,close,volume") -> Path:
    path.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n", "utf-8")
    return path


def test_hourly_bars(tmp_path: Path) -> None:
    rows = bars()
    series = load_prices(write(tmp_path / "a.csv", rows))
    assert (series.interval, series.n_obs, series.n_gaps) == ("1h", 299, 0)
    assert series.window == ("2024-01-01T01:00:00Z", "2024-01-13T11:00:00Z")
    assert series.returns == pytest.approx(np.diff(np.log([float(row[1]) for row in rows])))
    assert series.source == "a.csv"


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 1000), ("us", 10**6), ("ns", 10**9)])
def test_unix_epochs(tmp_path: Path, unit: str, factor: int) -> None:
    epoch = int(START.astype(np.int64))
    rows = [[str((epoch + 60 * k) * factor), row[1]] for k, row in enumerate(bars())]
    series = load_prices(write(tmp_path / "a.csv", rows, "timestamp,close"))
    assert series.interval == "1min"
    assert series.times[0] == START


def test_gzip_semicolons_offsets_and_other_column_names(tmp_path: Path) -> None:
    lines = ["Date;Last Price", *(f"{row[0][:-1]}+02:00;{row[1]}" for row in bars())]
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress("\r\n".join(lines).encode("utf-8-sig")))
    series = load_prices(tmp_path / "a.csv.gz", "last price")
    assert series.times[0] == START - np.timedelta64(2, "h")


def test_returns_across_gaps_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = bars()
    kept = rows[:100] + rows[103:200] + rows[201:]
    series = load_prices(write(tmp_path / "a.csv", kept))
    assert (series.n_gaps, series.n_obs) == (2, 300 - 4 - 2 - 1)
    full = load_prices(write(tmp_path / "b.csv", rows)).returns
    assert series.returns == pytest.approx(np.delete(full, [99, 100, 101, 102, 199, 200]))
    assert log_returns(series.prices, series.times) == pytest.approx(series.returns)


def test_bars_without_trades_are_left_out(tmp_path: Path) -> None:
    rows = bars()
    rows[50][2] = "0"
    series = load_prices(write(tmp_path / "a.csv", rows), volume_column="volume")
    assert (series.stale.size, series.n_gaps, series.n_obs) == (1, 1, 297)
    assert series.between("2024-01-01", "2024-01-10").stale.size == 1


def test_a_window_keeps_the_price_before_it(tmp_path: Path) -> None:
    series = load_prices(write(tmp_path / "a.csv", bars(600)))
    first, second = series.between("2024-01-01", "2024-01-10"), series.between("2024-01-10", "2024-02-01")
    assert np.concatenate([first.returns, second.returns]) == pytest.approx(series.returns)
    assert second.window[0] == "2024-01-10T00:00:00Z"
    with pytest.raises(CalibrationError, match=r"holds no bar; the series runs from 2024-01-01"):
        series.between("2023-01-01", "2023-02-01")
    with pytest.raises(CalibrationError, match=r"'soon' is not a time"):
        series.between("2024-01-01", "soon")


def changed(rows: list[list[str]], at: int, column: int, value: str) -> list[list[str]]:
    rows[at][column] = value
    return rows


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (changed(bars(), 9, 1, "0"), r"line 11: close=0 is not allowed .*finite prices > 0"),
        (changed(bars(), 9, 1, "-3"), r"line 11: close=-3 is not allowed"),
        (changed(bars(), 9, 1, "nan"), r"line 11: close=nan is not allowed"),
        (changed(bars(), 9, 1, "inf"), r"line 11: close=inf is not allowed"),
        (changed(bars(), 9, 1, "12,5"), r"line 11: 4 fields where the header has 3"),
        (changed(bars(), 9, 1, "abc"), r"line 11: close='abc' is not a number"),
        (changed(bars(), 9, 1, ""), r"line 11: close='' is not a number; remove the row"),
        (changed(bars(), 9, 0, "yesterday"), r"line 11: time_utc='yesterday' is not a time"),
        (changed(bars(), 9, 0, "17"), r"line 11: time_utc=17 is not a Unix epoch"),
        (changed(bars(), 9, 0, "2024-01-01T08:00:00Z"), r"line 11 repeats the stamp 2024-01-01T08:00:00Z"),
        (changed(bars(), 9, 0, "2024-01-01T03:30:00Z"), r"line 11 goes back to the stamp 2024-01-01T03:30:00Z; sort"),
        (bars(90), r"a.csv: 89 returns; at least 100 are needed"),
        (bars()[::3], r"a.csv: 99 returns"),
        ([], r"a.csv: 0 returns"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, rows: list[list[str]], message: str) -> None:
    with pytest.raises(CalibrationError, match=message):
        load_prices(write(tmp_path / "a.csv", rows))


def test_missing_columns_list_those_present(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", bars(), "when,mark_close,volume")
    with pytest.raises(
        CalibrationError, match=r"present are when, mark_close, volume. Name one with column=, or in a shell --column$"
    ):
        load_prices(path)
    with pytest.raises(CalibrationError, match=r"no column 'time_utc' or .*time_column=, or in a shell --time-column$"):
        load_prices(path, "mark_close")
    with pytest.raises(CalibrationError, match=r"no column 'vol'"):
        load_prices(path, "mark_close", time_column="when", volume_column="vol")
    assert load_prices(path, "mark_close", time_column="when").n_obs == 299


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match=r"cannot be read: No such file"):
        load_prices(tmp_path / "none.csv")
    with pytest.raises(CalibrationError, match="path=None is not a path; give the name of a CSV file"):
        load_prices(None)  # type: ignore[arg-type]
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(CalibrationError, match=r"not a text file in UTF-8"):
        load_prices(tmp_path / "a.csv")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b"time,close\n" * 100)[:20])
    with pytest.raises(CalibrationError, match=r"not a text file"):
        load_prices(tmp_path / "b.csv.gz")
    (tmp_path / "c.csv").write_text("\n")
    with pytest.raises(CalibrationError, match=r"is empty"):
        load_prices(tmp_path / "c.csv")
    (tmp_path / "d.csv").write_text("1704067200,42000.0\n1704070800,42010.0\n")
    with pytest.raises(CalibrationError, match=r"line 1: .* is not a header"):
        load_prices(tmp_path / "d.csv")


def test_an_irregular_series_is_refused() -> None:
    rng = np.random.default_rng(2)
    times = START + np.cumsum(rng.integers(1, 9, 400)).astype("timedelta64[m]")
    with pytest.raises(CalibrationError, match=r"Resample to a regular interval"):
        PriceSeries(times, np.full(400, 10.0) + np.arange(400))


def test_arrays_that_are_no_series() -> None:
    with pytest.raises(CalibrationError, match=r"two 1-D arrays of one length"):
        PriceSeries(START + np.arange(5).astype("timedelta64[h]"), np.ones(4))
    with pytest.raises(CalibrationError, match=r"times has dtype int64; give numpy.datetime64"):
        PriceSeries(np.arange(500), np.ones(500))
    with pytest.raises(CalibrationError, match=r"row 3: price=nan"):
        log_returns([1.0, 2.0, 3.0, float("nan")])
    with pytest.raises(CalibrationError, match=r"prices are not numbers"):
        log_returns(["a", "b"])
    with pytest.raises(CalibrationError, match=r"at least 2 prices"):
        log_returns([1.0])


def test_counts_of_a_series(tmp_path: Path) -> None:
    series = load_prices(write(tmp_path / "a.csv", bars(2000)))
    counts = ReturnCounts.from_returns(series, bin_width=5e-4, asset="TEST")
    assert (counts.n, counts.interval, counts.source, counts.asset) == (1999, "1h", "a.csv", "TEST")
    assert counts.window == series.window
    moments = counts.moments()
    assert moments.mean == pytest.approx(series.returns.mean(), abs=5e-4 / np.sqrt(12 * 1999) * 4)
    assert moments.std == pytest.approx(series.returns.std(), rel=1e-2)
    assert counts.quantile(0.5) == pytest.approx(np.median(series.returns), abs=5e-4)
    assert ReturnCounts.from_dict(counts.to_dict()) == counts
    with pytest.raises(CalibrationError, match=r"interval='1D' differs from the 1h of a.csv"):
        ReturnCounts.from_returns(series, "1D")


def test_bin_edges_are_half_open() -> None:
    values = np.concatenate([[0.0149, 0.0151, -0.0051, -0.0049], np.linspace(-0.05, 0.05, 200)])
    counts = ReturnCounts.from_returns(values, "1h", bin_width=0.01)
    by_bin = dict(zip(counts.index, counts.count, strict=True))
    direct = np.floor(values / 0.01 + 0.5)
    assert by_bin == {int(k): int((direct == k).sum()) for k in np.unique(direct)}


def test_density_and_tails() -> None:
    from liqsim.models import GBM

    values = 0.01 * np.random.default_rng(4).standard_normal(20_000)
    counts = ReturnCounts.from_returns(values, "1h", bin_width=5e-4)
    edges, density, density_se = counts.density(coarsen=4)
    assert edges.size == density.size + 1 == density_se.size + 1
    assert (density * np.diff(edges)).sum() == pytest.approx(1)
    model = GBM(sigma=0.01 * np.sqrt(8760), drift=0.5 * 0.01**2 * 8760)
    z = (density - counts.model_density(model, coarsen=4)) / np.maximum(density_se, 1 / 20_000 / 2e-3)
    assert np.abs(z).max() < 4
    assert counts.model_probabilities(model).sum() == pytest.approx(1, abs=2e-3)
    (row,) = counts.tail_table({"gbm": model}, levels=[-0.02])
    assert row["observed"] == sum(n for k, n in zip(counts.index, counts.count, strict=True) if k * 5e-4 <= -0.02)
    assert row["gbm"] == pytest.approx(20_000 * 0.0240, rel=0.02)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bin_width": 0.0}, "bin_width=0.0 is not allowed"),
        ({"index": (3, 2, 4, 5, 6)}, r"index\[1\]=2 follows 3"),
        ({"count": (100, 0, 1, 1, 1)}, r"count\[1\]=0 is not allowed"),
        ({"count": (100, 1.5, 1, 1, 1)}, "count holds something else than integers"),
        ({"count": (1, 1, 1, 1, 1)}, "count sums to 5 returns; at least 100"),
        ({"count": (100, 1)}, "5 bins and count 2"),
        ({"index": (1, 2, 3, 4, 99_999)}, r"index\[4\]=99999 is not allowed"),
        ({"index": (1, 2), "count": (100, 100)}, "narrow bin_width"),
        ({"interval": "soon"}, "interval='soon' cannot be read"),
    ],
)
def test_bad_counts(change: dict[str, object], message: str) -> None:
    good = {"bin_width": 1e-3, "index": (1, 2, 3, 4, 5), "count": (100, 50, 20, 10, 5), "interval": "1h"}
    ReturnCounts(**good)
    with pytest.raises(ValueError, match=message):
        ReturnCounts(**{**good, **change})


def test_bad_returns_to_count() -> None:
    values = 0.01 * np.random.default_rng(4).standard_normal(500)
    with pytest.raises(CalibrationError, match=r"interval is missing"):
        ReturnCounts.from_returns(values)
    with pytest.raises(CalibrationError, match=r"half a standard deviation"):
        ReturnCounts.from_returns(values, "1h", bin_width=0.02)
    with pytest.raises(CalibrationError, match=r"returns\[0\]=.* log returns in \[-5, 5\]"):
        ReturnCounts.from_returns(values * 1e5, "1h")
    with pytest.raises(CalibrationError, match=r"unknown keys"):
        ReturnCounts.from_dict({"bins": 1})
    with pytest.raises(CalibrationError, match=r"coarsen=0 is not allowed"):
        ReturnCounts.from_returns(values, "1h").density(coarsen=0)
