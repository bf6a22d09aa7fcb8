"""Services that are clients of Eureka, with the control plane in the server's place: py-eureka-client, unchanged."""

import asyncio
import logging
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

from py_eureka_client.eureka_client import EurekaClient

from stage import case, expect, expect_true, route, until

NEEDS = []
PASSWORD = "open sesame"


def scene(stage):
    if stage.direct:
        return None
    # What the library says of failures that the cases provoke is not this run's.
    logging.disable(logging.CRITICAL)
    password = stage.folder / "password"
    password.write_text(PASSWORD)
    admin, port, entry = stage.port(), stage.port(), stage.port()
    user = {"name": "clients", "password_file": str(password)}
    stage.control_plane({"listen": f"127.0.0.1:{admin}", "eureka": {"listen": f"127.0.0.1:{port}", "users": [user]}})
    stage.gateway(
        {
            "listen": f"127.0.0.1:{entry}",
            "control_plane": {"url": f"http://127.0.0.1:{admin}"},
            "services": {},
        }
    )
    return SimpleNamespace(stage=stage, port=port, admin=admin, entry=entry)


def client(scene, name, instance="", **more):
    """A client that renews nothing by itself, unless it is started."""
    given = {
        "eureka_server": f"http://127.0.0.1:{scene.port}/eureka/",
        "eureka_basic_auth_user": "clients",
        "eureka_basic_auth_password": PASSWORD,
        "app_name": name,
        "instance_id": instance,
        "instance_ip": "127.0.0.1",
        "instance_host": "localhost",
        "instance_port": 9090,
        "renewal_interval_in_secs": 3600,
        "duration_in_secs": 90,
        **more,
    }
    return EurekaClient(**given)


async def prepared(scene, name, instance="", **more):
    """A client that has said who it is."""
    made = client(scene, name, instance, **more)
    await made.start()
    return made


async def fetched(watcher, delta=False):
    """What a client knows after its next fetch, by application and instance."""
    fetch = "_EurekaClient__fetch_delta" if delta else "_EurekaClient__pull_full_registry"
    await getattr(watcher, fetch)()
    return {
        instance.instanceId: instance
        for application in watcher.applications.applications
        for instance in application.instances
    }


def watching(scene):
    return client(scene, "watcher", should_register=False)


@case("eureka: a Python client registers and others find it", gateway=True)
def registers(scene):
    async def run():
        await prepared(scene, "Sky_Orders", "orders:1", metadata={"build_id": "a<b", "zone": "z"}, vip_adr="sky")
        found = (await fetched(watching(scene)))["orders:1"]
        expect((found.app, found.status, found.port.port), ("SKY_ORDERS", "UP", 9090), "the instance")
        expect((found.ipAddr, found.hostName, found.vipAddress), ("127.0.0.1", "localhost", "sky"), "its names")
        # XML doubles the underscore in the name of an element, and this client does not take that back.
        expect(found.metadata, {"management.port": "9090", "build__id": "a<b", "zone": "z"}, "its metadata")
        expect(found.healthCheckUrl, "http://localhost:9090/health", "its health check")
        expect(found.leaseInfo.durationInSecs, 90, "its lease")

    asyncio.run(run())


@case("eureka: a Python client keeps its lease of 2 s", gateway=True)
def renews(scene):
    async def run():
        watcher = watching(scene)
        await prepared(scene, "renewing", "renewing:1", renewal_interval_in_secs=1, duration_in_secs=2)
        silent = await prepared(scene, "silent", "silent:1", duration_in_secs=2)
        for _ in range(10):
            await asyncio.sleep(0.5)
            known = await fetched(watcher)
            expect_true("renewing:1" in known, "the one who renews stays")
        expect_true("silent:1" not in known, "the one who is silent goes")
        # Its next heartbeat is answered with 404, and it registers by itself.
        await silent.send_heartbeat()
        expect_true("silent:1" in await fetched(watcher), "it is back")

    asyncio.run(run())


@case("eureka: a Python client follows by deltas alone", gateway=True)
def deltas(scene):
    async def run():
        watcher = watching(scene)
        one = await prepared(scene, "followed", "followed:1")
        await fetched(watcher)

        async def never():
            raise AssertionError("it fetched everything")

        setattr(watcher, "_EurekaClient__pull_full_registry", never)
        two = await prepared(scene, "followed", "followed:2")
        expect_true("followed:2" in await fetched(watcher, delta=True), "one more")
        await one.register(status="DOWN")
        expect((await fetched(watcher, delta=True))["followed:1"].status, "DOWN", "one that goes down")
        await two.cancel()
        known = await fetched(watcher, delta=True)
        expect_true("followed:2" not in known and "followed:1" in known, "one that is gone")

    asyncio.run(run())


@case("eureka: an operator's word through a Python client", gateway=True)
def overrides(scene):
    async def run():
        watcher = watching(scene)
        one = await prepared(scene, "overridden", "overridden:1")

        async def status():
            return (await fetched(watcher))["overridden:1"].status

        await one.status_update("OUT_OF_SERVICE")
        expect(await status(), "OUT_OF_SERVICE", "after the word")
        await one.register()
        expect(await status(), "OUT_OF_SERVICE", "after it registered again")
        await one.delete_status_override()
        expect(await status(), "UNKNOWN", "after the word was taken back")
        await one.send_heartbeat()
        expect(await status(), "UP", "after its next heartbeat")

    asyncio.run(run())


@case("eureka: a Python client deregisters", gateway=True)
def deregisters(scene):
    async def run():
        watcher = watching(scene)
        one = await prepared(scene, "leaving", "leaving:1")
        expect_true("leaving:1" in await fetched(watcher), "it is there")
        await one.cancel()
        expect_true("leaving:1" not in await fetched(watcher), "it is gone")

    asyncio.run(run())


@case("eureka: the gateway sends requests to a Python client at once", gateway=True)
def reached(scene):
    class Service(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    scene.stage.at_end(server.shutdown)

    def asked():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{scene.entry}/", timeout=5) as answer:
                return answer.read()
        except urllib.error.HTTPError as refusal:
            return refusal.code

    async def run():
        one = await prepared(scene, "Reached_Service", "reached:1", instance_port=server.server_port)
        scene.stage.api(scene.admin, "PUT", "/v1/routes/all", route("all", "/*", "reached-service"))
        until(lambda: asked() == b"hello", "the gateway knows the way")
        await one.status_update("OUT_OF_SERVICE")
        until(lambda: asked() == 503, "the gateway sends nothing there any more")
        await one.delete_status_override()
        await one.send_heartbeat()
        until(lambda: asked() == b"hello", "the gateway sends requests there again")

    asyncio.run(run())


@case("eureka: a Python client without the password gets nothing", gateway=True)
def refused(scene):
    async def run():
        stranger = client(scene, "stranger", "stranger:1", eureka_basic_auth_password="wrong")
        await stranger.start()
        expect_true("stranger:1" not in await fetched(watching(scene)), "it is not registered")

    asyncio.run(run())
