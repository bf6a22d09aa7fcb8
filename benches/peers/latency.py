"""How much a proxy adds to the latency that hardly anybody meets (p99), at half of what the slower one can do.

Requests are sent when they are due, whether earlier ones were answered or not, and are timed from then: a proxy that
stops for a moment is charged for everything that waited (no coordinated omission)."""

import json
import shutil
import subprocess
import sys
import time

from figures import median
from peers import job as jobs
from peers.contest import OURS, Refused
from stage import BENCHES, fail

ROUNDS = 3
CONNECTIONS = 64
PEER = "nginx"


def added(contest, verdicts, deadline):
    arguments, program = contest.arguments, contest.stage.folder / "open_loop"
    if not shutil.which("rustc"):
        return contest.skip("added p99", "`rustc`, which builds the generator, was not found")
    build = ["rustc", "--edition", "2024", "-O", "-o", program, BENCHES / "peers" / "open_loop.rs"]
    if subprocess.run(build).returncode:
        fail("the generator `open_loop.rs` could not be built; rustc's message is above")
    try:
        ports = {name: contest.running(name, "plain")[1] for name in (PEER, OURS)}
        rate = int(min(capacity(contest, name, port) for name, port in ports.items()) / 2)
        ports = {"no proxy": contest.origins[0], **ports}
        found = {name: [] for name in ports}
        for number in range(ROUNDS):
            if number and time.monotonic() + len(ports) * (arguments.seconds + 1) > deadline:
                print(f"only {number} rounds of latency were made: the time is up (--limit)", file=sys.stderr)
                break
            for name, port in ports.items():
                found[name].append(p99(program, port, rate, arguments))
    except Refused as refused:
        return contest.skip("added p99", refused)
    judge(verdicts, found, rate)


def longest(arguments):
    """How long all of it takes at most, in seconds."""
    return ROUNDS * 3 * (arguments.seconds + 1) + 5


def judge(verdicts, found, rate):
    verdicts.add(f"p99 at {rate:,}/s without a proxy, µs", found["no proxy"], (None, None))
    plus = {
        name: [with_it - without for with_it, without in zip(found[name], found["no proxy"])]
        for name in (PEER, OURS)
    }
    verdicts.add(f"p99 at {rate:,}/s, added by {PEER}, µs", plus[PEER], (None, None))
    verdicts.add(f"p99 at {rate:,}/s, added by {OURS}, µs", plus[OURS], (round(median(plus[PEER]), 1), None))


def capacity(contest, name, port):
    """Requests a second when the next follows each answer: as the rounds found it, or found now."""
    rates = [run.rate for run in contest.runs if run.name == f"plain: {name}" and run.rate]
    if rates:
        return median(rates[0]) * 1000
    requests, errors = contest.wrk(port, jobs.SMALL).run(2, contest.arguments.load_core)
    if errors or not requests:
        raise Refused(f"{name} answered {requests} requests, with {errors} errors")
    return requests / 2


def p99(program, port, rate, arguments):
    """In microseconds."""
    words = [f"127.0.0.1:{port}", jobs.SMALL, rate, CONNECTIONS, arguments.seconds]
    command = ["taskset", "-c", arguments.load_core, program, *words]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=arguments.seconds + 30)
    if done.returncode:
        raise Refused(f"open_loop: {done.stderr.strip()}")
    return json.loads(done.stdout)["p99"]
