"""Tables of a result for a paper: every estimate with its error, rounded to what the error leaves standing."""

from __future__ import annotations

import csv
import io
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

from liqsim.errors import ParameterError

__all__ = ["export_table", "rounded"]

_ERROR_DIGITS = 2
_RULE_OF_THREE = 3.0


def rounded(value: float, error: float, digits: int = _ERROR_DIGITS) -> tuple[str, str]:
    """A value and its error, both to the last digit that the error rounded to ``digits`` significant ones has.

    Examples
    --------
    >>> rounded(0.2558437, 0.0013797)
    ('0.2558', '0.0014')
    >>> rounded(-12.3456, 0.996)
    ('-12.3', '1.0')
    >>> rounded(123456.0, 2345.0)
    ('123500', '2300')
    """
    if not math.isfinite(value) or not math.isfinite(error) or error <= 0:
        return f"{value:.6g}", "" if error == 0 else f"{error:.2g}"
    scaled = float(f"{error:.{digits - 1}e}")
    place = digits - 1 - math.floor(math.log10(scaled))
    if place > 0:
        return f"{value:.{place}f}", f"{scaled:.{place}f}"
    return f"{round(value, place):.0f}", f"{round(scaled, place):.0f}"


def _cell(value: float, error: float, is_probability: bool, n_paths: int, style: str) -> str:
    """One estimate; where no path or every path had the outcome, the bound of the rule of three."""
    if math.isnan(value):
        return "--" if style == "tex" else "n/a"
    minus = "$-$" if style == "tex" else "-"
    if is_probability and error == 0.0 and value in (0.0, 1.0):
        bound = f"{_RULE_OF_THREE / n_paths:.1g}"
        if style == "tex":
            return f"$<{bound}$" if value == 0.0 else f"$>1-{bound}$"
        return f"< {bound}" if value == 0.0 else f"> 1 - {bound}"
    x, se = rounded(value, error)
    x = x.replace("-", minus)
    if not se:
        return x
    return f"{x} $\\pm$ {se}" if style == "tex" else f"{x} ± {se}"


def _select(ds: xr.Dataset, chosen: Mapping[str, str]) -> xr.Dataset:
    """Keep one value of a dimension, given as text."""
    for dim, text in chosen.items():
        if dim not in ds.dims:
            raise ParameterError(f"--sel {dim}={text}: the result has the dimensions {', '.join(map(str, ds.dims))}")
        labels = [_label(dim, value) for value in ds[dim].values]
        if dim == "stop" and text == "inf":  # as studies write it
            text = "none"
        if text not in labels:
            raise ParameterError(f"--sel {dim}={text} is not in the result; it has {', '.join(labels)}")
        ds = ds.isel({dim: labels.index(text)})
    return ds


def _label(dim: str, value: Any) -> str:
    if isinstance(value, np.timedelta64):
        hours = value / np.timedelta64(1, "h")
        return f"{hours / 24:g}D" if hours % 24 == 0 else f"{hours:g}h"
    if isinstance(value, (float, np.floating)):
        return "none" if dim == "stop" and np.isinf(value) else f"{value:g}"
    return str(value)


def export_table(
    ds: xr.Dataset,
    style: Literal["tex", "csv", "md"],
    *,
    variables: Sequence[str] = ("p_liquidation",),
    columns: str | None = None,
    select: Mapping[str, str] | None = None,
) -> str:
    """Write a result as a table.

    Parameters
    ----------
    ds : xarray.Dataset
        Result of a sweep.
    style : {"tex", "csv", "md"}
        LaTeX (a booktabs tabular), Markdown, or CSV; CSV holds all digits and a column for each error.
    variables : sequence of str
        Estimates to show.
    columns : str, optional
        Dimension that runs along the columns; without it there is a column for each variable.
    select : mapping of str to str, optional
        Value, as text, of dimensions of which one value is shown.

    Returns
    -------
    str

    Raises
    ------
    ParameterError
        If a name or a value is not in the result.
    """
    ds = _select(ds, select or {})
    for name in variables:
        if name not in ds.data_vars:
            names = ", ".join(str(v) for v in ds.data_vars if not str(v).endswith("_se"))
            raise ParameterError(f"--var {name} is not in the result; it holds {names}")
    dims = [str(d) for d in ds.dims if any(d in ds[name].dims for name in variables)]
    if columns is not None and columns not in dims:
        raise ParameterError(f"--columns {columns} is not a dimension of it; those are {', '.join(dims)}")
    rows = [d for d in dims if d != columns]
    across: list[tuple[str, Any]] = [
        (name, k) for name in variables for k in (range(ds.sizes[columns]) if columns else [None])
    ]
    head = list(rows)
    for name, k in across:
        title = name if columns is None else f"{columns}={_label(columns, ds[columns].values[k])}"
        title = f"{name}, {title}" if columns is not None and len(variables) > 1 else title
        head += [title, f"{title}, se"] if style == "csv" and f"{name}_se" in ds else [title]
    body = []
    for index in itertools.product(*(range(ds.sizes[d]) for d in rows)):
        line = [_label(d, ds[d].values[i]) for d, i in zip(rows, index, strict=True)]
        where: dict[str, Any] = dict(zip(rows, index, strict=True))
        for name, k in across:
            if columns is not None:
                where[columns] = k
            at = {d: i for d, i in where.items() if d in ds[name].dims}
            value = float(ds[name].values[tuple(at[d] for d in map(str, ds[name].dims))])
            has_error = f"{name}_se" in ds
            error = float(ds[f"{name}_se"].values[tuple(at[d] for d in map(str, ds[name].dims))]) if has_error else 0.0
            if style == "csv":
                line += [repr(value), repr(error)] if has_error else [repr(value)]
            else:
                n = int(ds[name].attrs.get("n_paths", ds.attrs.get("n_paths", 1)))
                line.append(_cell(value, error, name.startswith("p_"), n, style))
        body.append(line)
    return {"tex": _tex, "csv": _csv, "md": _md}[style](head, body, len(rows))


def _csv(head: list[str], body: list[list[str]], n_rows: int) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *body])
    return text.getvalue()


def _md(head: list[str], body: list[list[str]], n_rows: int) -> str:
    lines = [head, ["---" if k < n_rows else "---:" for k in range(len(head))], *body]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines) + "\n"


_TEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "\\": "\\textbackslash{}",
}


def _escaped(text: str) -> str:
    return "".join(_TEX.get(c, c) for c in text)


def _tex(head: list[str], body: list[list[str]], n_rows: int) -> str:
    lines = [
        "% needs \\usepackage{booktabs}; errors are one standard error",
        f"\\begin{{tabular}}{{{'l' * n_rows}{'r' * (len(head) - n_rows)}}}",
        "\\toprule",
        " & ".join(map(_escaped, head)) + " \\\\",
        "\\midrule",
        *(" & ".join([*map(_escaped, line[:n_rows]), *line[n_rows:]]) + " \\\\" for line in body),
        "\\bottomrule",
        "\\end{tabular}",
    ]
    return "\n".join(lines) + "\n"
