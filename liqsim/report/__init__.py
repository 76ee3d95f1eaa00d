"""Results on paper: datasets in files, the tables an analyst reads first, and a report in one HTML file.

Tables and files need nothing beyond liqsim; figures and :func:`write_report` need ``pip install "liqsim[report]"``.
"""

from liqsim.files import load_result, replacing, save_result
from liqsim.report.check import CheckRow, closed_form_check
from liqsim.report.comparison import VenueRow, venue_table
from liqsim.report.document import write_report
from liqsim.report.records import Record, attach, record_of
from liqsim.report.tables import RiskRow, cases, leverage_limits, risk_table

__all__ = [
    "CheckRow",
    "Record",
    "RiskRow",
    "VenueRow",
    "attach",
    "cases",
    "closed_form_check",
    "leverage_limits",
    "load_result",
    "record_of",
    "replacing",
    "risk_table",
    "save_result",
    "venue_table",
    "write_report",
]
