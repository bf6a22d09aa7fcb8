"""gRPC-Web as a browser sends it, by curl and by sonora, to a service that only knows gRPC. Without the gateway sonora
is the server too."""

import base64
import struct
import subprocess
import threading
from types import SimpleNamespace
from wsgiref.simple_server import WSGIRequestHandler, make_server

import grpc
from sonora.client import insecure_web_channel
from sonora.wsgi import grpcWSGI

from echo_service import SERVICE, EchoService
from stage import WAIT, case, curl, expect, expect_true, route

NEEDS = ["curl"]
BINARY, TEXT = "application/grpc-web+proto", "application/grpc-web-text"


def scene(stage):
    service = EchoService()
    stage.at_end(service.stop)
    port = web_server(stage, service) if stage.direct else stage.port()
    stage.gateway(
        {
            "listen": f"127.0.0.1:{port}",
            "services": {"echo": {"endpoints": [f"127.0.0.1:{service.port}"], "protocol": "http2"}},
            "routes": [route("echo", SERVICE + "*", "echo", grpc_web=True)],
        }
    )
    return SimpleNamespace(service=service, url=f"http://127.0.0.1:{port}", direct=stage.direct)


def web_server(stage, service):
    """The port of sonora's own server for gRPC-Web, with the same service in it."""
    application = grpcWSGI()
    application.add_generic_rpc_handlers((service,))
    quiet = type("Quiet", (WSGIRequestHandler,), {"log_message": lambda *_: None})
    server = make_server("127.0.0.1", 0, application, handler_class=quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stage.at_end(server.shutdown)
    return server.server_port


def message(text):
    return b"\0" + struct.pack(">I", len(text)) + text


def frames(body):
    """Every frame of a body: its first byte, and what it holds."""
    found = []
    while body:
        flags, length = struct.unpack(">BI", body[:5])
        expect_true(len(body) >= 5 + length, f"a frame of {length} bytes is cut short")
        found.append((flags, body[5 : 5 + length]))
        body = body[5 + length :]
    return found


def groups_decoded(text):
    """Base64 with padding wherever a piece was flushed."""
    expect(len(text) % 4, 0, "characters beyond whole groups")
    return b"".join(base64.b64decode(text[at : at + 4]) for at in range(0, len(text), 4))


def outcome(block):
    lines = block.decode().split("\r\n")
    expect(lines.pop(), "", "after the last line of the trailers")
    return {name: value.strip() for name, value in (line.split(":", 1) for line in lines)}


def words_for(scene, method, content_type, *words):
    return [
        *words, "-H", f"content-type: {content_type}", "-H", "x-grpc-web: 1", "-H", f"accept: {content_type}",
        "--data-binary", "@-", scene.url + SERVICE + method,
    ]  # fmt: skip


def call(scene, method, request, content_type=BINARY, *words):
    """The answer's head as text, and its body without base64."""
    body = base64.b64encode(message(request)) if content_type == TEXT else message(request)
    done = curl("-i", *words_for(scene, method, content_type, *words), data=body, check=False)
    expect(done.returncode, 0, f"curl ({done.stderr.decode(errors='replace')})")
    head, _, answer = done.stdout.partition(b"\r\n\r\n")
    return head.decode().lower(), groups_decoded(answer) if content_type == TEXT else answer


def check_unary(scene, content_type, *words):
    head, body = call(scene, "Unary", b"hello", content_type, "-H", "x-sent: there", *words)
    expect_true(f"content-type: {content_type.split('+')[0]}" in head, f"content type in {head!r}")
    expect_true("x-back: there" in head, f"metadata in {head!r}")
    (first, answer), (last, block) = frames(body)
    expect((first, answer, last), (0, b"hello", 0x80), "the frames")
    fields = outcome(block)
    expect((fields.get("grpc-status"), fields.get("x-last")), ("0", "2"), "the trailers")


@case("grpc-web: unary call, binary")
def unary_binary(scene):
    check_unary(scene, BINARY, "--http1.1")


@case("grpc-web: unary call, text")
def unary_text(scene):
    check_unary(scene, TEXT, "--http1.1")


@case("grpc-web: unary call over HTTP/2", gateway=True)
def unary_http2(scene):
    check_unary(scene, BINARY, "--http2-prior-knowledge")


@case("grpc-web: a chunked request in text with padding in its middle", gateway=True)
def flushed_request(scene):
    whole = message(b"hello")
    body = base64.b64encode(whole[:4]) + base64.b64encode(whole[4:])
    words = words_for(scene, "Unary", TEXT, "--http1.1", "-H", "transfer-encoding: chunked")
    answer = groups_decoded(curl(*words, data=body))
    expect(frames(answer)[0], (0, b"hello"), "the message")


@case("grpc-web: a service's own status")
def own_status(scene):
    head, body = call(scene, "Fail", b"")
    if "grpc-status: 9" not in head:
        expect(outcome(frames(body)[-1][1]).get("grpc-status"), "9", "grpc-status")


@case("grpc-web: no route: UNIMPLEMENTED in the head", gateway=True)
def unknown(scene):
    words = [word.replace("Echo", "Nowhere") for word in words_for(scene, "Unary", BINARY, "-i")]
    head = curl(*words, data=message(b"")).lower()
    expect_true(head.startswith("http/1.1 200") and "grpc-status: 12" in head, f"answered with {head!r}")


@case("grpc-web: text that is no base64 is refused", gateway=True)
def no_base64(scene):
    head = curl("-i", *words_for(scene, "Unary", TEXT), data=b"!!!!").lower()
    expect_true("grpc-status: 13" in head, f"answered with {head!r}")


def check_streaming(scene, content_type):
    scene.service.gate.clear()
    request = message(b"5") if content_type == BINARY else base64.b64encode(message(b"5"))
    words = ["curl", "-sSN", "--max-time", str(WAIT), *words_for(scene, "Count", content_type)]
    client = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        client.stdin.write(request)
        client.stdin.close()
        early = b""
        while len(early) < len(message(b"0")):
            piece = client.stdout.read(4 if content_type == TEXT else 1)
            expect_true(piece, f"the answer ended after {early!r}")
            early += piece if content_type == BINARY else base64.b64decode(piece)
        expect(early, message(b"0"), "the first message, while the second is held back")
        scene.service.gate.set()
        late = client.stdout.read()
    finally:
        scene.service.gate.set()
        client.kill()
        client.wait()
    rest = frames(late if content_type == BINARY else groups_decoded(late))
    expect([answer for flags, answer in rest if flags == 0], [b"1", b"2", b"3", b"4"], "the other messages")
    expect(outcome(rest[-1][1]).get("grpc-status"), "0", "grpc-status")


@case("grpc-web: server streaming, binary, each message at once")
def streaming_binary(scene):
    check_streaming(scene, BINARY)


@case("grpc-web: server streaming, text, each message at once")
def streaming_text(scene):
    check_streaming(scene, TEXT)


def sonora_call(scene, path, request, streaming=False):
    """What sonora's client makes of a call: messages, status and words."""
    with insecure_web_channel(scene.url) as channel:
        kind = channel.unary_stream if streaming else channel.unary_unary
        call = kind(path, bytes, bytes)
        try:
            found = call(request, timeout=WAIT)
            return list(found) if streaming else found, grpc.StatusCode.OK, ""
        except grpc.RpcError as error:
            return None, error.code(), error.details()


@case("grpc-web: sonora, unary and streaming")
def sonora(scene):
    expect(sonora_call(scene, SERVICE + "Unary", b"hello")[:2], (b"hello", grpc.StatusCode.OK), "unary call")
    scene.service.gate.set()
    found, status, _ = sonora_call(scene, SERVICE + "Count", b"20", streaming=True)
    expect(([int(number) for number in found], status), (list(range(20)), grpc.StatusCode.OK), "streaming")


@case("grpc-web: sonora, statuses of service and gateway")
def sonora_statuses(scene):
    _, status, words = sonora_call(scene, SERVICE + "Fail", b"x")
    expect((status, words), (grpc.StatusCode.FAILED_PRECONDITION, "100 % of größe\nis gone"), "the service's")
    if not scene.direct:
        status = sonora_call(scene, "/interop.Nowhere/Unary", b"x")[1]
        expect(status, grpc.StatusCode.UNIMPLEMENTED, "the gateway's")
