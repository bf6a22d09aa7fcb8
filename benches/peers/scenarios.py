"""What is measured, and the bounds that are set for it: the gate that must hold, and the goal that is aimed at.

A bound is a ratio, ours to a peer's, of CPU per request; less is better. Only handshakes are told as a rate, ours to a
peer's, where more is better."""

from dataclasses import dataclass


# A peer that is our own run without tokens.
OWN = "own plain"


@dataclass(frozen=True)
class Bound:
    """Against one peer. None where nothing is set: then the ratio is shown and not judged."""

    peer: str
    gate: float | None = None
    goal: float | None = None


@dataclass(frozen=True)
class Scenario:
    name: str
    title: str
    # Which configuration of each proxy: `plain`, `tls` or `tokens`.
    kind: str = "plain"
    bounds: tuple = ()
    more_is_better: bool = False


SCENARIOS = (
    Scenario("plain", "HTTP/1.1, small JSON", "plain", (
        Bound("nginx", 1.00, 0.90),
        Bound("haproxy", 0.95),
        Bound("envoy", 0.45),
    )),
    Scenario("tokens", "the same, RS256, 1,000 tokens in turn", "tokens", (
        Bound("haproxy", 0.45),
        Bound("envoy", 0.45),
        Bound(OWN, None, 1.08),
    )),
    Scenario("tls", "TLS 1.3, kept connections", "tls", (
        Bound("nginx", 1.00, 0.90),
        Bound("haproxy", 1.00, 0.90),
    )),
    Scenario("h2", "HTTP/2 over TLS, 16 streams", "tls", (
        Bound("nginx", 1.05, 0.95),
        Bound("haproxy", 1.20, 0.95),
    )),
    Scenario("body", "answers of 1 MiB", "plain", (
        Bound("haproxy", 1.00, 0.80),
        Bound("nginx", 0.70),
    )),
    Scenario("handshakes", "full TLS handshakes, P-256", "tls", (
        Bound("nginx", 1.10, 1.25),
        Bound("haproxy"),
    ), more_is_better=True),
    Scenario("cache", "answers from the cache", "plain", (Bound("nginx"), Bound("haproxy"))),
)

# The last of so many routes, against the last of the fewest.
ROUTES = (10, 1_000, 100_000)
ROUTES_GATE = 1.05

# Of ours, counted once a run: gate and goal.
IDLE_KIB = (4.0, 1.0)
SYSCALLS = (5.0, 4.2)
ALLOCATIONS = (25.0, 12.0)
