"""Leverage tiers from a venue itself, through ccxt. The one module that reaches for the network, and only if called."""

from __future__ import annotations

import datetime as dt
import difflib
import importlib
import inspect
from typing import Any

from liqsim.errors import ParameterError, VenueDataError

__all__ = ["fetch_tiers"]


def fetch_tiers(exchange: Any, symbol: str) -> dict[str, Any]:
    """Fetch the leverage tiers of a contract from its venue; needs ``pip install "liqsim[data]"``.

    Parameters
    ----------
    exchange : str or ccxt exchange
        Identifier that ccxt knows, such as ``"okx"``, or an exchange of ``ccxt`` made with one's own keys: some venues,
        Binance among them, show their tiers to account holders only.
    symbol : str
        Unified symbol, such as ``"BTC/USDT:USDT"``.

    Returns
    -------
    dict
        ``{"updated": time in UTC, "data": {symbol: tiers}}``, plain values: for :func:`venue_from_ccxt`, and for
        ``json.dump`` to keep beside a study, which :func:`read_tiers` reads.

    Raises
    ------
    ModuleNotFoundError
        If ccxt is not installed; the message says how to install it.
    ParameterError
        If ccxt does not know the exchange, or an asynchronous one is given.
    VenueDataError
        If the venue does not offer tiers, has none for the symbol, or does not answer.

    Examples
    --------
    >>> tiers = fetch_tiers("okx", "BTC/USDT:USDT")  # doctest: +SKIP
    >>> venue = venue_from_ccxt(tiers, contract=Contract(...), shape="whole-position")  # doctest: +SKIP
    """
    venue = _exchange(exchange) if isinstance(exchange, str) else exchange
    name = str(getattr(venue, "id", type(venue).__name__))
    has = getattr(venue, "has", {})
    if has.get("fetchMarketLeverageTiers") is True:  # not "emulated" by the other
        found = _ask(name, venue.fetch_market_leverage_tiers, symbol)
    elif has.get("fetchLeverageTiers"):
        found = (_ask(name, venue.fetch_leverage_tiers, [symbol]) or {}).get(symbol)
        if not found:  # Binance shows linear contracts unless it is asked for the others
            found = (_ask(name, venue.fetch_leverage_tiers, [symbol], {"subType": "inverse"}) or {}).get(symbol)
    else:
        raise VenueDataError(
            f"{name}: ccxt does not offer its leverage tiers; write them into a CSV file with floor, cap, "
            "maintenance_rate and max_leverage, and read it with read_tiers"
        )
    if not found:
        raise VenueDataError(
            f"{name} has no leverage tiers for symbol={symbol!r}; give the unified symbol of a contract"
        )
    return {"updated": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), "data": {symbol: list(found)}}


def _exchange(name: str) -> Any:
    try:
        ccxt = importlib.import_module("ccxt")
    except ModuleNotFoundError as error:
        if error.name != "ccxt":
            raise
        raise ModuleNotFoundError(
            'fetch_tiers needs ccxt; install it with: pip install "liqsim[data]"', name="ccxt"
        ) from None
    if name not in ccxt.exchanges:
        near = difflib.get_close_matches(name, ccxt.exchanges, n=3, cutoff=0.6)
        hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
        raise ParameterError(f"exchange={name!r} is unknown to ccxt; {hint}ccxt.exchanges lists all")
    return getattr(ccxt, name)({"enableRateLimit": True})


def _ask(name: str, call: Any, *arguments: Any) -> Any:
    """Call the venue; whatever ccxt raises becomes one error of ours."""
    try:
        answer = call(*arguments)
    except Exception as error:
        raise VenueDataError(
            f"{name} did not give its leverage tiers: {type(error).__name__}: {error}; check the symbol and the "
            "connection, and give an exchange with your keys where the venue asks for them"
        ) from error
    if inspect.isawaitable(answer):
        getattr(answer, "close", lambda: None)()
        raise ParameterError(f"exchange={name!r} is an asynchronous one; give the exchange of ccxt itself")
    return answer
