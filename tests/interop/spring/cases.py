"""What Spring's discovery and configuration make of the control plane: one story, told step by step."""

import json
import os
import signal
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

from stage import Failed, Stage, expect, expect_true, route, until

NAME = "spring-orders"
WAIT = 240
# Made by Spring: Encryptors.text("correct horse", "deadbeef").
SEALED = "8821564b71e591f63642000693ff22f3af9281974d8d149190adaaa6b4cac68560aa86b46c68b30871eaf1fc1ad2cee8"


def main():
    with Stage(direct=False) as stage:
        steps = [registers, is_configured, hears_of_changes, sees_a_sidecar, serves_through_the_gateway, heeds_an_operator, leaves, dies]
        try:
            scene = Scene(stage)
            for step in steps:
                began = time.monotonic()
                step(scene)
                print(f"PASS spring: {step.__doc__} ({time.monotonic() - began:.1f} s)", flush=True)
        except Failed as fault:
            print(f"FAIL spring: {fault}")
            sys.exit(1)


class Scene:
    """A control plane, a gateway, and two instances of the service that find each other through Eureka."""

    def __init__(self, stage):
        self.stage = stage
        self.admin, self.eureka, self.entry = stage.port(), stage.port(), stage.port()
        self.config, self.files = stage.port(), stage.folder / "files"
        self.files.mkdir()
        self.write("application.yml", "shown: everyone\ngreeting: hello ${shown}\n")
        self.write(f"{NAME}.yml", f"sealed: '{{cipher}}{SEALED}'\nlist: [a, b]\n")
        self.write(f"{NAME}-dev.yml", "shown: one profile\n")
        key = {"key": "correct horse"}
        sources = [{"folder": {"path": str(self.files)}}, "built_in"]
        stage.control_plane(
            {
                "listen": f"127.0.0.1:{self.admin}",
                "eureka": {"listen": f"127.0.0.1:{self.eureka}"},
                "config_server": {"listen": f"127.0.0.1:{self.config}", "sources": sources, "encryption": key},
            }
        )
        link = {"url": f"http://127.0.0.1:{self.admin}"}
        stage.gateway({"listen": f"127.0.0.1:{self.entry}", "control_plane": link, "services": {}})
        self.ports = [stage.port(), stage.port()]
        self.services = [self.start(port) for port in self.ports]

    def write(self, name, text):
        (self.files / name).write_text(text)

    def setting(self, name):
        """What the first instance is configured with."""
        return (ask(f"http://127.0.0.1:{self.ports[0]}/settings/{name}") or [None])[0]

    def start(self, port):
        eureka = {
            "client.service-url.defaultZone": f"http://127.0.0.1:{self.eureka}/eureka/",
            "client.registry-fetch-interval-seconds": 1,
            "client.initial-instance-info-replication-interval-seconds": 1,
            "instance.prefer-ip-address": "true",
            "instance.ip-address": "127.0.0.1",
            "instance.instance-id": f"{NAME}-{port}",
            "instance.lease-renewal-interval-in-seconds": 1,
            "instance.lease-expiration-duration-in-seconds": 3,
        }
        # Killed at the end, it leaves behind what it made beside its folder.
        words = ["java", "-Xmx192m", f"-Djava.io.tmpdir={self.stage.folder}", "-XX:-UsePerfData"]
        words += ["-jar", os.environ["SERVICE"], f"--server.port={port}"]
        words += [f"--spring.config.import=configserver:http://127.0.0.1:{self.config}", "--spring.profiles.active=dev"]
        words += ["--management.endpoints.web.exposure.include=health,refresh"]
        words += [f"--spring.application.name={NAME}"] + [f"--eureka.{name}={value}" for name, value in eureka.items()]
        return self.stage.start(f"service-{port}", words, lambda: True)

    def registered(self):
        """What the control plane knows, by name."""
        known = ask(f"http://127.0.0.1:{self.admin}/v1/instances?service={NAME}")["instances"]
        return {instance["id"]: instance for instance in known}

    def finds(self, name=NAME):
        """The ports that the first instance finds for a service."""
        found = ask(f"http://127.0.0.1:{self.ports[0]}/instances/{name}") or []
        return [int(url.rsplit(":", 1)[1]) for url in found]


def ask(url, method="GET"):
    """The document at a URL; nothing while there is none."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=10) as answer:
            return json.loads(answer.read() or "null")
    except (urllib.error.URLError, OSError):
        return None


def registers(scene):
    """two instances register and find each other"""
    until(lambda: sorted(scene.finds()) == sorted(scene.ports), "both are found", WAIT)
    one = scene.registered()[f"{NAME}-{scene.ports[1]}"]
    expect((one["status"], one["lease_ms"]), ("up", 3000), "what is known of one")
    time.sleep(5)
    expect(sorted(scene.finds()), sorted(scene.ports), "after more than a lease")


def is_configured(scene):
    """its configuration has profiles over defaults, placeholders, lists and opened secrets"""
    wanted = {
        "shown": "one profile",
        "greeting": "hello one profile",
        "sealed": "s3cr3t pässword",
        "list[1]": "b",
    }
    found = {name: scene.setting(urllib.parse.quote(name)) for name in wanted}
    expect(found, wanted, "what it is configured with")


def hears_of_changes(scene):
    """a changed file and a changed layer reach it without being asked for"""
    scene.write(f"{NAME}-dev.yml", "shown: changed\n")
    until(lambda: scene.setting("shown") == "changed", "the changed file is in force")
    scene.stage.api(scene.admin, "PUT", f"/v1/config/{NAME}/dev", {"late": "layer"})
    until(lambda: scene.setting("late") == "layer", "the new layer is in force")


def sees_a_sidecar(scene):
    """an instance that is no client of Eureka is found"""
    instance = {"address": "127.0.0.1:4001", "lease_ms": 600000}
    scene.stage.api(scene.admin, "PUT", "/v1/services/users/instances/users-1", instance)
    until(lambda: scene.finds("users") == [4001], "it is found")


def serves_through_the_gateway(scene):
    """the gateway sends requests to them"""
    scene.stage.api(scene.admin, "PUT", "/v1/routes/all", route("all", "/*", NAME))
    until(lambda: NAME in (ask(f"http://127.0.0.1:{scene.entry}/services") or []), "an answer comes through")


def heeds_an_operator(scene):
    """one that an operator takes out of service is not found until it may serve again"""
    path = f"http://127.0.0.1:{scene.eureka}/eureka/apps/{NAME.upper()}/{NAME}-{scene.ports[1]}/status"

    def is_gone():
        # Said again each time: Spring's client deregisters for a moment while it refreshes, and takes the word with it.
        ask(f"{path}?value=OUT_OF_SERVICE", "PUT")
        return scene.finds() == scene.ports[:1]

    until(is_gone, "it is not found any more")
    ask(path, "DELETE")
    until(lambda: sorted(scene.finds()) == sorted(scene.ports), "it is found again")


def leaves(scene):
    """one that is stopped deregisters"""
    scene.services[1].send_signal(signal.SIGTERM)
    expect_true(scene.services[1].wait(60) is not None, "it ends")
    expect(list(scene.registered()), [f"{NAME}-{scene.ports[0]}"], "who is left")


def dies(scene):
    """one that is killed is out when its lease is over"""
    scene.services[0].kill()
    began = time.monotonic()
    until(lambda: not scene.registered(), "it is out")
    expect_true(time.monotonic() - began < 5, "it is out within 5 s")


main()
