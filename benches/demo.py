"""The demo as a user starts it, on free ports: its addresses, its processes, and a client that keeps its connection."""

import http.client
import json
import os
import sys
import threading
import time
from pathlib import Path

from stage import end, fail, read_json, until

NODES = 8  # the gateway and a sidecar for each of the shop's seven instances


class Demo:
    """A running demo. The stage it was started on ends it, if nobody else has."""

    def __init__(self, stage, program, name="demo"):
        self.stage, self.program, self.name = stage, program, name
        self.data = stage.folder / name
        file = stage.folder / f"{name}.addresses"
        began = time.monotonic()
        command = [program, "demo", "--any-port", "--data-dir", self.data, "--address-file", file]
        self.process = stage.start(name, command)

        def addresses():
            if self.process.poll() is not None:
                fail(f"the demo ended at its start:\n  {stage.log(name)}")
            return read_json(file)

        self.addresses, ready = until("the demo is ready", addresses, 60)
        self.took = ready - began

    def client(self, part, token=None):
        """A client of `gateway`, `admin` or `control_plane`."""
        return Client(self.addresses[part], token)

    def user(self, name):
        """A client of the gateway with this user's token."""
        signed = self.client("gateway").get(f"/auth/signIn?user_id={name}").json()
        return self.client("gateway", signed["access_token"])

    def apps(self, service):
        """Where the instances of a service themselves listen."""
        return [one["app"] for one in self.addresses["services"] if one["service"] == service]

    def processes(self, subcommand):
        """Process ids of one subcommand that belong to this demo."""
        marks = (str(self.data), self.addresses["control_plane"])
        lines = {int(entry): command_line(entry) for entry in os.listdir("/proc") if entry.isdigit()}
        ours = {pid: line for pid, line in lines.items() if any(mark in word for word in line for mark in marks)}
        return [pid for pid, line in ours.items() if line[1:2] == [subcommand]]

    def sidecar(self, port, number):
        """Starts a third instance of products with one sidecar command; gives the sidecar."""
        command = [self.program, "sidecar", "--service", "products", "--app", f"127.0.0.1:{port}"]
        command += ["--control-plane", f"http://{self.addresses['control_plane']}", "--instance", "products-bench"]
        command += ["--", self.program, "demo-service", "products", "--listen", f"127.0.0.1:{port}"]
        command += ["--data-dir", self.data / "shop"]
        return self.stage.start(f"sidecar-{number}", command)

    def stop(self):
        end(self.process)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


class Client:
    """One kept connection. It is made anew only for a request that comes after a failed one."""

    def __init__(self, address, token=None):
        self.connection = http.client.HTTPConnection(address, timeout=10)
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def again(self):
        """The same client on a connection of its own."""
        other = Client(f"{self.connection.host}:{self.connection.port}")
        other.headers = self.headers
        return other

    def get(self, path):
        return self.call("GET", path)

    def call(self, method, path, document=None):
        headers, body = dict(self.headers), None
        if document is not None:
            headers["Content-Type"], body = "application/json", json.dumps(document).encode()
        try:
            self.connection.request(method, path, body, headers)
            answer = self.connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        except (OSError, http.client.HTTPException):
            self.connection.close()
            raise

    def must(self, method, path, document=None):
        """A call without which nothing that follows would mean anything."""
        answer = self.call(method, path, document)
        if answer.status >= 300:
            fail(f"{method} {path} was answered with {answer.status}: {answer.body.decode(errors='replace')}")
        return answer

    def is_ok(self, path):
        try:
            return self.get(path).status == 200
        except (OSError, http.client.HTTPException):
            return False


class Load:
    """A steady number of GETs a second beside a measurement, each answer noted with both its moments and its port."""

    WORKERS = 4

    def __init__(self, client, path, per_second=200):
        # Whoever measures beside these threads must not wait for them longer than what is measured.
        sys.setswitchinterval(0.0005)
        self.path, self.pause = path, self.WORKERS / per_second
        self.notes, self.failures, self.stopped = [], [], threading.Event()
        self.threads = [threading.Thread(target=self.run, args=[client.again(), turn]) for turn in range(self.WORKERS)]
        for thread in self.threads:
            # A script that fails must not wait for its load.
            thread.daemon = True
            thread.start()

    def run(self, client, turn):
        due = time.monotonic() + turn * self.pause / self.WORKERS
        while not self.stopped.wait(max(0, due - time.monotonic())):
            due += self.pause
            try:
                began = time.monotonic()
                self.note(began, client.get(self.path))
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))

    def note(self, began, answer):
        if answer.status == 200:
            self.notes.append((began, time.monotonic(), answer.headers.get("Server-Port")))
        else:
            self.failures.append(f"{answer.status} {answer.body[:200]!r}")

    def moments(self, port):
        """When this port answered."""
        return [moment for _, moment, served in list(self.notes) if served == str(port)]

    def asked_after(self, moment, port):
        """Requests that began after a moment and that this port answered."""
        return sum(began > moment and served == str(port) for began, _, served in list(self.notes))

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join()


def command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []
