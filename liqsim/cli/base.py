"""Exit codes, messages and plain text tables shared by the commands."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import click

from liqsim.errors import CalibrationError, LiqsimError, StoreError, Unfinished, VenueDataError

__all__ = ["DATA", "PARTIAL", "USAGE", "Commands", "echo_json", "text_table"]

USAGE, DATA, PARTIAL = 2, 3, 4


class Commands(click.Group):
    """A command group that turns our errors into one line on stderr and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            notes = getattr(
                error, "__notes__", ["interrupted; files already finished are whole, nothing else was written"]
            )
            _fail(ctx, notes[-1], PARTIAL)
        except Unfinished as error:
            _fail(ctx, str(error), PARTIAL)
        except (CalibrationError, StoreError, VenueDataError) as error:
            _fail(ctx, "\n".join([str(error), *getattr(error, "__notes__", [])]), DATA)
        except LiqsimError as error:
            _fail(ctx, str(error), USAGE)
        except ModuleNotFoundError as error:
            if "pip install" not in str(error):
                raise
            _fail(ctx, str(error), USAGE)


def _fail(ctx: click.Context, message: str, code: int) -> None:
    name = ctx.info_name if ctx.invoked_subcommand is None else f"{ctx.info_name} {ctx.invoked_subcommand}"
    click.echo(f"{name}: {message}", err=True)
    ctx.exit(code)


def text_table(head: Sequence[str], rows: Iterable[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """Columns separated by two spaces; those in ``left`` flush left, the others right.

    Examples
    --------
    >>> print(text_table(["id", "rate"], [["a", "0.5"], ["long", "12"]]))
    id    rate
    a      0.5
    long    12
    """
    lines = [list(head), *[list(row) for row in rows]]
    widths = [max(len(line[k]) for line in lines) for k in range(len(head))]
    made = []
    for line in lines:
        cells = [c.ljust(w) if k in left else c.rjust(w) for k, (c, w) in enumerate(zip(line, widths, strict=True))]
        made.append("  ".join(cells).rstrip())
    return "\n".join(made)


def echo_json(value: Any) -> None:
    """Print plain values as JSON; infinities become the text ``"inf"``, not-a-numbers null."""
    click.echo(json.dumps(_plain(value), indent=2, allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value
