"""The job that every proxy is given, so that their costs can be compared: what clients ask for, and where it goes.

One worker; ten routes, of which the one that counts stands last; two endpoints in turn over kept connections; `Host`
and `X-Forwarded-For` passed on; no access log."""

from dataclasses import dataclass, field

SMALL = "/json"
LARGE = "/large"
KEPT = "/kept"
TENANTS = [f"/tenant-{number}/" for number in range(7)]
PATHS = [*TENANTS, KEPT, LARGE, SMALL]
LARGE_BYTES = 1 << 20


@dataclass
class Job:
    """What a proxy is told: the stage it may write files to, its port, the ports of both endpoints, and what a
    scenario needs beside them."""

    stage: object
    port: int
    origins: list
    issuer: object = None
    certificate: object = None
    routes: int = len(PATHS)
    programs: dict = field(default_factory=dict)
