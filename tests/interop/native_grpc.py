"""gRPC with grpcio on both sides: the four kinds of calls, metadata, deadlines, and the gateway's own refusals."""

import queue
from types import SimpleNamespace

import grpc

from echo_service import SERVICE, EchoService
from stage import case, curl, expect, expect_true, route, until

LIMIT = 20


def scene(stage):
    service = EchoService()
    stage.at_end(service.stop)
    port = service.port if stage.direct else stage.port()
    calls = {"protocol": "http2"}
    stage.gateway(
        {
            "listen": f"127.0.0.1:{port}",
            "auth": {
                "providers": [
                    {
                        "issuer": "http://nobody.test",
                        "audiences": ["interop"],
                        "jwks_url": f"http://127.0.0.1:{stage.port()}/keys",
                    }
                ]
            },
            "services": {
                "echo": {"endpoints": [f"127.0.0.1:{service.port}"], **calls},
                "gone": {"endpoints": [f"127.0.0.1:{stage.port()}"], **calls},
            },
            "routes": [
                route("echo", SERVICE + "*", "echo", auth="none", max_body="64MiB"),
                route("gone", "/interop.Gone/*", "gone", auth="none"),
                route("closed", "/interop.Closed/*", "echo"),
                route("hasty", "/interop.Hasty/*", "echo", auth="none", timeout="300ms"),
                route("small", "/interop.Small/*", "echo", auth="none", max_body="1KiB"),
            ],
        }
    )
    options = [("grpc.max_receive_message_length", -1), ("grpc.enable_retries", 0)]
    channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=options)
    stage.at_end(channel.close)
    return SimpleNamespace(channel=channel, service=service, port=port)


def refused(call):
    """The error a call ends with."""
    try:
        call()
    except grpc.RpcError as error:
        return error
    return SimpleNamespace(code=lambda: grpc.StatusCode.OK, details=lambda: "")


@case("grpc: unary call with metadata and trailers")
def unary(scene):
    call = scene.channel.unary_unary(SERVICE + "Unary")
    sent = (("x-sent", "there"), ("x-raw-bin", b"\x00\xff\n"))
    answer, state = call.with_call(b"hello", metadata=sent, timeout=LIMIT)
    first, last = dict(state.initial_metadata()), dict(state.trailing_metadata())
    expect(answer, b"hello", "the message")
    expect((first.get("x-first"), first.get("x-back")), ("1", "there"), "initial metadata")
    expect((last.get("x-last"), last.get("x-raw-bin")), ("2", b"\x00\xff\n"), "trailing metadata")


@case("grpc: messages of 8 MiB, and empty ones")
def large(scene):
    call = scene.channel.unary_unary(SERVICE + "Unary")
    for message in (b"", b"\xa5" * (8 << 20)):
        expect_true(call(message, timeout=LIMIT) == message, f"{len(message)} bytes came back changed")


@case("grpc: a service's own status and message")
def own_status(scene):
    error = refused(lambda: scene.channel.unary_unary(SERVICE + "Fail")(b"", timeout=LIMIT))
    expect(error.code(), grpc.StatusCode.FAILED_PRECONDITION, "status")
    expect(error.details(), "100 % of größe\nis gone", "message")
    expect(dict(error.trailing_metadata()).get("x-last"), "2", "trailing metadata")


@case("grpc: client streaming")
def client_streaming(scene):
    parts = [str(number).encode() for number in range(200)]
    answer = scene.channel.stream_unary(SERVICE + "Join")(iter(parts), timeout=LIMIT)
    expect(answer, b",".join(parts), "the message")


@case("grpc: server streaming, each message at once")
def server_streaming(scene):
    scene.service.gate.clear()
    answers = scene.channel.unary_stream(SERVICE + "Count")(b"50", timeout=LIMIT)
    expect(next(answers), b"0", "the first message, while the second is held back")
    scene.service.gate.set()
    expect([int(number) for number in answers], list(range(1, 50)), "the rest")


@case("grpc: both directions in turn")
def both_directions(scene):
    outgoing = queue.Queue()
    answers = scene.channel.stream_stream(SERVICE + "Chat")(iter(outgoing.get, None), timeout=LIMIT)
    for number in range(20):
        outgoing.put(str(number).encode())
        expect(next(answers), f"you said {number}".encode(), "the answer")
    outgoing.put(None)
    expect(list(answers), [], "messages after the end")


@case("grpc: a hundred calls at one time")
def many(scene):
    call = scene.channel.unary_unary(SERVICE + "Unary")
    under_way = [call.future(str(number).encode(), timeout=LIMIT) for number in range(100)]
    expect([int(answer.result()) for answer in under_way], list(range(100)), "the answers")


