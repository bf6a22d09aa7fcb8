"""What was measured of one proxy doing one job, and how two of them compare."""

from dataclasses import dataclass, field

from figures import median, spread
from peers.scenarios import Bound, Scenario
from stage import cpu_seconds, fail


@dataclass
class Run:
    """One proxy doing one job, and what was measured of it."""

    name: str
    process: object
    tool: object
    cost: list = field(default_factory=list)
    rate: list = field(default_factory=list)
    busy: list = field(default_factory=list)
    requests: int = 0
    errors: int = 0

    def measure(self, seconds, core):
        before = cpu_seconds(self.process.pid)
        requests, errors = self.tool.run(seconds, core)
        used = cpu_seconds(self.process.pid) - before
        if not requests:
            fail(f"{self.name}: not one request was answered")
        self.requests += requests
        self.errors += errors
        self.cost.append(used * 1e6 / requests)
        self.rate.append(requests / seconds / 1000)
        self.busy.append(used / seconds * 100)

    def row(self):
        cells = [self.name, f"{self.requests:,}", self.errors, f"{median(self.rate):.1f}", f"{median(self.busy):.0f}"]
        return [*cells, spread(self.cost), f"{1e6 / median(self.cost):,.0f}"]


@dataclass
class Comparison:
    """A run of ours beside another one, and the bound for their ratio."""

    scenario: Scenario
    ours: Run
    other: Run
    bound: Bound

    def ratios(self):
        """Round by round: what the machine did in a round is in both."""
        pairs = zip(self.ours.cost, self.other.cost)
        return [other / ours if self.scenario.more_is_better else ours / other for ours, other in pairs]

    def judge(self, verdicts):
        what = f"{self.scenario.title}, ours / {self.bound.peer}"
        verdicts.add(what, self.ratios(), (self.bound.gate, self.bound.goal), self.scenario.more_is_better, 2)
