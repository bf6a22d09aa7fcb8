"""Numbers as people compare them: medians with their spread, and a table whose columns stand under each other."""

import math
import operator
import statistics


def median(values):
    return statistics.median(values)


def percentile(values, share):
    """The nearest-rank percentile: always a value that was measured."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def spread(values, digits=1):
    """`median (lowest–highest)`."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def table(header, rows):
    """A table in Markdown: to be read in a terminal and pasted into a README."""
    rows = [header, *[[str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]

    def line(cells):
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths)) + " |"

    ruler = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    print("\n".join([line(rows[0]), ruler, *map(line, rows[1:])]), flush=True)


class Gates:
    """Figures with a bound each. The run has failed when one of them is missed."""

    def __init__(self):
        self.rows = []
        self.missed = False

    def add(self, what, values, bound, unit, digits=1):
        """Judges the worst of `values`; `bound` None makes it a figure without a judgement."""
        worst = max(values)
        verdict = "" if bound is None else "PASS" if worst <= bound else "FAIL"
        self.missed |= verdict == "FAIL"
        self.rows.append([
            what,
            len(values),
            f"{median(values):.{digits}f}",
            f"{percentile(values, 0.99):.{digits}f}",
            f"{worst:.{digits}f}",
            unit,
            "" if bound is None else f"≤ {bound:g}",
            verdict,
        ])

    def show(self):
        table(["what", "runs", "p50", "p99", "worst", "unit", "bound", ""], self.rows)


class Verdicts:
    """Figures with a gate, which must hold, and a goal, which is aimed at. The median is judged."""

    def __init__(self):
        self.rows = []
        self.missed = False

    def add(self, what, values, bounds, more_is_better=False, digits=1):
        """`bounds` are gate and goal; a bound of None is not judged."""
        sign, holds = ("≥", operator.ge) if more_is_better else ("≤", operator.le)
        cells = []
        for bound in bounds:
            judged = bound is not None
            verdict = "PASS" if judged and holds(median(values), bound) else "miss"
            cells += [f"{sign} {bound:g}", verdict] if judged else ["", ""]
        self.missed |= cells[1] == "miss"
        self.rows.append([what, spread(values, digits), *cells])

    def skip(self, what, why):
        """What was not measured stands in the table too: it has not passed."""
        self.rows.append([what, f"not measured: {why}", "", "", "", ""])

    def show(self):
        table(["what", "median (range)", "gate", "", "goal", ""], self.rows)
