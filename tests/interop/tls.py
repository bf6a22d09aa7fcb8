"""TLS on both sides: curl, openssl and h2load in front, nginx behind; certificates of clients; bytes passed on by SNI."""

from types import SimpleNamespace

from stage import WAIT, case, command, curl, expect, expect_true, route

NEEDS = ["curl", "nginx", "openssl"]


def scene(stage):
    stage.authority("ca")
    stage.authority("other")
    for name in ("shop.test", "api.test", "origin.test"):
        stage.certificate(name)
    stage.certificate("client", usage="clientAuth")
    stage.certificate("gateway", usage="clientAuth")
    stage.certificate("stranger", authority="other", usage="clientAuth")
    ports = SimpleNamespace(
        origin=stage.port(), asking=stage.port(), open=stage.port(), closed=stage.port(), new=stage.port(),
        tcp=stage.port(),
    )  # fmt: skip
    start_nginx(stage, ports)
    start_gateway(stage, ports)
    return SimpleNamespace(folder=stage.folder, ports=ports, direct=stage.direct)


def start_nginx(stage, ports):
    proof = "ssl_certificate origin.test.pem; ssl_certificate_key origin.test.key; ssl_protocols TLSv1.2 TLSv1.3;"
    told = 'return 200 "$server_protocol $ssl_server_name $ssl_client_s_dn";'
    asking = "ssl_verify_client on; ssl_client_certificate ca.pem;"
    stage.nginx(
        f"server {{ listen 127.0.0.1:{ports.origin} ssl http2; {proof} location / {{ {told} }} }}\n"
        f"server {{ listen 127.0.0.1:{ports.asking} ssl http2; {proof} {asking} location / {{ {told} }} }}"
    )


def start_gateway(stage, ports):
    def listener(port, **more):
        def files(name):
            return {"certificate": f"{stage.folder}/{name}.pem", "key": f"{stage.folder}/{name}.key"}

        own = {"certificates": [files("shop.test"), files("api.test")]}
        return {"address": f"127.0.0.1:{port}", "tls": own | more}

    trusted = {"ca": f"{stage.folder}/ca.pem", "server_name": "origin.test"}
    own = {"certificate": f"{stage.folder}/gateway.pem", "key": f"{stage.folder}/gateway.key"}
    origin, asking = [f"127.0.0.1:{ports.origin}"], [f"127.0.0.1:{ports.asking}"]
    stage.gateway(
        {
            "listeners": [
                listener(ports.open),
                listener(ports.closed, client_auth={"ca": f"{stage.folder}/ca.pem"}),
                listener(ports.new, min_version="1.3", alpn=["http/1.1"]),
                {
                    "address": f"127.0.0.1:{ports.tcp}",
                    "protocol": "tcp",
                    "forward": [{"sni": ["origin.test"], "service": "bytes"}],
                },
            ],
            "services": {
                "auto": {"endpoints": origin, "tls": trusted},
                "old": {"endpoints": origin, "tls": trusted, "protocol": "http1"},
                "new": {"endpoints": origin, "tls": trusted, "protocol": "http2"},
                "mutual": {"endpoints": asking, "tls": trusted | own},
                "bare": {"endpoints": asking, "tls": trusted},
                "wrong-name": {"endpoints": origin, "tls": trusted | {"server_name": "shop.test"}},
                "wrong-ca": {"endpoints": origin, "tls": trusted | {"ca": f"{stage.folder}/other.pem"}},
                "bytes": {"endpoints": origin},
            },
            "routes": [
                route(name, f"/{name}", name)
                for name in ("auto", "old", "new", "mutual", "bare", "wrong-name", "wrong-ca")
            ],
        }
    )


def ask(scene, port, path, *words, host="shop.test", check=True):
    """Asks by name, so that SNI and Host are those of the certificate."""
    if scene.direct:
        port, host = scene.ports.origin, "origin.test"
    words = [*words, "--cacert", scene.folder / "ca.pem", "--connect-to", f"{host}:443:127.0.0.1:{port}"]
    return curl(*words, f"https://{host}{path}", check=check)


def client(scene, name):
    return ["--cert", scene.folder / f"{name}.pem", "--key", scene.folder / f"{name}.key"]


@case("tls: ALPN takes HTTP/2, and HTTP/1.1 where the client has no more")
def alpn(scene):
    for words, wanted in ((["--http2"], "2"), (["--http1.1"], "1.1"), (["--no-alpn"], "1.1")):
        version = ask(scene, scene.ports.open, "/auto", *words, "-o", "/dev/null", "-w", "%{http_version}")
        expect(version, wanted, f"the version {words}")