@case("grpc: the service learns what is left of the deadline")
def deadline_travels(scene):
    left = float(scene.channel.unary_unary(SERVICE + "Remaining")(b"", timeout=LIMIT))
    expect_true(0 < left <= LIMIT + 1, f"{left} s left of {LIMIT}")


@case("grpc: without a deadline the service has none")
def no_deadline(scene):
    answer = scene.channel.unary_unary(SERVICE + "Remaining").future(b"").result(LIMIT)
    # The server says it in its own way: nothing, or more than any deadline.
    expect_true(answer == b"none" or float(answer) > 1e6, f"the service was told {answer!r}")


@case("grpc: a client's deadline ends the call on both sides")
def deadline_ends(scene):
    scene.service.left.clear()
    error = refused(lambda: scene.channel.unary_unary(SERVICE + "Wait")(b"", timeout=0.5))
    expect(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED, "status")
    until(scene.service.left.is_set, "the service learns of it")


@case("grpc: a cancelled call ends at the service")
def cancelled(scene):
    scene.service.left.clear()
    scene.service.entered.clear()
    call = scene.channel.unary_unary(SERVICE + "Wait").future(b"", timeout=LIMIT)
    until(scene.service.entered.is_set, "the call reaches the service")
    call.cancel()
    until(scene.service.left.is_set, "the service learns of it")


@case("grpc: the route's own time is over: DEADLINE_EXCEEDED", gateway=True)
def hasty(scene):
    scene.service.left.clear()
    error = refused(lambda: scene.channel.unary_unary("/interop.Hasty/Wait")(b"", timeout=LIMIT))
    scene.service.left.set()
    expect(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED, "status")
    expect_true("timed_out" in error.details(), f"it was not the gateway that said so: {error.details()}")


@case("grpc: no instance: UNAVAILABLE", gateway=True)
def gone(scene):
    error = refused(lambda: scene.channel.unary_unary("/interop.Gone/Unary")(b"", timeout=LIMIT))
    expect(error.code(), grpc.StatusCode.UNAVAILABLE, f"status ({error.details()})")


@case("grpc: no route: UNIMPLEMENTED", gateway=True)
def unknown(scene):
    error = refused(lambda: scene.channel.unary_unary("/interop.Nowhere/Unary")(b"", timeout=LIMIT))
    expect(error.code(), grpc.StatusCode.UNIMPLEMENTED, f"status ({error.details()})")


@case("grpc: no token: UNAUTHENTICATED, with a challenge", gateway=True)
def closed(scene):
    error = refused(lambda: scene.channel.unary_unary("/interop.Closed/Unary")(b"", timeout=LIMIT))
    expect(error.code(), grpc.StatusCode.UNAUTHENTICATED, f"status ({error.details()})")
    fields = dict(error.initial_metadata() or ()) | dict(error.trailing_metadata() or ())
    expect_true("www-authenticate" in fields, f"no challenge among {sorted(fields)}")


@case("grpc: a body beyond the route's limit: RESOURCE_EXHAUSTED", gateway=True)
def too_large(scene):
    error = refused(lambda: scene.channel.unary_unary("/interop.Small/Unary")(b"x" * 65536, timeout=LIMIT))
    expect(error.code(), grpc.StatusCode.RESOURCE_EXHAUSTED, f"status ({error.details()})")


@case("grpc: a malformed grpc-timeout: INTERNAL", needs=["curl"], gateway=True)
def malformed_timeout(scene):
    fields = refusal_fields(scene, SERVICE + "Unary", "-H", "grpc-timeout: soon")
    expect(fields.get("grpc-status"), "13", "grpc-status")


@case("grpc: refusals are answers of gRPC", needs=["curl"], gateway=True)
def refusal_form(scene):
    fields = refusal_fields(scene, "/interop.Nowhere/Unary")
    expect(fields.get(":status"), "200", "HTTP status")
    expect(fields.get("content-type"), "application/grpc", "content type")
    expect(fields.get("grpc-status"), "12", "grpc-status")


def refusal_fields(scene, path, *words):
    url = f"http://127.0.0.1:{scene.port}{path}"
    call = ["--http2-prior-knowledge", "-i", "-H", "content-type: application/grpc", "-H", "te: trailers"]
    head = curl(*call, *words, "--data-binary", "@-", url, data=b"\0\0\0\0\0").split("\r\n\r\n")[0]
    status, *lines = head.split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines)
    return {":status": status.split()[1], **fields}
