"""Clients of every kind, each a thread at a steady rate; each checks that an answer is its own, and whole."""

import base64
import contextlib
import hashlib
import http.client
import itertools
import os
import random
import socket
import ssl
import subprocess
import threading
import time

from soaking.notes import Line
from soaking.origin import filled

BROKEN = (OSError, http.client.HTTPException, EOFError)
PATIENCE = 15


class Client(threading.Thread):
    """Calls `ask` at a rate until it is told to stop. A failed request ends its connection."""

    rate, repeatable = 10, True
    numbers = itertools.count(1)

    def __init__(self, scene):
        super().__init__(daemon=True, name=type(self).__name__)
        self.scene, self.notes, self.stopped = scene, scene.notes, threading.Event()
        self.connection, self.line = None, None

    def run(self):
        due = time.monotonic()
        while not self.stopped.wait(max(0, due - time.monotonic())):
            due = max(due + 1 / self.rate, time.monotonic() - 1)
            try:
                self.ask()
                self.notes.answered(self.name)
            except BROKEN as error:
                self.notes.failed(self.name, repr(error), self.repeatable)
                self.hang_up()
        self.hang_up()

    def hang_up(self):
        if self.connection:
            with contextlib.suppress(OSError):
                self.connection.close()
        self.connection = None

    def nonce(self):
        return f"{self.name}-{next(self.numbers)}"

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.scene.plain, timeout=PATIENCE)

    def call(self, method, path, body=None, fields=None):
        """One request and its whole answer; `http.client` raises for a body that is too short."""
        if self.connection is None:
            self.connection, self.line = self.connect(), Line(self.notes, self.name)
        self.connection.request(method, path, body, {"Host": "soak", **(fields or {})})
        answer = self.connection.getresponse()
        data = answer.read()
        # What the gateway answers by itself has no part in a route's fields.
        if answer.status == 200:
            self.line.heard(answer.getheader("x-config"))
        return answer.status, data

    def get(self, part, expected=bytes, **fields):
        nonce = self.nonce()
        status, data = self.call("GET", f"/{part}/{nonce}", fields=fields)
        self.check(status, data, expected(nonce.encode()))

    def check(self, status, data, expected):
        if status != 200:
            raise EOFError(f"{status} {data[:120]!r}")
        if data != expected:
            self.notes.breaks("I4" if expected.startswith(data) else "I3", f"{expected[:60]!r} had {data[:60]!r}")

    def ask(self):
        self.get("echo")


class Kept(Client):
    rate = 40


class Closed(Client):
    def ask(self):
        self.get("echo", connection="close")
        self.hang_up()


class Tls(Client):
    rate = 20
    context = ssl._create_unverified_context()

    def connect(self):
        return http.client.HTTPSConnection("127.0.0.1", self.scene.secure, timeout=PATIENCE, context=self.context)


class Handshakes(Tls):
    rate = 4

    def ask(self):
        super().ask()
        self.hang_up()


class Chunked(Client):
    repeatable = False

    def ask(self):
        self.get("chunked", lambda nonce: nonce * 3)


class Big(Client):
    rate, repeatable = 4, False

    def ask(self):
        self.get("big", filled)


class Posts(Client):
    """Bodies with a length or in chunks, by ids that the origin counts."""

    rate, repeatable = 15, False

    def ask(self):
        number, body = self.nonce(), random.randbytes(random.choice((0, 10, 3_000, 200_000)))
        pieces = iter([body[:1000], body[1000:]]) if len(body) > 1000 and random.random() < 0.5 else body
        status, data = self.call("POST", f"/orders/{number}", pieces)
        self.check(status, data, f"{number} {len(body)} {hashlib.sha256(body).hexdigest()}".encode())
        self.notes.accept(number)


class Private(Client):
    """A route that wants a token: with it, without, with a bad one."""

    def ask(self):
        self.get("private", authorization=f"Bearer {self.scene.token}")
        good = self.scene.token
        for fields in ({}, {"authorization": f"Bearer {good[:-6]}AAAAAA"}, {"authorization": "Basic YTpi"}):
            status, _ = self.call("GET", f"/private/{self.nonce()}", fields=fields)
            if status != 401:
                self.notes.breaks("I5", f"{status} for {fields}")


class Raw(Client):
    """Clients that do what `http.client` never would."""

    def open(self):
        self.connection = socket.create_connection(("127.0.0.1", self.scene.plain), PATIENCE)
        return self.connection