@case("tls: versions 1.2 and 1.3")
def versions(scene):
    for version in ("1.2", "1.3"):
        words = [f"--tlsv{version}", "--tls-max", version, "-o", "/dev/null", "-w", "%{http_code}"]
        expect(ask(scene, scene.ports.open, "/auto", *words), "200", f"TLS {version}")


@case("tls: the certificate that fits the name", gateway=True)
def names(scene):
    for host, status in (("shop.test", 0), ("api.test", 0), ("unknown.test", 60)):
        done = ask(scene, scene.ports.open, "/auto", host=host, check=False)
        expect(done.returncode, status, f"curl's word on {host}")


@case("tls: a lowest version of 1.3 refuses 1.2", gateway=True)
def lowest_version(scene):
    done = ask(scene, scene.ports.new, "/auto", "--tls-max", "1.2", check=False)
    expect(done.returncode, 35, "curl's word on the handshake")
    version = ask(scene, scene.ports.new, "/auto", "-o", "/dev/null", "-w", "%{http_version}")
    expect(version, "1.1", "the version where ALPN is http/1.1 only")


@case("tls: sessions are resumed", gateway=True)
def resumed(scene):
    session = scene.folder / "session"
    words = ["openssl", "s_client", "-connect", f"127.0.0.1:{scene.ports.open}", "-servername", "shop.test"]
    request = b"GET /auto HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n"
    command(*words, "-sess_out", session, "-ign_eof", data=request)
    done = command(*words, "-sess_in", session, "-ign_eof", data=request)
    expect_true(b"Reused, TLSv1.3" in done.stdout, "the second handshake was a whole one")


@case("tls: h2load by ALPN", needs=["h2load"])
def load(scene):
    port = scene.ports.origin if scene.direct else scene.ports.open
    text = command("h2load", "-n", 2000, "-c", 8, "-m", 8, f"https://127.0.0.1:{port}/auto", limit=50).stdout.decode()
    expect_true("Application protocol: h2" in text, "it was not HTTP/2")
    expect_true("2000 2xx" in text, f"h2load says {text[-600:]}")


@case("tls: a client certificate is asked for", gateway=True)
def client_certificate(scene):
    text = ask(scene, scene.ports.closed, "/auto", *client(scene, "client"))
    expect_true(text.startswith("HTTP/"), f"with a certificate: {text!r}")
    for name in (None, "stranger"):
        words = client(scene, name) if name else []
        done = ask(scene, scene.ports.closed, "/auto", *words, check=False)
        expect_true(done.returncode in (16, 35, 55, 56), f"certificate {name}: curl ended with {done.returncode}")


@case("tls: nginx behind, by ALPN, and by the protocol that is set", gateway=True)
def behind(scene):
    for path, wanted in (("/auto", "HTTP/2.0"), ("/old", "HTTP/1.1"), ("/new", "HTTP/2.0")):
        text = ask(scene, scene.ports.open, path)
        expect(text.split()[:2], [wanted, "origin.test"], f"protocol and name behind {path}")


@case("tls: the gateway's own certificate for nginx", gateway=True)
def mutual(scene):
    expect_true("CN=gateway" in ask(scene, scene.ports.open, "/mutual"), "nginx does not know who asked")
    status = ask(scene, scene.ports.open, "/bare", "-o", "/dev/null", "-w", "%{http_code}")
    expect_true(status in ("400", "502"), f"without a certificate: {status}")


@case("tls: an instance with a wrong name or authority is not spoken to", gateway=True)
def wrong_instance(scene):
    for path in ("/wrong-name", "/wrong-ca"):
        status = ask(scene, scene.ports.open, path, "-o", "/dev/null", "-w", "%{http_code}")
        expect_true(status in ("502", "503"), f"{path}: status {status}")


@case("tls: bytes passed on by the name that is asked for", gateway=True)
def passed_on(scene):
    text = ask(scene, scene.ports.tcp, "/through", host="origin.test")
    expect(text.split()[:2], ["HTTP/2.0", "origin.test"], "what nginx saw")
    done = ask(scene, scene.ports.tcp, "/through", host="shop.test", check=False)
    expect(done.returncode, 35, "curl's word on a name nobody serves")


@case("tls: plain text on a TLS listener ends the connection", gateway=True)
def plain_text(scene):
    done = curl("--max-time", WAIT, f"http://127.0.0.1:{scene.ports.open}/auto", check=False)
    expect_true(done.returncode in (1, 52, 56), f"curl ended with {done.returncode}: {done.stdout!r}")
