"""Unix sockets: curl in front of the gateway, nginx behind it."""

from types import SimpleNamespace

from stage import case, curl, expect, expect_true, route, until

NEEDS = ["curl", "nginx"]


def scene(stage):
    origin, entry = stage.folder / "origin.sock", stage.folder / "entry.sock"
    stage.nginx(f"server {{ listen unix:{origin}; location / {{ return 200 $http_host; }} }}")
    stage.gateway(
        {
            "listeners": [{"address": f"unix:{entry}"}],
            "services": {"origin": {"endpoints": [f"unix:{origin}"]}},
            "routes": [route("origin", "/*", "origin")],
        }
    )
    entry = origin if stage.direct else entry
    until(entry.exists, "the socket is there")
    return SimpleNamespace(entry=entry)


@case("unix sockets: in front and behind")
def both(scene):
    expect(curl("--unix-socket", scene.entry, "http://shop.test/"), "shop.test", "the host nginx saw")


@case("unix sockets: HTTP/2 in front", gateway=True)
def http2(scene):
    words = ["--unix-socket", scene.entry, "--http2-prior-knowledge", "-w", " %{http_version}"]
    expect(curl(*words, "http://shop.test/"), "shop.test 2", "host and version")


@case("unix sockets: many requests on one connection")
def kept(scene):
    done = curl("-v", "--unix-socket", scene.entry, *["http://shop.test/"] * 20, check=False)
    expect(done.stdout.decode(), "shop.test" * 20, "the answers")
    expect_true(b"Re-using existing connection" in done.stderr, "curl did not keep its connection")
