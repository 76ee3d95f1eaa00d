"""Results in files: read back as written, whole or absent."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import liqsim as lq
from liqsim.report import Record, attach, load_result, record_of, replacing, save_result

INF = float("inf")


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    return lq.sweep(
        {"calm": lq.GBM(sigma=0.4), "wild": lq.presets.model("btc-2020-2021")},
        ["binance-usdm-btcusdt", "kraken-pi-xbtusd"],
        premium=lq.OUPremium(mean=1e-4, half_life="15h", vol=3e-4),
        leverage=[5, 20],
        stop=[0.05, INF],
        notional=[1e4, 1e5],
        horizon=["36h", "7D"],
        n_paths=2000,
        seed=5,
    )


def test_round_trip_is_exact_for_plain_xarray(ds: xr.Dataset, tmp_path: Path) -> None:
    path = save_result(ds, tmp_path / "result.nc")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with xr.open_dataset(path) as back:
            back.load()
    xr.testing.assert_identical(back, ds)
    for name in ds.variables:
        assert back[name].dtype == ds[name].dtype, name
        assert back[name].attrs == ds[name].attrs, name
    assert back["horizon"].dtype == "timedelta64[ns]"
    np.testing.assert_array_equal(back["stop"].values, [0.05, INF])
    xr.testing.assert_identical(load_result(path), ds)


def test_attached_calibration_comes_back(ds: xr.Dataset, tmp_path: Path) -> None:
    counts, fits = lq.presets.counts("btc-2025"), {"gbm": lq.presets.fit("btc-2025", "gbm")}
    full = attach(ds, counts=counts, fits=fits, notes=["<b>note</b>"])
    assert "calibration" not in ds.attrs
    record = record_of(load_result(save_result(full, tmp_path / "result.nc")))
    assert record == Record(counts, fits, (), ("<b>note</b>",))
    assert record_of(ds) == Record()


def test_broken_calibration_says_the_way_out(ds: xr.Dataset) -> None:
    with pytest.raises(lq.ParameterError, match=r"drop it with ds.attrs.pop\('calibration'\)"):
        record_of(ds.assign_attrs(calibration="{}"))


def write_half(path: Path, error: type[BaseException]) -> None:
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise error


def test_an_interrupted_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "result.nc"
    with pytest.raises(KeyboardInterrupt):
        write_half(path, KeyboardInterrupt)
    assert list(path.parent.iterdir()) == []
    path.write_text("old")
    with pytest.raises(RuntimeError):
        write_half(path, RuntimeError)
    assert path.read_text() == "old"
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [p.name for p in path.parent.iterdir()] == ["result.nc"]


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(lq.ParameterError, match="is a folder; give the name of a file"), replacing(tmp_path):
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(lq.ParameterError, match=r"cannot be written: .*; give another folder"):
        save_result(xr.Dataset(), tmp_path / "file" / "result.nc")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(lq.ParameterError, match="is read-only"), replacing(tmp_path / "x"):
        pass


def test_what_is_not_a_result_is_refused(tmp_path: Path) -> None:
    with pytest.raises(lq.ParameterError, match="is not a file; give a result written by liqsim sweep"):
        load_result(tmp_path / "absent.nc")
    text = tmp_path / "text.nc"
    text.write_text("not netCDF")
    with pytest.raises(lq.ParameterError, match="is not a netCDF4 file"):
        load_result(text)
    other = tmp_path / "other.nc"
    xr.Dataset({"x": 1.0}).to_netcdf(other, engine="h5netcdf")
    with pytest.raises(lq.ParameterError, match="holds no result of liqsim"):
        load_result(other)
