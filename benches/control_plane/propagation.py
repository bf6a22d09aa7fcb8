"""How long from an accepted write until a real gateway answers by it, while a hundred others are told too."""

import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from control_plane.scene import Watchers
from demo import Client
from figures import percentile
from stage import free_port, until

GATEWAYS = 100
INSTANCES = 1_000
BOUND_MS = 20


class Origin(BaseHTTPRequestHandler):
    """Answers everything."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        # Head only: a body in a packet of its own would wait for the head's acknowledgement.
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Says nothing."""


def measure(setting, verdicts):
    # The origin's thread must not wait for this one longer than what is measured.
    sys.setswitchinterval(0.0005)
    plane = setting.plane()
    plane.requests("put", INSTANCES, 50)
    watchers = Watchers(setting, address=plane.own, pid=plane.pid, watchers=GATEWAYS)
    origin = ThreadingHTTPServer(("127.0.0.1", 0), Origin)
    threading.Thread(target=origin.serve_forever, daemon=True).start()
    gateway = a_gateway(setting, plane)
    try:
        rounds = setting.arguments.rounds
        judge(verdicts, "route", *routes(plane, gateway, origin.server_port, rounds))
        judge(verdicts, "instance", *instances(plane, gateway, origin.server_port, rounds))
    finally:
        origin.shutdown()
    watchers.end()
    plane.end()


def judge(verdicts, what, accepted, answered):
    verdicts.add(f"{what} sent → accepted, on disk, ms, p99 of {len(accepted)}", [percentile(accepted, 0.99)], (None, None))
    told = f"{what} accepted → first request answered by it, {GATEWAYS} gateways, ms, p99 of {len(answered)}"
    verdicts.add(told, [percentile(answered, 0.99)], (BOUND_MS, None))


def a_gateway(setting, plane):
    """One of the hundred and one is real; it shares the agents' core."""
    port = free_port()
    text = f"kind: gateway\nlisten: 127.0.0.1:{port}\nadmin: 127.0.0.1:0\naccess_log: 'off'\nworkers: 1\n"
    config = setting.stage.write("gateway.yaml", f"{text}control_plane: {{url: 'http://{plane.own}', node: real}}\n")
    command = [setting.program, "--log", "warn", "gateway", "--config", config]
    setting.stage.start("gateway", command, cpu=setting.arguments.agents_core)
    client = Client(f"127.0.0.1:{port}")
    until("the gateway serves", lambda: client.is_ok("/") or answers(client, "/"))
    return client


def answers(client, path):
    try:
        return client.get(path).status
    except OSError:
        return 0


def instance(port):
    return {"address": f"127.0.0.1:{port}", "lease_ms": 600_000}


def timed(write, seen):
    """Milliseconds from a write's sending to its acceptance, and from there until `seen`."""
    began = time.monotonic()
    write()
    accepted = time.monotonic()
    _, moment = until("the gateway answers by it", seen, pause=0)
    return (accepted - began) * 1000, max(0.0, moment - accepted) * 1000


def routes(plane, gateway, port, rounds):
    """Each change moves one route to another path."""
    control = plane.client
    control.must("PUT", "/v1/services/origin/instances/one", instance(port))
    found = []
    for number in range(rounds):
        route = {"match": {"path": f"/route-{number}"}, "service": "origin"}
        found.append(
            timed(
                lambda: control.must("PUT", "/v1/routes/bench", route),
                lambda: answers(gateway, f"/route-{number}") == 200,
            )
        )
    return zip(*found)


def instances(plane, gateway, port, rounds):
    """The only instance of a service comes, and is gone again before the next round."""
    control, path = plane.client, "/v1/services/fresh/instances/one"
    control.must("PUT", "/v1/services/fresh")
    control.must("PUT", "/v1/routes/fresh", {"match": {"path": "/fresh"}, "service": "fresh"})
    found = []
    for _ in range(rounds):
        found.append(
            timed(lambda: control.must("PUT", path, instance(port)), lambda: answers(gateway, "/fresh") == 200)
        )
        control.must("DELETE", path)
        until("the gateway has let it go", lambda: answers(gateway, "/fresh") == 503)
    return zip(*found)
