#!/usr/bin/env python3
"""How long a gateway takes from its start to its first answer, with many routes in its file.

    benches/start_routes.py [--binary target/release/portreeve] [--routes 100000] [--runs 5]

Each run starts the binary with a file of so many routes, all of them templates, and asks for the last one until it is
answered by the gateway (503, for the service has no instance that could be connected to). Told are the time by the clock,
the processor time of the process until then, and its memory. Run it on a machine that does nothing else.
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

HEAD = """kind: gateway
listen: 127.0.0.1:0
admin: 127.0.0.1:0
access_log: "off"
workers: 1
services: {origin: {endpoints: ["127.0.0.1:9"]}}
routes:
"""


def write(path, routes):
    with open(path, "w") as out:
        out.write(HEAD)
        for number in range(routes):
            path_of = f"/tenant-{number}/orders/{{id}}"
            out.write(f'  - {{name: orders-{number}, match: {{path: "{path_of}"}}, service: origin}}\n')


def answers(addresses, target):
    try:
        urllib.request.urlopen(f"http://{addresses['listen']}{target}", timeout=5)
    except urllib.error.HTTPError as refusal:
        # 404 would be a gateway without the route.
        return refusal.code in (502, 503)
    except OSError:
        return False
    return True


def used(pid):
    """Processor time in seconds, and resident memory in MB."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    ticks = os.sysconf("SC_CLK_TCK")
    pages = int(fields[21]) * resource.getpagesize()
    return (int(fields[11]) + int(fields[12])) / ticks, pages / 1e6


def run(binary, folder, routes):
    told = folder / "addresses.json"
    told.unlink(missing_ok=True)
    command = [binary, "--log", "error", "gateway", "--config", folder / "many.yaml", "--address-file", told]
    begun = time.monotonic()
    process = subprocess.Popen(command)
    try:
        while not told.exists():
            if process.poll() is not None or time.monotonic() - begun > 120:
                raise SystemExit(f"the gateway did not start (exit code {process.poll()})")
            time.sleep(0.002)
        addresses = json.loads(told.read_text())
        while not answers(addresses, f"/tenant-{routes - 1}/orders/7"):
            if time.monotonic() - begun > 120:
                raise SystemExit("the last route is not answered")
            time.sleep(0.002)
        took = time.monotonic() - begun
        return took, *used(process.pid)
    finally:
        process.terminate()
        process.wait()


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--binary", default="target/release/portreeve")
    options.add_argument("--routes", type=int, default=100_000)
    options.add_argument("--runs", type=int, default=5)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write(folder / "many.yaml", chosen.routes)
        size = (folder / "many.yaml").stat().st_size / 1e6
        runs = [run(chosen.binary, folder, chosen.routes) for _ in range(chosen.runs)]
    took, cpu, memory = ([one[part] for one in runs] for part in range(3))
    print(f"{chosen.routes} routes, {size:.1f} MB, {chosen.runs} runs")
    print(f"start to first answer: median {statistics.median(took):.2f} s, {min(took):.2f} to {max(took):.2f}")
    print(f"processor time: median {statistics.median(cpu):.2f} s; memory {statistics.median(memory):.0f} MB")


if __name__ == "__main__":
    main()
