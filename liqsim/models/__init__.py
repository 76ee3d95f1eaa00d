"""Price and premium dynamics: frozen, validated descriptions. No simulation code lives here."""

from liqsim.models.premium import OUPremium
from liqsim.models.price import GBM, Kou, Merton, PriceModel

__all__ = ["GBM", "Kou", "Merton", "OUPremium", "PriceModel"]
