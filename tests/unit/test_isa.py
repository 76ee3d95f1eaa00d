"""The choice of an instruction-set level, and what is said when it cannot be had."""

import pytest

import liqsim as lq
from liqsim import _core


def run():
    return lq.first_passage(lq.GBM(0.5), 0.9, "1D", n_paths=10, seed=1)


@pytest.mark.parametrize("asked", ["v9", "avx2", "V3", " v3", "base,v3"])
@pytest.mark.parametrize("threads", [1, 2])
def test_unknown_level(monkeypatch, asked, threads):
    monkeypatch.setenv("LIQSIM_ISA", asked)
    with pytest.raises(lq.ParameterError, match=f"LIQSIM_ISA='{asked}' is not a level; choose one of base, v3, v4"):
        lq.first_passage(lq.GBM(0.5), 0.9, "1D", n_paths=5000, seed=1, threads=threads)


def test_level_that_the_processor_lacks(monkeypatch):
    monkeypatch.setattr(_core, "_processor_levels", lambda: ("base",))
    monkeypatch.setenv("LIQSIM_ISA", "v4")
    monkeypatch.setattr(_core, "_built", lambda level: True)
    with pytest.raises(
        lq.KernelUnavailable, match=r"LIQSIM_ISA='v4' is not supported by this .* processor; available: base"
    ):
        run()


def test_level_that_is_not_built(monkeypatch):
    monkeypatch.setattr(_core, "_built", lambda level: level == "base")
    monkeypatch.setenv("LIQSIM_ISA", "v3")
    with pytest.raises(lq.KernelUnavailable, match="LIQSIM_ISA='v3' is not built here; available: base"):
        run()


def test_no_kernel_at_all(monkeypatch):
    monkeypatch.setattr(_core, "_built", lambda level: False)
    with pytest.raises(lq.KernelUnavailable, match=r'no compiled kernel was found; build it with "pip install \."'):
        run()


def test_the_best_level_unless_asked(monkeypatch):
    monkeypatch.delenv("LIQSIM_ISA", raising=False)
    assert _core.selected_level() == _core.available_levels()[-1]
    monkeypatch.setattr(_core, "_processor_levels", lambda: ("base",))
    assert run().attrs["instruction_set"] == "base"
    monkeypatch.setenv("LIQSIM_ISA", "")
    assert _core.selected_level() == "base"


def test_processor_levels_follow_its_flags(monkeypatch):
    flags = {"base": set(), "v3": _core._NEEDS["v3"], "v4": _core._NEEDS["v3"] | _core._NEEDS["v4"]}
    for best, has in flags.items():
        monkeypatch.setattr(_core.Path, "read_text", lambda self, has=has: f"flags : {' '.join(has)}\n")
        levels = _core._processor_levels.__wrapped__()
        assert levels == _core.ISA_LEVELS[: _core.ISA_LEVELS.index(best) + 1]

    def missing(self):
        raise FileNotFoundError

    monkeypatch.setattr(_core.Path, "read_text", missing)
    assert _core._processor_levels.__wrapped__() == ("base",)


def test_missing_kernel_is_a_runtime_error():
    assert issubclass(lq.KernelUnavailable, (lq.LiqsimError, RuntimeError))
