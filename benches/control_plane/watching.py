"""Many watchers: one change to all of them, and all of them back at once."""

from pathlib import Path

from control_plane.scene import Watchers
from figures import percentile

INSTANCES = 1_000
CHANGES = 20
ALL_TOLD_MS = 150
# What a report calls each moment. The first is the disk's, and is a part of the others.
MOMENTS = [
    ("accepted", "accepted, on disk", None),
    ("milliseconds", "the last of them has it", ALL_TOLD_MS),
    ("confirmed", "the last of them has confirmed it", None),
]
ALL_BACK_MS = 5_000
# What the control plane may hold beyond what it held for its watchers before they all came back at once.
EXTRA_MB = 200


def measure(setting, verdicts):
    count, plane = setting.arguments.watchers, setting.plane()
    # Numbers far from those of the changes: what is there already would be no change.
    plane.requests("put", INSTANCES, 20, first=100_000)
    before = plane.memory()
    watchers = Watchers(setting, address=plane.own, pid=plane.pid, watchers=count)
    first = watchers.first
    verdicts.add("KiB for a watcher", [(first["memory"] - before) / count / 1024], (None, None))
    lost = dropped()
    changes = [watchers.ask("change") for _ in range(CHANGES)]
    lost = dropped() - lost
    for moment, what, bound in MOMENTS:
        worst = percentile([change[moment] for change in changes], 0.99)
        verdicts.add(f"{count:,} watchers: one change sent → {what}, ms, p99 of {CHANGES}", [worst], (bound, None))
    verdicts.add("packets that the kernel dropped meanwhile; one of a change is sent again 200 ms later", [lost], (None, None), digits=0)
    for command, how in (("reconnect", "resuming"), ("fresh", f"each with a snapshot of {INSTANCES:,} instances")):
        reports = [watchers.ask(command) for _ in range(3)]
        worst = max(report["milliseconds"] for report in reports)
        verdicts.add(f"{count:,} watchers lost and back at once, {how}: all current, ms", [worst], (ALL_BACK_MS, None), digits=0)
        extra = max(report["peak"] for report in reports) - first["memory"]
        verdicts.add("the most memory beyond what they took before, MB", [max(0, extra) / 1e6], (EXTRA_MB, None))
    watchers.end()
    plane.end()


def dropped():
    """Packets that the kernel's queue for loopback, one a core, had no room for. It has to hold all nodes' acknowledgements of
    TCP, which one clock sends by the thousand when a machine pauses; between two machines there is no such queue."""
    return sum(int(line.split()[1], 16) for line in Path("/proc/net/softnet_stat").read_text().splitlines())
