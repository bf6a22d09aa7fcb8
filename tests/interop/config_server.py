"""Services that take their configuration from a config server, with the control plane in its place: config-client for
Python, unchanged, and curl."""

import json
import subprocess
from types import SimpleNamespace

from config.spring import ConfigClient

from stage import case, expect, expect_true

NEEDS = []
PASSWORD = "open sesame"
# Made by Spring: Encryptors.text("correct horse", "deadbeef").
SEALED = "8821564b71e591f63642000693ff22f3af9281974d8d149190adaaa6b4cac68560aa86b46c68b30871eaf1fc1ad2cee8"


def scene(stage):
    if stage.direct:
        return None
    password, files = stage.folder / "config-password", stage.folder / "config-files"
    password.write_text(PASSWORD)
    files.mkdir()
    (files / "application.yml").write_text("pool: {size: 8}\nbanner: x\n")
    (files / "pay.yml").write_text(f"sealed: '{{cipher}}{SEALED}'\nhosts: [a, b]\n")
    (files / "pay-dev.yml").write_text("pool: {size: 40}\n")
    (files / "nginx.conf").write_text("connections ${pool.size};")
    admin, port = stage.port(), stage.port()
    stage.control_plane(
        {
            "listen": f"127.0.0.1:{admin}",
            "config_server": {
                "listen": f"127.0.0.1:{port}",
                "users": [{"name": "clients", "password_file": str(password)}],
                "sources": [{"folder": {"path": str(files)}}, "built_in"],
                "encryption": {"key": "correct horse"},
            },
        }
    )
    return SimpleNamespace(stage=stage, port=port, auth=("clients", PASSWORD))


def client(scene, profile):
    return ConfigClient(address=f"http://127.0.0.1:{scene.port}", app_name="pay", profile=profile, label="main")


@case("config server: a Python client gets profiles over defaults and opened secrets", gateway=True)
def pulls(scene):
    for profile, size in (("default", 8), ("dev", 40)):
        service = client(scene, profile)
        service.get_config(auth=scene.auth)
        found = (service.get("pool.size"), service.get("banner"), service.get("sealed"))
        expect(found, (size, "x", "s3cr3t pässword"), f"what {profile} gets")


@case("config server: a Python client gets files, encrypts and decrypts", gateway=True)
def files(scene):
    service = client(scene, "dev")
    expect(service.get_file("nginx.conf", auth=scene.auth), "connections 40;", "the file")
    sealed = service.encrypt("a secret", auth=scene.auth)
    expect(service.decrypt(sealed, auth=scene.auth), "a secret", "what was encrypted")
    expect(service.decrypt(SEALED, auth=scene.auth), "s3cr3t pässword", "what Spring encrypted")


@case("config server: a client without the password gets nothing", gateway=True)
def guarded(scene):
    try:
        client(scene, "dev").get_config()
    except SystemExit:
        return
    expect_true(False, "the client was refused")


@case("config server: curl sees each form", needs=["curl"], gateway=True)
def forms(scene):
    def get(path, *more):
        words = ["curl", "-sS", "-u", ":".join(scene.auth), *more, f"http://127.0.0.1:{scene.port}{path}"]
        return subprocess.run(words, capture_output=True, text=True, timeout=20, check=True).stdout

    expect(json.loads(get("/pay-dev.json"))["hosts"], ["a", "b"], "JSON")
    expect_true("pool:\n  size: 40\n" in get("/pay-dev.yml"), "YAML")
    expect_true("pool.size: 40\n" in get("/main/pay-dev.properties"), "properties")
    expect(json.loads(get("/encrypt/status")), {"status": "OK"}, "the key")
    java = "Accept: application/vnd.spring-cloud.config-server.v2+json"
    first = json.loads(get("/pay/dev", "-H", java))["propertySources"][0]["source"]["pool.size"]
    expect(first["value"], 40, "a value with its origin")
