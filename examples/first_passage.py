"""From a study to the table of a paper: first passage probabilities, published, exact and simulated.

    python examples/first_passage.py --out out/first_passage

The command line gives the plain table: ``liqsim sweep examples/first_passage.toml --out fp.zarr`` and
``liqsim export fp.zarr --tex --var p_stop --columns stop``. This script sets the exact values beside it.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import liqsim as lq
from liqsim.study.export import rounded

STUDY = Path(__file__).with_suffix(".toml")
PUBLISHED = {("no jumps", 0.3): "0.26061", ("intensity 3", 0.3): "0.25584"}
"""What Kou and Wang (2003) give for b = 0.3 and a year, as quoted in the literature."""


def rows(ds, models):
    """Model, level, published value, exact value, simulated value, its error, and the distance in errors."""
    for label, model in models.items():
        for stop in ds.stop.values.tolist():
            at = ds.sel(model=label, stop=stop, side="short", leverage=1)
            p, se = float(at.p_stop), float(at.p_stop_se)
            exact = lq.analytic.first_passage_probability(model, 1.0 + stop, "365D")
            level = round(math.log1p(stop), 10)
            yield label, level, PUBLISHED.get((label, level), ""), exact, p, se, (p - exact) / se


def latex(table) -> str:
    """The table."""
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{tabular}{llrrrr}",
        "\\toprule",
        "jumps & $b$ & published & exact & simulated & $z$ \\\\",
        "\\midrule",
    ]
    for label, level, published, exact, p, se, z in table:
        shown, error = rounded(p, se)
        lines.append(f"{label} & {level:g} & {published} & {exact:.5f} & {shown} $\\pm$ {error} & ${z:+.2f}$ \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"]) + "\n"


def main(out: Path, changes: list[str]) -> None:
    """Run the study and write the table."""
    study = lq.study.read_study(STUDY, changes)
    ds = lq.study.run_study(study, out / "first_passage.zarr", progress=True)
    table = list(rows(ds, study.plan.models))
    text = latex(table)
    (out / "first_passage.tex").write_text(text)
    print(text)
    worst = max(abs(z) for *_, z in table)
    print(f"largest |z| = {worst:.2f}; written: {out / 'first_passage.tex'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/first_passage"))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    given = parser.parse_args()
    main(given.out, given.set)
