"""HTTP/1: curl and plain sockets against nginx and byte-exact origins."""

import hashlib
import subprocess
import threading
from types import SimpleNamespace

from origins import RawOrigin, connect
from stage import WAIT, case, curl, expect, expect_true, route

NEEDS = ["curl", "nginx"]


def scene(stage):
    gate = threading.Event()
    seen = {}
    raw = RawOrigin(lambda connection: answer(connection, gate, seen))
    stage.at_end(raw.stop)
    nginx = stage.port()
    large = bytes(range(256)) * 16384
    (stage.folder / "large").write_bytes(large)
    stage.nginx(
        f"server {{ listen 127.0.0.1:{nginx}; root {stage.folder};\n"
        "  location = /nginx/large { alias " + str(stage.folder) + "/large; }\n"
        "  location = /nginx/version { return 200 $server_protocol; } }"
    )
    port = stage.port()
    stage.gateway(
        {
            "listen": f"127.0.0.1:{port}",
            "services": {
                "raw": {"endpoints": [f"127.0.0.1:{raw.port}"]},
                "nginx": {"endpoints": [f"127.0.0.1:{nginx}"]},
            },
            "routes": [
                route("raw", "/raw/*", "raw", max_body="64MiB"),
                route("small", "/small", "raw", max_body="1KiB"),
                route("nginx", "/nginx/*", "nginx"),
            ],
        }
    )
    return SimpleNamespace(
        gate=gate, seen=seen, large=large,
        raw_port=raw.port if stage.direct else port,
        nginx=f"http://127.0.0.1:{nginx if stage.direct else port}/nginx",
        raw=f"http://127.0.0.1:{raw.port if stage.direct else port}",
    )  # fmt: skip


def answer(connection, gate, seen):
    """Answers one request after another on a connection, by its path."""
    while True:
        first, fields = connection.head()
        path = first.split()[1]
        seen[path] = {"fields": fields}
        if path == "/raw/events":
            send_events(connection, gate)
        elif path == "/raw/hints":
            connection.send("HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")
            expect_true(gate.wait(WAIT), "nobody opened the gate")
            send(connection, "hinted")
        elif path == "/raw/trailers":
            connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")
            connection.send("5\r\nhello\r\n0\r\nX-Sum: five\r\n\r\n")
        elif path == "/raw/to-the-end":
            connection.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it")
            return
        else:
            if fields.get("expect", "").lower() == "100-continue":
                connection.send("HTTP/1.1 100 Continue\r\n\r\n")
            body, trailers = connection.body(fields)
            seen[path] |= {"trailers": trailers, "length": len(body)}
            send(connection, f"{len(body)} bytes, {hashlib.sha256(body).hexdigest()}")


