"""What is counted once a run instead of timed in rounds: memory of idle connections, system calls, allocations."""

import re
import shutil
import signal
import subprocess

from idle import held_for_each
from peers import job as jobs
from peers.contest import OURS, Refused
from peers.scenarios import ALLOCATIONS, IDLE_KIB, SYSCALLS
from stage import ROOT, end, tree, until

CONNECTIONS = 2_000
TRACED_SECONDS = 2


def idle(contest, verdicts):
    """Each proxy anew: one that has worked before has memory left over, and would show none."""
    for name in contest.proxies():
        what = f"KiB for one of {CONNECTIONS:,} idle connections, {name}"
        try:
            process, port = contest.start(name, "plain")
        except Refused as refused:
            contest.skip(what, refused)
            continue
        held = held_for_each(process.pid, port, jobs.SMALL, CONNECTIONS)
        end(process)
        verdicts.add(what, [held / 1024], IDLE_KIB if name == OURS else (None, None), digits=2)


def syscalls(contest, verdicts):
    if not shutil.which("strace"):
        return contest.skip("system calls", "`strace` is not installed")
    for name in contest.proxies():
        what = f"system calls for a request, {name}"
        try:
            process, port = contest.running(name, "plain")
            calls = traced(contest, name, process, contest.wrk(port, jobs.SMALL))
        except Refused as refused:
            contest.skip(what, refused)
            continue
        verdicts.add(what, [calls], SYSCALLS if name == OURS else (None, None), digits=2)


def traced(contest, name, process, tool):
    """System calls of a process tree while it is asked, divided by the requests."""
    # Workers that a master starts after it listens are there when they have answered.
    tool.run(1, contest.arguments.load_core)
    log, summary = f"strace-{name}", contest.stage.folder / f"strace-{name}.summary"
    traced = [word for pid in tree(process.pid) for word in ("-p", pid)]
    strace = contest.stage.start(log, ["strace", "-c", "-U", "calls,name", "-f", "-o", summary, *traced])

    def is_attached():
        if strace.poll() is not None:
            raise Refused(f"strace ended: {contest.stage.log(log)}".replace("\n", " "))
        return contest.stage.log(log).count("attached") >= len(traced) // 2

    until("strace is attached", is_attached, 10, 0.02)
    requests, errors = tool.run(TRACED_SECONDS, contest.arguments.load_core)
    strace.send_signal(signal.SIGINT)
    strace.wait(20)
    if errors or not requests:
        raise Refused(f"{requests} requests were answered, with {errors} errors")
    counted = re.findall(r"^ *(\d+) +(\w+)$", summary.read_text(), re.MULTILINE)
    return sum(int(calls) for calls, called in counted if called != "total") / requests


def allocations(contest, verdicts):
    """By a program of its own, which is built here: it holds a gateway and counts what that asks the heap for."""
    command = ["cargo", "bench", "--bench", "allocations"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=1800)
    found = re.search(r"allocations for a request: ([\d.]+)", done.stdout)
    if not found:
        return contest.skip("heap allocations", "`cargo bench --bench allocations` failed; its message is above")
    verdicts.add(f"heap allocations for a request, {OURS}", [float(found[1])], ALLOCATIONS)
