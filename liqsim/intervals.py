"""Confidence intervals, paired differences, and errors of functions of the estimates of a result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, Literal

import numpy as np
import xarray as xr

from liqsim.errors import ParameterError
from liqsim.stats import clopper_pearson_interval, jackknife_se, quantile_of_t, upper_bound, wilson_interval
from liqsim.variables import CONTROLLED, FREEDOM, SMOOTHED, WEIGHTED, group_name, se_name

__all__ = ["confidence_interval", "difference", "jackknife"]

_METHODS = ("wilson", "clopper-pearson", "normal")


def confidence_interval(
    ds: xr.Dataset, level: float = 0.95, method: Literal["wilson", "clopper-pearson", "normal"] = "wilson"
) -> xr.Dataset:
    """Confidence intervals of every estimate of a result.

    Parameters
    ----------
    ds : xarray.Dataset
        Result of :func:`sweep`, :func:`compare_venues`, :func:`first_passage`, :func:`difference` or :func:`jackknife`.
    level : float, default 0.95
        Probability, in [0.5, 0.9999], with which an interval covers the true value.
    method : {"wilson", "clopper-pearson", "normal"}
        For proportions: Wilson's score interval, which covers ``level`` on average over probabilities; that of Clopper
        and Pearson, which never covers less and mostly more; or ``estimate +- z standard errors``, which fails below
        about ten hits. All other estimates have normal intervals; where the standard error comes from groups of paths,
        those of Student's t, which for a probability end at 0 and 1.

    Returns
    -------
    xarray.Dataset
        Every estimate of ``ds`` with one more dimension ``bound``: ``"lower"``, ``"upper"``. Its attribute ``interval``
        names the method.

    Raises
    ------
    ParameterError
        If an argument is outside what it may be, or ``ds`` holds no estimates.

    Notes
    -----
    An event that was never seen on ``n`` paths has a lower bound of 0 and, at the level 95 %, an upper bound of
    ``3.7/n`` (Clopper-Pearson) or ``3.8/n`` (Wilson): the rule of three, ``3/n``, is the one-sided bound, that is
    ``level=0.9``. A mean whose event was never seen (a shortfall, say) has a standard error of 0 and an interval
    without width; look at the event's probability there.

    References
    ----------
    .. [1] L. D. Brown, T. T. Cai, A. DasGupta (2001), Interval estimation for a binomial proportion, Statistical
       Science 16.

    Examples
    --------
    >>> import liqsim as lq
    >>> venue = lq.Venue.from_tiers([(0, 1e6, 0.005, 100)])
    >>> ds = lq.sweep(lq.GBM(sigma=0.6), venue, leverage=[2, 20], side="long", horizon="7D", n_paths=3000, seed=1)
    >>> bounds = lq.confidence_interval(ds, method="clopper-pearson").p_liquidation.squeeze()
    >>> bounds.sel(leverage=2).values.round(5).tolist()
    [0.0, 0.00123]
    """
    if isinstance(level, bool) or not isinstance(level, Real) or not 0.5 <= level <= 0.9999:
        raise ParameterError(f"level={level!r} is not allowed; give a number in [0.5, 0.9999]")
    if method not in _METHODS:
        raise ParameterError(f"method={method!r} is not known; give one of {', '.join(_METHODS)}")
    level = float(level)
    out = {}
    for name in _estimates(ds):
        x = ds[name]
        values = np.asarray(x.values, dtype=float)
        used = "normal"
        if x.attrs.get("estimator") == "proportion" and method != "normal":
            used, n = method, int(x.attrs["n_paths"])
            low, high = (
                wilson_interval(values, n, quantile_of_t(level))
                if method == "wilson"
                else clopper_pearson_interval(values, n, level)
            )
        else:
            freedom = x.attrs.get(FREEDOM)
            used = "normal" if freedom is None else "student-t"
            half = quantile_of_t(level, freedom) * np.asarray(ds[se_name(name)].values, dtype=float)
            low, high = values - half, values + half
            estimator = x.attrs.get("estimator")
            if name.startswith("p_") and estimator in (CONTROLLED, SMOOTHED, WEIGHTED):
                if estimator == WEIGHTED:  # what was never seen was not on the unweighted paths either
                    unseen = upper_bound(0.0, int(x.attrs["n_paths"]), 0.5 * (1.0 + level))
                    high = np.where(values == 0.0, unseen, high)
                low, high = np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0)
        attrs = {key: x.attrs[key] for key in ("units", "long_name") if key in x.attrs}
        out[name] = ((*x.dims, "bound"), np.stack([low, high], axis=-1), {**attrs, "interval": used, "level": level})
    coords = {name: x for name, x in ds.coords.items() if "group" not in x.dims}
    bound = ("bound", ["lower", "upper"], {"long_name": "end of the interval"})
    return xr.Dataset(out, coords={**coords, "bound": bound})


def difference(ds: xr.Dataset, a: Mapping[str, Any], b: Mapping[str, Any]) -> xr.Dataset:
    """Differences between two cells, venues or models on the same paths, with the error that the pairing leaves.

    Parameters
    ----------
    ds : xarray.Dataset
        Result of :func:`sweep` or :func:`compare_venues` with ``groups``.
    a, b : mapping of str to label
        What is compared, one label for each dimension, the same dimensions in both: ``{"leverage": 10}``, or
        ``{"venue": "bitmex-xbtusd", "stop": 0.05}``.

    Returns
    -------
    xarray.Dataset
        Every estimate at ``a`` less that at ``b``, with its standard error, over the dimensions that are left.

    Raises
    ------
    ParameterError
        If ``ds`` holds no groups, or a dimension or label is not in it.

    Notes
    -----
    Cells, models and venues see the same random numbers path by path, so that their outcomes rise and fall together:
    between 10x and 11x the error is about a third of that of two runs. Sums over paths hold no products of cells, so
    the error is that of batch means, from the spread of the difference over the groups of paths [1]_; it is known to
    ``1/sqrt(2 G)`` of itself, 9 % for 64 groups. Where two runs have less in common, such as venues that stop at other
    instants, it is larger by itself.

    References
    ----------
    .. [1] S. Asmussen, P. W. Glynn (2007), Stochastic Simulation, sections III.5 and IV.5.

    Examples
    --------
    >>> import liqsim as lq
    >>> venue = lq.Venue.from_tiers([(0, 1e6, 0.005, 100)])
    >>> ds = lq.sweep(lq.GBM(sigma=0.6), venue, leverage=[10, 11], side="long", horizon="7D", groups=64, seed=1)
    >>> more = lq.difference(ds, {"leverage": 11}, {"leverage": 10}).p_liquidation_se.item()
    >>> apart = float((ds.p_liquidation_se**2).sum()) ** 0.5
    >>> bool(more < 0.5 * apart)
    True
    """
    for name, cell in (("a", a), ("b", b)):
        if not isinstance(cell, Mapping) or not cell:
            raise ParameterError(
                f'{name}={cell!r} is not a mapping; give labels by dimension, such as {{"leverage": 10}}'
            )
        if any(isinstance(label, (list, tuple, slice, np.ndarray)) for label in cell.values()):
            raise ParameterError(f"{name}={cell!r} holds a list; give one label for each dimension")
    if set(a) != set(b):
        raise ParameterError(
            f"a names {', '.join(map(str, a))} and b names {', '.join(map(str, b))}; give the same dimensions in both"
        )
    whole, left_out = _with_groups(ds)
    found, parts = (_at(x, "a", a) - _at(x, "b", b) for x in (whole, left_out))
    _add_errors(found, {name: x.transpose("group", ...).values for name, x in parts.items()}, ds)
    for name in _estimates(found):
        found[name].attrs["long_name"] = f"difference: {ds[name].attrs.get('long_name', name)}"
    found.attrs = {"a": _text(a), "b": _text(b)}
    return found


def jackknife(ds: xr.Dataset, function: Callable[[xr.Dataset], xr.DataArray | xr.Dataset]) -> xr.Dataset:
    """Any function of the estimates of a result, with its standard error.

    Parameters
    ----------
    ds : xarray.Dataset
        Result of :func:`sweep` or :func:`compare_venues` with ``groups``.
    function : callable
        Takes a dataset with the estimates of ``ds``, and nothing else, to an array or a dataset.

    Returns
    -------
    xarray.Dataset
        What ``function`` makes of the estimates of all paths, and its standard error ``*_se``. An array without a name
        is called ``value``.

    Raises
    ------
    ParameterError
        If ``ds`` holds no groups.

    Notes
    -----
    The function is taken once more for every group, of the estimates over all other paths; the spread of the results
    gives the standard error [1]_. That holds for smooth functions, such as a ratio, not for a maximum or a quantile.

    References
    ----------
    .. [1] B. Efron, R. J. Tibshirani (1993), An Introduction to the Bootstrap, section 11.

    Examples
    --------
    The loss beyond the margin, given that there was a liquidation:

    >>> import liqsim as lq
    >>> venue = lq.Venue.from_tiers([(0, 1e6, 0.005, 100)])
    >>> model = lq.Kou(sigma=0.6, intensity=50, p_up=0.4, eta_up=30, eta_down=25)
    >>> ds = lq.sweep(model, venue, leverage=25, side="long", horizon="7D", groups=64, seed=1)
    >>> loss = lq.jackknife(ds, lambda x: x.shortfall / x.p_liquidation)
    >>> sorted(loss.data_vars)
    ['value', 'value_se']
    """
    whole, left_out = _with_groups(ds)
    found = _as_dataset(function(whole)).drop_attrs()
    parts = [_as_dataset(function(left_out.isel(group=g))) for g in range(left_out.sizes["group"])]
    _add_errors(found, {name: np.stack([part[name].values for part in parts]) for name in found.data_vars}, ds)
    return found


def _with_groups(ds: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """Estimates over all paths, and over all but those of each group."""
    _check_dataset(ds)
    if "group_paths" not in ds:
        raise ParameterError("ds holds no groups of paths; simulate again with groups=64")
    counts = np.asarray(ds["group_paths"].values, dtype=float)
    whole = ds[[name for name in _estimates(ds) if group_name(name) in ds]].drop_attrs()
    n = counts.sum()
    left_out = {}
    for name, x in whole.items():
        parts = ds[group_name(str(name))].transpose(..., "group")
        values = (n * x.values[..., np.newaxis] - counts * parts.values) / (n - counts)
        left_out[name] = (parts.dims, values)
    return whole, xr.Dataset(left_out, coords=whole.coords)


def _add_errors(found: xr.Dataset, left_out: Mapping[Any, np.ndarray], ds: xr.Dataset) -> None:
    """Put the standard error of every variable beside it, and say what both and the coordinates are."""
    n_groups, n_paths = ds.sizes["group"], int(ds["group_paths"].sum())
    for name in found.coords.keys() & ds.coords.keys():
        found[name].attrs = dict(ds[name].attrs)
    for name in list(found.data_vars):
        known = ds[name].attrs if name in ds else {}
        attrs = {key: known[key] for key in ("units", "long_name") if key in known}
        se = (
            found[name].dims,
            jackknife_se(left_out[name]),
            {**_units(attrs), "long_name": f"standard error of {name}"},
        )
        found[se_name(str(name))] = se
        found[name].attrs = {**attrs, "estimator": "function of means", FREEDOM: n_groups - 1, "n_paths": n_paths}


def _units(attrs: Mapping[str, Any]) -> dict[str, Any]:
    return {"units": attrs["units"]} if "units" in attrs else {}


def _check_dataset(ds: Any) -> None:
    if not isinstance(ds, xr.Dataset):
        raise ParameterError(f"ds={ds!r} is not a dataset; give a result of sweep or first_passage")


def _estimates(ds: xr.Dataset) -> list[str]:
    _check_dataset(ds)
    names = [str(name) for name in ds.data_vars if se_name(str(name)) in ds]
    if not names:
        raise ParameterError("ds holds no estimates with standard errors; give a result of sweep or first_passage")
    return names


def _as_dataset(x: Any) -> xr.Dataset:
    if isinstance(x, xr.Dataset):
        return x
    if isinstance(x, xr.DataArray):
        return x.to_dataset(name=x.name or "value")
    raise ParameterError(f"function gave {type(x).__name__}; let it return an xarray DataArray or Dataset")


def _at(ds: xr.Dataset, name: str, cell: Mapping[str, Any]) -> xr.Dataset:
    for axis in cell:
        if axis not in ds.dims:
            raise ParameterError(f"{name}: {axis!r} is not a dimension; give some of {', '.join(map(str, ds.dims))}")
    try:
        return ds.sel(cell, drop=True)
    except (KeyError, TypeError):
        known = "; ".join(f"{axis}: {', '.join(map(str, ds[axis].values))}" for axis in cell)
        raise ParameterError(f"{name}={dict(cell)!r} is not in the result, which holds {known}") from None


def _text(cell: Mapping[str, Any]) -> str:
    return ", ".join(f"{axis}={label}" for axis, label in cell.items())
