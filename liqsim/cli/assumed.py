"""The option ``--assume``: what no source states of a venue."""

from __future__ import annotations

import tomllib
from typing import Any

import click

from liqsim.errors import ParameterError

__all__ = ["assume_option", "read_assumed"]

assume_option = click.option(
    "--assume", "assumed", multiple=True, metavar="ID:NAME=VALUE", help="What no source states; repeat."
)


def read_assumed(texts: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """``ID:NAME=VALUE`` -> values by venue and name; a value is read as in TOML, else it is text."""
    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        where, equals, value = text.partition("=")
        id, colon, name = where.partition(":")
        if not (equals and colon and id and name and value):
            raise ParameterError(
                f"--assume={text!r} is not allowed; give ID:NAME=VALUE, such as "
                "coinbase-bip:margin.maintenance_share=0.8"
            )
        try:
            read = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            read = value
        found.setdefault(id.partition("@")[0], {})[name] = read
    return found