def send(connection, text):
    connection.send(f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n{text}")


def send_events(connection, gate):
    connection.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    for number in range(3):
        event = f"data: {number}\n\n"
        connection.send(f"{len(event):x}\r\n{event}\r\n")
        if number < 2:
            expect_true(gate.wait(WAIT), "nobody opened the gate")
            gate.clear()
    connection.send("0\r\n\r\n")


def digest(body):
    return f"{len(body)} bytes, {hashlib.sha256(body).hexdigest()}"


@case("http/1: 4 MiB from nginx, unchanged")
def large_answer(scene):
    done = curl(f"{scene.nginx}/large", check=False)
    expect_true(done.stdout == scene.large, f"{len(done.stdout)} bytes came: {done.stderr.decode()}")


@case("http/1: HEAD, ranges and 304 from nginx")
def conditional(scene):
    head = curl("-I", f"{scene.nginx}/large")
    expect_true(f"content-length: {len(scene.large)}" in head.lower(), f"HEAD gave {head!r}")
    expect(curl("-r", "65-69", f"{scene.nginx}/large"), "ABCDE", "the range")
    tag = next(line.split(": ", 1)[1] for line in head.split("\r\n") if line.lower().startswith("etag"))
    status = curl("-o", "/dev/null", "-w", "%{http_code}", "-H", f"If-None-Match: {tag}", f"{scene.nginx}/large")
    expect(status, "304", "status")


@case("http/1: uploads by length and in chunks")
def uploads(scene):
    for words in ((), ("-H", "Transfer-Encoding: chunked")):
        body = scene.large
        text = curl(*words, "-H", "Expect:", "--data-binary", "@-", f"{scene.raw}/raw/upload", data=body)
        expect(text, digest(body), f"what came there {words}")


@case("http/1: Expect: 100-continue")
def continued(scene):
    words = ["-v", "-H", "Expect: 100-continue", "--expect100-timeout", "15", "--data-binary", "@-"]
    done = curl(*words, f"{scene.raw}/raw/continued", data=scene.large, check=False)
    expect_true(b"< HTTP/1.1 100 Continue" in done.stderr, "no 100 came")
    expect(done.stdout.decode(), digest(scene.large), "what came there")


@case("http/1: Expect: 100-continue for a body that is refused: it is never sent", gateway=True)
def not_continued(scene):
    words = ["-H", "Expect: 100-continue", "--expect100-timeout", "15", "-o", "/dev/null"]
    words += ["-w", "%{http_code} %{size_upload}", "--data-binary", "@-"]
    expect(curl(*words, f"{scene.raw}/small", data=scene.large), "413 0", "status and bytes sent")


@case("http/1: a client of HTTP/1.0")
def old_client(scene):
    done = curl("--http1.0", "-i", f"{scene.nginx}/large", check=False)
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    expect_true(body == scene.large, f"{len(body)} bytes came")
    expect_true(b"chunked" not in head.lower(), f"chunks for a client of 1.0: {head!r}")


@case("http/1: a chunked answer for a client of HTTP/1.0", gateway=True)
def old_client_and_chunks(scene):
    expect(curl("--http1.0", f"{scene.raw}/raw/trailers"), "hello", "the answer")


@case("http/1: an answer that ends with its connection")
def to_the_end(scene):
    expect(curl(f"{scene.raw}/raw/to-the-end"), "all of it", "the answer")


@case("http/1: server-sent events, each at once")
def events(scene):
    scene.gate.clear()
    words = ["curl", "-sSN", "--max-time", str(WAIT), f"{scene.raw}/raw/events"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as client:
        for number in range(3):
            expect(client.stdout.readline(), f"data: {number}\n", "an event, while the next is held back")
            client.stdout.readline()
            scene.gate.set()
        expect(client.stdout.read(), "", "after the last event")


@case("http/1: 103 Early Hints, before the answer")
def hints(scene):
    scene.gate.clear()
    client = connect(scene.raw_port)
    client.send("GET /raw/hints HTTP/1.1\r\nHost: interop\r\n\r\n")
    first, fields = client.head()
    expect((first.split()[1], fields.get("link")), ("103", "</style.css>; rel=preload"), "the hint")
    scene.gate.set()
    first, fields = client.head()
    expect(client.body(fields)[0], b"hinted", "the answer")
    client.close()
    scene.gate.set()
    text = curl("-v", f"{scene.raw}/raw/hints", check=False)
    expect_true(b"< HTTP/1.1 103" in text.stderr and text.stdout == b"hinted", f"curl saw {text.stderr!r}")


@case("http/1: no 103 for a client of HTTP/1.0", gateway=True)
def no_hints(scene):
    scene.gate.set()
    client = connect(scene.raw_port)
    client.send("GET /raw/hints HTTP/1.0\r\nHost: interop\r\n\r\n")
    expect(client.head()[0].split()[1], "200", "status")
    client.close()


@case("http/1: trailers of an answer")
def answer_trailers(scene):
    client = connect(scene.raw_port)
    client.send("GET /raw/trailers HTTP/1.1\r\nHost: interop\r\nTE: trailers\r\nConnection: TE\r\n\r\n")
    _, fields = client.head()
    expect(client.body(fields), (b"hello", {"x-sum": "five"}), "body and trailers")
    client.close()


@case("http/1: trailers of a request")
def request_trailers(scene):
    client = connect(scene.raw_port)
    client.send("POST /raw/trailed HTTP/1.1\r\nHost: interop\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")
    client.send("5\r\nhello\r\n0\r\nX-Sum: five\r\n\r\n")
    _, fields = client.head()
    client.body(fields)
    expect(scene.seen["/raw/trailed"]["trailers"], {"x-sum": "five"}, "trailers at the service")
    client.close()


@case("http/1: requests in a pipeline are answered in order")
def pipeline(scene):
    client = connect(scene.raw_port)
    heads = [f"POST /raw/{number} HTTP/1.1\r\nHost: interop\r\nContent-Length: {number}\r\n\r\n" for number in range(9)]
    client.send("".join(head + "x" * number for number, head in enumerate(heads)))
    for number in range(9):
        _, fields = client.head()
        expect(client.body(fields)[0].decode(), digest(b"x" * number), "the answer")
    client.close()
