"""Venue rules: contract, margin schedule, funding, fees and liquidation procedure, dated and sourced."""

from liqsim.venues.contract import Contract
from liqsim.venues.fees import Fees
from liqsim.venues.funding import FixedFunding, PremiumFunding, Rollover
from liqsim.venues.liquidation import Liquidation
from liqsim.venues.margin import MarginSchedule
from liqsim.venues.registry import list_venues, load_venue
from liqsim.venues.schedules import FixedPerContract, FlatLeverage, LinearInSize, MarginWindow, WindowedRates
from liqsim.venues.tiers import MarginalTiers, Tier, WholePositionTiers
from liqsim.venues.unstated import UnstatedSchedule
from liqsim.venues.venue import Source, Venue

__all__ = [
    "Contract",
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
    "list_venues",
    "load_venue",
]
