"""gRPC, WebSocket and event streams over TLS on both sides, where ALPN decides what is spoken."""

import ssl
import subprocess
import threading
from types import SimpleNamespace

import grpc
from websockets.sync.client import connect as open_websocket
from websockets.sync.server import serve

from echo_service import SERVICE, EchoService
from http1 import answer
from origins import RawOrigin
from stage import WAIT, case, expect, expect_true, route

NEEDS = ["openssl", "curl"]
NAME = "shop.test"


def scene(stage):
    authority = stage.authority()
    certificate, key = stage.certificate(NAME)
    service = EchoService(grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())]))
    stage.at_end(service.stop)
    calls = service.secure_port
    talk = start_websocket_server(stage, certificate, key)
    gate = threading.Event()
    raw = RawOrigin(lambda connection: answer(connection, gate, {}))
    stage.at_end(raw.stop)
    port = stage.port()
    trusted = {"tls": {"ca": str(authority), "server_name": NAME}}
    stage.gateway(
        {
            "listeners": [
                {
                    "address": f"127.0.0.1:{port}",
                    "tls": {"certificates": [{"certificate": str(certificate), "key": str(key)}]},
                }
            ],
            "services": {
                "echo": {"endpoints": [f"127.0.0.1:{calls}"], **trusted},
                "talk": {"endpoints": [f"127.0.0.1:{talk}"], "protocol": "http1", **trusted},
                "raw": {"endpoints": [f"127.0.0.1:{raw.port}"]},
            },
            "routes": [
                route("echo", SERVICE + "*", "echo"),
                route("talk", "/talk", "talk", upgrade=["websocket"]),
                route("raw", "/raw/*", "raw"),
            ],
        }
    )
    return SimpleNamespace(
        authority=authority, service=service, gate=gate, port=port,
        calls=calls if stage.direct else port, talk=talk if stage.direct else port,
    )  # fmt: skip


def start_websocket_server(stage, certificate, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = serve(lambda peer: [peer.send(message) for message in peer], "127.0.0.1", 0, ssl=context)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stage.at_end(server.shutdown)
    return server.socket.getsockname()[1]


def channel_to(scene):
    proof = grpc.ssl_channel_credentials(scene.authority.read_bytes())
    options = [("grpc.ssl_target_name_override", NAME)]
    return grpc.secure_channel(f"127.0.0.1:{scene.calls}", proof, options)


@case("secure: gRPC over TLS, unary and streaming")
def calls(scene):
    with channel_to(scene) as channel:
        message = b"\xa5" * (1 << 20)
        found = channel.unary_unary(SERVICE + "Unary")(message, timeout=WAIT)
        expect_true(found == message, f"{len(found)} bytes came back")
        scene.service.gate.set()
        answers = channel.unary_stream(SERVICE + "Count")(b"100", timeout=WAIT)
        expect([int(number) for number in answers], list(range(100)), "the messages")


@case("secure: gRPC over TLS, no route: UNIMPLEMENTED", gateway=True)
def refused(scene):
    with channel_to(scene) as channel:
        try:
            channel.unary_unary("/interop.Nowhere/Unary")(b"", timeout=WAIT)
        except grpc.RpcError as error:
            expect(error.code(), grpc.StatusCode.UNIMPLEMENTED, f"status ({error.details()})")
            return
    expect_true(False, "it was answered")


@case("secure: WebSocket over TLS")
def websocket(scene):
    context = ssl.create_default_context(cafile=scene.authority)
    options = {"ssl": context, "server_hostname": NAME, "open_timeout": WAIT, "proxy": None}
    with open_websocket(f"wss://127.0.0.1:{scene.talk}/talk", **options) as peer:
        for message in ("hello", b"\0\xff" * 30_000):
            peer.send(message)
            expect_true(peer.recv(WAIT) == message, "a message came back changed")


@case("secure: server-sent events over HTTP/2, each at once", gateway=True)
def events(scene):
    scene.gate.clear()
    words = ["curl", "-sSN", "--http2", "--max-time", str(WAIT), "--cacert", str(scene.authority)]
    words += ["--connect-to", f"{NAME}:443:127.0.0.1:{scene.port}", f"https://{NAME}/raw/events"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as client:
        for number in range(3):
            expect(client.stdout.readline(), f"data: {number}\n", "an event, while the next is held back")
            client.stdout.readline()
            scene.gate.set()
        expect(client.stdout.read(), "", "after the last event")
