"""Studies: a sweep described in a file, run so that it can be stopped, resumed, extended, spread and repeated."""

from liqsim.study.repeat import rerun
from liqsim.study.resolve import Study, read_study
from liqsim.study.session import open_store, resume, run_study

__all__ = ["Study", "open_store", "read_study", "rerun", "resume", "run_study"]
