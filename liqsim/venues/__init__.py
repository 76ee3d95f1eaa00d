"""Venue rules: contract, margin schedule, funding, fees and liquidation procedure, dated and sourced."""

from liqsim.venues.clock import Closure, DailyTimes, closed_windows, parse_start, window_switches
from liqsim.venues.contract import Contract
from liqsim.venues.fees import Fees
from liqsim.venues.fetch import fetch_tiers
from liqsim.venues.funding import BasisCarry, FixedFunding, PremiumFunding, Rollover
from liqsim.venues.ingest import read_tiers, venue_from_ccxt
from liqsim.venues.liquidation import Liquidation
from liqsim.venues.margin import MarginSchedule
from liqsim.venues.registry import list_venues, load_venue, snapshot_dates
from liqsim.venues.schedules import FixedPerContract, FlatLeverage, LinearInSize, MarginWindow, WindowedRates
from liqsim.venues.tiers import MarginalTiers, Tier, WholePositionTiers
from liqsim.venues.unstated import UnstatedSchedule
from liqsim.venues.venue import Source, Venue
from liqsim.venues.writing import write_venue

__all__ = [
    "BasisCarry",
    "Closure",
    "Contract",
    "DailyTimes",
    "Fees",
    "FixedFunding",
    "FixedPerContract",
    "FlatLeverage",
    "LinearInSize",
    "Liquidation",
    "MarginSchedule",
    "MarginWindow",
    "MarginalTiers",
    "PremiumFunding",
    "Rollover",
    "Source",
    "Tier",
    "UnstatedSchedule",
    "Venue",
    "WholePositionTiers",
    "WindowedRates",
    "closed_windows",
    "fetch_tiers",
    "list_venues",
    "load_venue",
    "parse_start",
    "read_tiers",
    "snapshot_dates",
    "venue_from_ccxt",
    "window_switches",
    "write_venue",
]
