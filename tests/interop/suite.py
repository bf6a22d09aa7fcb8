"""Runs the cases, each with a limit in time, and says of each PASS, FAIL or SKIP and why."""

import argparse
import importlib
import signal
import sys
import time
import traceback

from stage import Failed, Skipped, Stage, missing

MODULES = ["native_grpc", "web_grpc", "websocket", "http1", "http2", "tls", "secure", "proxy_protocol", "local_sockets", "stopping", "eureka", "config_server"]
# For one case, and for all of them, in seconds.
LIMIT, WHOLE = 60, 150
BEGAN = time.monotonic()


def main():
    arguments = read_arguments()
    counts = {"PASS": 0, "FAIL": 0, "SKIP": 0}
    for name in MODULES:
        cases = [case for case in cases_of(name) if arguments.only in case.title]
        if arguments.list:
            print("\n".join(case.title for case in cases))
        elif cases:
            run_module(name, cases, arguments.direct, counts)
    if not arguments.list:
        took = f"in {time.monotonic() - BEGAN:.0f} s"
        print(f"interop: {counts['PASS']} passed, {counts['FAIL']} failed, {counts['SKIP']} skipped {took}")
    sys.exit(1 if counts["FAIL"] else 0)


def read_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--direct", action="store_true", help="leave the gateway out, to check the cases themselves")
    parser.add_argument("--only", default="", help="only cases whose name has this in it")
    parser.add_argument("--list", action="store_true", help="name the cases and run none")
    return parser.parse_args()


class Absent:
    """Stands for a module whose packages are not installed."""

    def __init__(self, title, why):
        self.title, self.why = title, why


def cases_of(name):
    try:
        module = importlib.import_module(name)
    except ImportError as fault:
        return [Absent(name, f"no Python package {fault.name}")]
    return [value for value in vars(module).values() if getattr(value, "is_case", False)]


def run_module(name, cases, direct, counts):
    def tell(verdict, title, why=""):
        counts[verdict] += 1
        print(f"{verdict} {title}" + (f": {why}" if why else ""), flush=True)

    able = []
    for case in cases:
        why = case.why if isinstance(case, Absent) else case.reason_to_skip(direct)
        tell("SKIP", case.title, why) if why else able.append(case)
    if not able:
        return
    module = importlib.import_module(name)
    absent = missing(getattr(module, "NEEDS", ()))
    if absent:
        for case in able:
            tell("SKIP", case.title, absent)
        return
    with Stage(direct) as stage:
        try:
            scene = limited(lambda: module.scene(stage))
        except Exception as fault:
            for case in able:
                tell("FAIL", case.title, f"the scene could not be set: {reason(fault)}")
            return
        for case in able:
            began = time.monotonic()
            try:
                limited(lambda: case(scene))
                tell("PASS", f"{case.title} ({time.monotonic() - began:.1f} s)")
            except Skipped as why:
                tell("SKIP", case.title, str(why))
            except Exception as fault:
                tell("FAIL", case.title, reason(fault))


def reason(fault):
    """One line about what went wrong."""
    if isinstance(fault, Failed):
        text = str(fault)
    elif callable(getattr(fault, "code", None)) and callable(getattr(fault, "details", None)):
        text = f"the call ended with {fault.code().name}: {fault.details()}"
    else:
        place = traceback.extract_tb(fault.__traceback__)[-1]
        text = f"{type(fault).__name__}: {fault} ({place.filename.rsplit('/', 1)[-1]}:{place.lineno})"
    return " ".join(text.split())[:500]


def limited(action):
    left = min(LIMIT, int(BEGAN + WHOLE - time.monotonic()))
    if left < 1:
        raise Failed(f"not begun: all cases together have {WHOLE} s")

    def over(*_):
        raise Failed(f"not done after {left} s")

    signal.signal(signal.SIGALRM, over)
    signal.alarm(left)
    try:
        return action()
    finally:
        signal.alarm(0)


if __name__ == "__main__":
    main()
