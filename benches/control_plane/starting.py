"""Starts with very many routes: a gateway from its file, a control plane from its store, a gateway from what it saved."""

import json
import time

import start_routes
from demo import Client
from figures import median
from stage import cpu_seconds, end, fail, free_port, read_json, until

SECONDS = 1.0
RUNS = 3


def measure(setting, verdicts):
    count = setting.arguments.routes
    start_routes.write(setting.stage.folder / "many.yaml", count)
    runs = [start_routes.run(str(setting.program), setting.stage.folder, count) for _ in range(RUNS)]
    judge(verdicts, f"gateway, {count:,} routes in its file: start → first answer, s", [took for took, _, _ in runs])
    verdicts.add("processor time of it, s", [median([cpu for _, cpu, _ in runs])], (None, None), digits=2)
    from_the_store(setting, verdicts, count)


def judge(verdicts, what, seconds):
    verdicts.add(what, [median(seconds)], (SECONDS, None), digits=2)


def from_the_store(setting, verdicts, count):
    plane = Seeded(setting, count)
    plane.begin()
    plane.stop()
    seconds = [plane.begin() for _ in range(RUNS) if plane.stop() is None]
    judge(verdicts, f"control plane, {count:,} routes in its store: start → ready, s", seconds)
    gateway = Gateway(setting, plane.address, f"/tenant-{count - 1}/orders/7")
    verdicts.add("gateway that gets them from it: start → first answer, s", [gateway.begin()], (None, None), digits=2)
    until("the gateway has saved them", gateway.has_saved, 60)
    gateway.stop()
    plane.stop()
    seconds = []
    for _ in range(RUNS):
        seconds.append(gateway.begin())
        used = cpu_seconds(gateway.process.pid)
        gateway.stop()
    judge(verdicts, "gateway, from what it saved, no control plane: start → first answer, s", seconds)
    verdicts.add("processor time of it, s", [used], (None, None), digits=2)


class Seeded:
    """A control plane whose database was filled from a file."""

    def __init__(self, setting, count):
        self.setting, self.address = setting, f"127.0.0.1:{free_port()}"
        routes = [
            {"name": f"orders-{n}", "match": {"path": f"/tenant-{n}/orders/{{id}}"}, "service": "origin"}
            for n in range(count)
        ]
        data = str(setting.stage.folder / "seeded")
        document = {"kind": "control-plane", "listen": self.address, "data_dir": data}
        document["seed"] = {"services": ["origin"], "routes": routes}
        self.file, self.process = setting.stage.write("seeded.yaml", json.dumps(document)), None
        del document["seed"]
        self.later = setting.stage.write("seeded-later.yaml", json.dumps(document))

    def begin(self):
        """Seconds until it serves."""
        told = self.setting.stage.folder / "seeded.addresses"
        told.unlink(missing_ok=True)
        command = [self.setting.program, "--log", "warn", "control-plane", "--config", self.file, "--address-file", told]
        began = time.monotonic()
        self.process = self.setting.stage.start("seeded", command)
        ready(self.process, "seeded", self.setting.stage, lambda: read_json(told))
        # From now on the store has them, and the file need not be read.
        self.file = self.later
        return time.monotonic() - began

    def stop(self):
        end(self.process)


class Gateway:
    """A gateway that lives from a control plane, or from what that said last."""

    def __init__(self, setting, control_plane, path):
        self.setting, self.path, self.port = setting, path, free_port()
        self.state = setting.stage.folder / "state"
        text = f"kind: gateway\nlisten: 127.0.0.1:{self.port}\nadmin: 127.0.0.1:0\naccess_log: 'off'\nworkers: 1\n"
        link = f"control_plane: {{url: 'http://{control_plane}', node: many}}\nstate_dir: {self.state}\n"
        self.file = setting.stage.write("many-gateway.yaml", text + link)

    def begin(self):
        """Seconds until it answers by the last route."""
        began = time.monotonic()
        command = [self.setting.program, "--log", "warn", "gateway", "--config", self.file]
        self.process = self.setting.stage.start("many-gateway", command)
        ready(self.process, "many-gateway", self.setting.stage, self.answers)
        return time.monotonic() - began

    def answers(self):
        try:
            # The service has no instance; 404 would be a gateway without the route.
            return Client(f"127.0.0.1:{self.port}").get(self.path).status == 503
        except OSError:
            return False

    def has_saved(self):
        files = [path for path in self.state.glob("*") if path.is_file()]
        return sum(path.stat().st_size for path in files) > 1_000_000 and not any("tmp" in path.name for path in files)

    def stop(self):
        end(self.process)


def ready(process, name, stage, check):
    def looked():
        if process.poll() is not None:
            fail(f"{name} ended at its start:\n  {stage.log(name)}")
        return check()

    until(f"{name} serves", looked, 120)
