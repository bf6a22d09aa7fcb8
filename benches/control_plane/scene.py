"""What every part stands on: a control plane on a core of its own, and agents on another that speak to it."""

import json
import shutil
import subprocess

from demo import Client
from stage import end, fail, free_port, memory, read_json, until

OURS = "portreeve"


class Setting:
    """The programs and what was asked for; collects what is compared with others."""

    def __init__(self, stage, program, agents, arguments):
        self.stage, self.program, self.agents, self.arguments = stage, program, agents, arguments
        self.rows, self.planes = [], 0

    def plane(self):
        self.planes += 1
        return Plane(self, f"control-plane-{self.planes}")

    def agent(self, mode, **words):
        """Runs the agents to their end; gives what they report, by its name."""
        command = self.command(mode, words)
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        if done.returncode:
            fail(f"{' '.join(command)}: {done.stderr.strip()}")
        return {report["what"]: report for report in map(json.loads, done.stdout.splitlines())}

    def command(self, mode, words):
        pairs = [f"{name}={value}" for name, value in words.items()]
        return ["taskset", "-c", self.arguments.agents_core, str(self.agents), mode, *pairs]

    def note(self, what, server, report):
        """A figure that is compared with other servers' for the same job."""
        self.rows.append((what, server, report))

    def compared(self):
        ours = {what: report for what, server, report in self.rows if server == OURS}
        for what, server, report in self.rows:
            ratio = ""
            if server != OURS and what in ours:
                ratio = f"{ours[what]['per_core'] / report['per_core']:.1f}"
            busy = 100 * report["cpu"] / report["seconds"]
            counts = [f"{report['count']:,}", f"{report['rate']:,}", f"{busy:.0f}", f"{report['per_core']:,}"]
            yield [what, server, *counts, ratio]


class Plane:
    """A control plane that is a Eureka server too, on the server's core."""

    def __init__(self, setting, name):
        self.setting, self.stage, self.name = setting, setting.stage, name
        self.own, self.eureka = (f"127.0.0.1:{free_port()}" for _ in range(2))
        self.data = self.stage.folder / name
        config = {"kind": "control-plane", "listen": self.own, "data_dir": str(self.data), "eureka": {"listen": self.eureka}}
        # All agents are one address, which nobody's fleet is.
        config["limits"] = {"request_rate": 0, "connections_per_client": 16_384}
        self.config = self.stage.write(f"{name}.yaml", json.dumps(config))
        self.begin()

    def begin(self):
        """Starts it; gives the seconds until it serves."""
        told = self.stage.folder / f"{self.name}.addresses"
        told.unlink(missing_ok=True)
        command = [self.setting.program, "--log", "warn", "control-plane", "--config", self.config, "--address-file", told]
        self.process = self.stage.start(self.name, command, cpu=self.setting.arguments.server_core)

        def serves():
            if self.process.poll() is not None:
                fail(f"the control plane ended at its start:\n  {self.stage.log(self.name)}")
            return read_json(told)

        until("the control plane serves", serves, 120)
        self.client = Client(self.own)

    @property
    def pid(self):
        return self.process.pid

    def memory(self):
        """Resident bytes."""
        return memory(self.pid)[0]

    def requests(self, kind, instances, services, **more):
        """Registrations or signs of life over HTTP."""
        address = self.eureka if kind.startswith("eureka") else self.own
        words = {"kind": kind, "instances": instances, "services": services, **more}
        return self.setting.agent("requests", address=address, pid=self.pid, **words)[kind]

    def end(self):
        end(self.process)
        shutil.rmtree(self.data, ignore_errors=True)


class Watchers:
    """Agents that watch until they are told to end; each command is answered with a report."""

    def __init__(self, setting, mode="watchers", **words):
        command = setting.command(mode, words)
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        setting.stage.processes.append(self.process)
        self.first = self.report()

    def ask(self, command):
        print(command, file=self.process.stdin, flush=True)
        return self.report()

    def report(self):
        line = self.process.stdout.readline()
        return json.loads(line) if line else fail("the watchers ended; what they said is above")

    def end(self):
        self.process.stdin.close()
        self.process.wait(20)
