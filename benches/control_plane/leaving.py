"""How soon an instance is out of rotation, told to stop or killed: as `benches/propagation` measures it, more often."""

from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader

from figures import percentile
from stage import BENCHES

STOPPED_MS = 50
KILLED_MS = 1_000
WANTED = {
    "sidecar SIGTERM → confirmed by every node": STOPPED_MS,
    "sidecar SIGTERM → its process ended, in order": None,
    "requests that reached it after every node had confirmed": 0,
    "sidecar SIGKILL → its last answer to a client": KILLED_MS,
    "sidecar SIGKILL → confirmed by every node": KILLED_MS,
}


class Taken:
    """Takes what `propagation` measures in the place of its own judge."""

    def __init__(self, verdicts):
        self.verdicts = verdicts

    def add(self, what, values, bound, unit, _digits=1):
        if what in WANTED:
            told = f"{what}{unit and f', {unit}'}, p99 of {len(values)}"
            self.verdicts.add(told, [percentile(values, 0.99)], (WANTED[what], None))
        elif bound == 0:
            self.verdicts.add(what, [max(values)], (0, None), digits=0)


def measure(setting, verdicts):
    loader = SourceFileLoader("propagation_in_a_demo", str(BENCHES / "propagation"))
    propagation = module_from_spec(spec_from_loader(loader.name, loader))
    loader.exec_module(propagation)
    scene, taken = propagation.Scene(setting.stage, setting.program), Taken(verdicts)
    propagation.stopped(scene, setting.arguments.leaving, taken)
    propagation.killed(scene, setting.arguments.leaving, taken)
    scene.demo.stop()
