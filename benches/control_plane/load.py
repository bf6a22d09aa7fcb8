"""How many registrations and signs of life a core takes, and what an instance costs in memory."""

from control_plane.scene import OURS

SERVICES = 200
MANY_SERVICES = 2_000
# Each is one line for one instance, as a sidecar's is.
SIDECARS = 10_000
LINES = 80_000
REGISTRATIONS = 25_000
STREAM_BEATS = 200_000
EUREKA_BEATS = 40_000
BYTES = 500


def registrations(setting, verdicts):
    """In each of the three ways on a control plane of its own; the best of them is judged, all are told."""
    count, found = setting.arguments.registrations, {}
    for kind in ("put", "eureka-post"):
        plane = setting.plane()
        plane.requests(kind, 1_000, SERVICES)
        found[kind] = plane.requests(kind, count, SERVICES, first=1_000)
        plane.end()
    plane = setting.plane()
    words = {"streams": 250, "rate": 1_000, "seconds": 0.1, "services": SERVICES}
    report = setting.agent("beats", address=plane.own, pid=plane.pid, instances=count, **words)
    found["stream-register"] = report["stream-register"]
    plane.end()
    names = {"put": "registrations, own PUT", "eureka-post": "registrations, Eureka POST", "stream-register": "registrations, on 250 streams"}
    for kind, name in names.items():
        setting.note(name, OURS, found[kind])
        verdicts.add(f"{name}, a second of a core", [found[kind]["per_core"]], (None, None), True, 0)
    best = max(report["per_core"] for report in found.values())
    verdicts.add("registrations a second of a core, the best way", [best], (REGISTRATIONS, None), True, 0)


def heartbeats(setting, verdicts):
    seconds = setting.arguments.seconds
    plane = setting.plane()
    words = {"address": plane.own, "pid": plane.pid, "services": SERVICES, "seconds": seconds}
    lines = setting.agent("beats", streams=SIDECARS, instances=SIDECARS, rate=LINES, **words)["lines"]
    setting.note(f"lines of {SIDECARS:,} sidecars", OURS, lines)
    many = setting.agent("beats", streams=10, instances=10_000, first=20_000, rate=2_000, **words)["leases"]
    setting.note("leases renewed, 1,000 on a stream", OURS, many)
    plane.end()
    plane = setting.plane()
    plane.requests("eureka-post", 10_000, SERVICES)
    puts = plane.requests("eureka-put", 10_000, SERVICES, seconds=seconds)
    setting.note("signs of life, Eureka PUT", OURS, puts)
    plane.end()
    what = "lines (each one sidecar's sign of life) a second of a core"
    # Each of them is a packet on a socket of its own, which a bare `recv` would not read at that gate.
    verdicts.add(what, [lines["per_core"]], (None, None), True, 0)
    name = "leases renewed a second of a core, 1,000 on a stream"
    verdicts.add(name, [many["per_core"]], (STREAM_BEATS, None), True, 0)
    verdicts.add("signs of life as Eureka PUT, a second of a core", [puts["per_core"]], (EUREKA_BEATS, None), True, 0)


def memory(setting, verdicts):
    """Registered over HTTP, so that what it takes to get them in is part of it."""
    count = setting.arguments.instances
    plane = setting.plane()
    before = plane.memory()
    report = plane.requests("put", count, MANY_SERVICES)
    setting.note(f"registrations, own PUT, {count:,}", OURS, report)
    each = (plane.memory() - before) / count
    verdicts.add(f"bytes for one of {count:,} instances in {MANY_SERVICES:,} services", [each], (BYTES, None), digits=0)
    plane.end()
    count = min(count, 100_000)
    plane = setting.plane()
    before = plane.memory()
    plane.requests("eureka-post", count, SERVICES)
    each = (plane.memory() - before) / count
    verdicts.add(f"bytes for one of {count:,} instances of Eureka clients", [each], (None, None), digits=0)
    plane.end()
