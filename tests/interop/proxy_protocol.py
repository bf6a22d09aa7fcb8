"""The PROXY protocol: haproxy and curl in front of the gateway, nginx behind it. Clients are 127.0.0.2 and onwards, so
that they are not taken for haproxy or the gateway."""

import re
import time
from types import SimpleNamespace

from stage import case, curl, expect, expect_true, route

NEEDS = ["curl", "nginx"]
FIRST, SECOND = "127.0.0.2", "127.0.0.3"


def scene(stage):
    origin, line, binary, entry, port = (stage.port() for _ in range(5))
    told = 'return 200 "$proxy_protocol_addr $http_x_forwarded_for";'
    stage.nginx(
        f"server {{ listen 127.0.0.1:{origin}; location / {{ {told} }} }}\n"
        f"server {{ listen 127.0.0.1:{line} proxy_protocol; location / {{ {told} }} }}\n"
        f"server {{ listen 127.0.0.1:{binary} proxy_protocol; location / {{ {told} }} }}"
    )
    stage.gateway(
        {
            "listen": f"127.0.0.1:{port}",
            "listeners": [
                {
                    "address": f"127.0.0.1:{entry}",
                    "proxy_protocol": {"from": ["127.0.0.1", "127.0.0.4/31"]},
                }
            ],
            "services": {
                "plain": {"endpoints": [f"127.0.0.1:{origin}"]},
                "line": {"endpoints": [f"127.0.0.1:{line}"], "proxy_protocol": "v1"},
                "binary": {"endpoints": [f"127.0.0.1:{binary}"], "proxy_protocol": "v2"},
            },
            "routes": [route(name, f"/{name}", name) for name in ("plain", "line", "binary")],
        }
    )
    return SimpleNamespace(
        stage=stage, entry=line if stage.direct else entry, port=port, balanced={}, direct=stage.direct
    )


def balanced(scene, how):
    """The port of a haproxy that passes connections on with a PROXY header."""
    if how not in scene.balanced:
        port = scene.stage.port()
        (scene.stage.folder / f"{how}.cfg").write_text(
            "defaults\n mode tcp\n timeout connect 10s\n timeout client 30s\n timeout server 30s\n"
            f"listen front\n bind 127.0.0.1:{port}\n server gateway 127.0.0.1:{scene.entry} {how}\n"
        )
        words = ["haproxy", "-f", scene.stage.folder / f"{how}.cfg"]
        scene.stage.start(how, words, scene.stage.listens(port))
        scene.balanced[how] = port
    return scene.balanced[how]


def check_balanced(scene, how):
    port = balanced(scene, how)
    for client in (FIRST, SECOND, FIRST):
        told = curl("--interface", client, f"http://127.0.0.1:{port}/plain").split()
        expect(told[0 if scene.direct else -1:], [client], "the client as the service is told")


@case("proxy protocol: haproxy in front, the line of text", needs=["haproxy"])
def front_line(scene):
    check_balanced(scene, "send-proxy")


@case("proxy protocol: haproxy in front, the binary form", needs=["haproxy"])
def front_binary(scene):
    check_balanced(scene, "send-proxy-v2")


@case("proxy protocol: haproxy's own checks have no client", needs=["haproxy"], gateway=True)
def front_checks(scene):
    port = balanced(scene, "send-proxy-v2 check inter 50ms fall 2")
    # Long enough for haproxy to give the gateway up, were its checks not answered.
    end = time.monotonic() + 1
    while time.monotonic() < end:
        told = curl("--interface", FIRST, f"http://127.0.0.1:{port}/plain")
        expect(told.split(), [FIRST], "the client, with checks under way")


@case("proxy protocol: curl with a header of its own")
def front_curl(scene):
    told = curl("--haproxy-protocol", f"http://127.0.0.1:{scene.entry}/plain").split()
    expect(told[-1], "127.0.0.1", "the client as the service is told")


@case("proxy protocol: a balancer without a header is refused", gateway=True)
def front_without(scene):
    done = curl("-i", f"http://127.0.0.1:{scene.entry}/plain", check=False)
    expect_true(b" 200 " not in done.stdout.split(b"\r\n")[0], f"it was served: {done.stdout!r}")


@case("proxy protocol: a header from anybody else is refused", gateway=True)
def front_stranger(scene):
    words = ["-i", "--haproxy-protocol", "--interface", SECOND]
    done = curl(*words, f"http://127.0.0.1:{scene.entry}/plain", check=False)
    expect_true(b" 200 " not in done.stdout.split(b"\r\n")[0], f"it was believed: {done.stdout!r}")


def check_behind(scene, path):
    for client in (FIRST, SECOND, FIRST, SECOND):
        told = curl("--interface", client, f"http://127.0.0.1:{scene.port}{path}").split()
        expect(told, [client, client], "the client by PROXY header and by X-Forwarded-For")


@case("proxy protocol: nginx behind, the line of text", gateway=True)
def behind_line(scene):
    check_behind(scene, "/line")


@case("proxy protocol: nginx behind, the binary form", gateway=True)
def behind_binary(scene):
    check_behind(scene, "/binary")


@case("proxy protocol: nginx behind, requests of one connection", gateway=True)
def behind_kept(scene):
    url = f"http://127.0.0.1:{scene.port}/binary"
    done = curl("-v", "-w", " ", "--interface", FIRST, url, url, check=False)
    expect(done.stdout.decode().split(), [FIRST] * 4, "the client each time")
    expect_true(re.search(rb"Re-using existing connection", done.stderr), "curl did not keep its connection")
