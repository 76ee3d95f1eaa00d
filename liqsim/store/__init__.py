"""Results on disk that grow safely: exact sums as they come in, estimates once all is done."""

from liqsim.store.place import Place
from liqsim.store.tallies import Entry, Journal

__all__ = ["Entry", "Journal", "Place"]
