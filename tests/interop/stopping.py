"""A gateway that is asked to stop while calls and answers are under way: they end well, and it goes."""

import signal
import subprocess
import threading
from types import SimpleNamespace

import grpc

from echo_service import SERVICE, EchoService
from http1 import answer
from origins import RawOrigin
from stage import WAIT, case, expect, route, until

NEEDS = ["curl"]


def scene(stage):
    return SimpleNamespace(stage=stage)


def under_way(stage):
    """A gateway of its own for each case, with both origins held back."""
    service, gate, port = EchoService(), threading.Event(), stage.port()
    raw = RawOrigin(lambda connection: answer(connection, gate, {}))
    stage.at_end(service.stop)
    stage.at_end(raw.stop)
    process = stage.gateway(
        {
            "listen": f"127.0.0.1:{port}",
            "services": {
                "echo": {"endpoints": [f"127.0.0.1:{service.port}"], "protocol": "http2"},
                "raw": {"endpoints": [f"127.0.0.1:{raw.port}"]},
            },
            "routes": [route("echo", SERVICE + "*", "echo"), route("raw", "/raw/*", "raw")],
        }
    )
    return SimpleNamespace(service=service, gate=gate, port=port, process=process)


def check_gone(gateway):
    code = until(lambda: gateway.process.poll() is not None and [gateway.process.returncode], "the gateway goes")
    expect(code, [0], "the gateway's own outcome")


@case("stopping: a gRPC stream ends well", gateway=True)
def stream(scene):
    gateway = under_way(scene.stage)
    with grpc.insecure_channel(f"127.0.0.1:{gateway.port}") as channel:
        answers = channel.unary_stream(SERVICE + "Count")(b"20", timeout=WAIT)
        expect(next(answers), b"0", "the first message")
        gateway.process.send_signal(signal.SIGTERM)
        gateway.service.gate.set()
        expect([int(number) for number in answers], list(range(1, 20)), "the rest")
        check_gone(gateway)


@case("stopping: an answer in chunks ends well", gateway=True)
def chunks(scene):
    gateway = under_way(scene.stage)
    words = ["curl", "-sSN", "--max-time", str(WAIT), f"http://127.0.0.1:{gateway.port}/raw/events"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as client:
        expect(client.stdout.readline(), "data: 0\n", "the first event")
        gateway.process.send_signal(signal.SIGTERM)
        for number in (1, 2):
            gateway.gate.set()
            client.stdout.readline()
            expect(client.stdout.readline(), f"data: {number}\n", "a later event")
        expect(client.stdout.read(), "\n", "after the last event")
    expect(client.returncode, 0, "curl's word")
    check_gone(gateway)
