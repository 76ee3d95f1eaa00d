"""Exceptions. Every message names the argument, what was given, what is allowed and the way out."""

from __future__ import annotations


class LiqsimError(Exception):
    """Base class of every error that liqsim raises on purpose."""


class ParameterError(LiqsimError, ValueError):
    """An argument is outside what the simulation can mean."""


class MarginRuleError(ParameterError):
    """A position or a margin schedule breaks the venue's margin rules."""


class VenueDataError(ParameterError):
    """A venue file or an imported tier table is missing, malformed or inconsistent."""


class CalibrationError(ParameterError):
    """Market data cannot be fitted as given."""


class KernelUnavailable(LiqsimError, RuntimeError):
    """The compiled kernel asked for is not built here or not supported by this processor."""


class StoreError(ParameterError):
    """A store of results cannot be read, written or continued as asked."""


class Unfinished(LiqsimError, RuntimeError):
    """Work has stopped before its end; the message says what is saved and how to go on."""