class Dripping(Raw):
    """Sends slowly, and takes a long answer slowly."""

    rate, repeatable = 1, False

    def ask(self):
        client, nonce = self.open(), self.nonce()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        for piece in (f"GET /big/{nonce} HT", "TP/1.1\r\nHo", "st: soak\r\nConnection: close\r", "\n\r\n"):
            client.sendall(piece.encode())
            time.sleep(0.1)
        answer = b""
        while piece := client.recv(32 * 1024):
            answer += piece
            time.sleep(0.02)
        head, _, data = answer.partition(b"\r\n\r\n")
        # A cut answer is a failed one: its length was told.
        if head.startswith(b"HTTP/1.1 200") and len(data) < len(filled(b"-")):
            raise EOFError(f"cut after {len(data)} bytes")
        self.check(int(head[9:12] or 0), data, filled(nonce.encode()))
        self.hang_up()


class Rude(Raw):
    """Leaves in the middle, and sends what is no HTTP. What it is told does not matter."""

    rate = 10
    begins = (b"GET /echo/x HT", b"\x16\x03\x01\0\xff", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
              b"POST /orders/never HTTP/1.1\r\nHost: soak\r\nContent-Length: 90\r\n\r\nabc",
              b"POST /orders/never HTTP/1.1\r\nHost: soak\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
              b"GET /big/x HTTP/1.1\r\nHost: soak\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\xff")

    def ask(self):
        client = self.open()
        with contextlib.suppress(OSError):
            client.sendall(random.choice(self.begins))
            client.settimeout(random.choice((0.01, 0.1)))
            client.recv(1000)
        if random.random() < 0.5:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.hang_up()


class WebSocket(Raw):
    rate, repeatable = 10, False

    def ask(self):
        if self.connection is None:
            self.begin()
        message, mask = self.nonce().encode(), os.urandom(4)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(message))
        self.connection.sendall(bytes([0x81, 0x80 | len(message)]) + mask + masked)
        expected = bytes([0x81, len(message)]) + message
        if (answer := exactly(self.connection, len(expected))) != expected:
            self.notes.breaks("I3", f"{expected!r} had {answer!r}")

    def begin(self):
        key = base64.b64encode(os.urandom(16)).decode()
        fields = f"Host: soak\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: {key}\r\n"
        self.open().sendall(f"GET /chat HTTP/1.1\r\n{fields}Sec-WebSocket-Version: 13\r\n\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += exactly(self.connection, 1)
        if not head.startswith(b"HTTP/1.1 101"):
            raise EOFError(repr(head[:80]))


def exactly(client, count):
    data = b""
    while len(data) < count:
        piece = client.recv(count - len(data))
        if not piece:
            raise EOFError(f"closed after {data!r}")
        data += piece
    return data


class Curl(Client):
    """HTTP/2 by curl: several requests by one connection over TLS, one by prior knowledge."""

    rate = 1

    def ask(self):
        secure = random.random() < 0.5
        # curl 7.88 breaks a connection of prior knowledge at its second request (its issue 10634).
        nonces = [self.nonce() for _ in range(12 if secure else 1)]
        base = f"https://127.0.0.1:{self.scene.secure}" if secure else f"http://127.0.0.1:{self.scene.plain}"
        command = ["curl", "-qsSk", "-m", str(PATIENCE), "--http2" if secure else "--http2-prior-knowledge"]
        command += ["-w", "\n%{http_version} %{http_code} %header{x-config}\n", *(f"{base}/echo/{one}" for one in nonces)]
        ended = subprocess.run(command, capture_output=True, text=True)
        said = ended.stdout.splitlines()
        line = Line(self.notes, self.name)
        if ended.returncode or len(said) != 2 * len(nonces):
            raise EOFError(f"curl of {base}: {ended.stderr.strip()} {said[-2:]}")
        for nonce, data, told in zip(nonces, said[::2], said[1::2]):
            version, status, config = [*told.split(" "), ""][:3]
            if version != "2":
                raise EOFError(f"HTTP/{version}")
            self.check(int(status), data.encode(), nonce.encode())
            line.heard(config or None)


class H2load(Client):
    """HTTP/2 with many streams at once, by h2load."""

    rate = 0.5

    def ask(self):
        port, scheme = random.choice(((self.scene.plain, "http"), (self.scene.secure, "https")))
        command = ["h2load", "-n", "200", "-c", "2", "-m", "16", f"{scheme}://127.0.0.1:{port}/echo/load"]
        said = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
        if "200 2xx, 0 3xx, 0 4xx, 0 5xx" not in said:
            raise EOFError(" ".join(line for line in said.splitlines() if line.startswith(("requests", "status"))))


ALL = (Kept, Kept, Closed, Tls, Handshakes, Chunked, Big, Posts, Posts, Private, Dripping, Rude, WebSocket, Curl, H2load)
NEEDS = {Curl: "curl", H2load: "h2load"}
