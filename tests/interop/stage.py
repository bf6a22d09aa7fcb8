"""What the cases stand on: free ports, processes that end with the run, certificates, the gateway, and assertions."""

import functools
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

WAIT = 20


class Failed(Exception):
    """A case did not hold."""


class Skipped(Exception):
    """A case cannot be tried here."""


def case(title, needs=(), gateway=False):
    """Makes a function a case. `needs`: programs. `gateway`: without the gateway there is nothing to see."""

    def mark(function):
        @functools.wraps(function)
        def run(scene):
            return function(scene)

        run.is_case, run.title = True, title
        run.reason_to_skip = lambda direct: (
            "only the gateway does this" if direct and gateway else missing(needs)
        )
        return run

    return mark


def missing(programs):
    absent = [name for name in programs if not shutil.which(name)]
    return f"{', '.join(absent)} not installed" if absent else ""


def expect(actual, wanted, what):
    if actual != wanted:
        raise Failed(f"{what}: {actual!r} instead of {wanted!r}")


def expect_true(condition, what):
    if not condition:
        raise Failed(what)


def until(condition, what, limit=WAIT):
    """Polls until the condition holds, and gives what it gave."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise Failed(f"{what}: not within {limit} s")


def command(*words, data=None, limit=WAIT, check=True):
    """Runs a program and gives its outcome; its output is bytes."""
    done = subprocess.run([str(word) for word in words], input=data, capture_output=True, timeout=limit)
    if check and done.returncode != 0:
        raise Failed(f"{words[0]} ended with {done.returncode}: {done.stderr.decode(errors='replace')[-300:]}")
    return done


def curl(*words, data=None, check=True):
    """curl with a limit; gives standard output as text."""
    done = command("curl", "-sS", "--max-time", WAIT, *words, data=data, check=check)
    return done.stdout.decode(errors="replace") if check else done


class Stage:
    """Everything a module's cases share; leaving it ends every process and removes every file."""

    def __init__(self, direct):
        self.direct = direct
        self.folder = Path(tempfile.mkdtemp(prefix="interop-"))
        self.processes, self.endings, self.given = [], [], set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for end in reversed(self.endings):
            end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def at_end(self, action):
        self.endings.append(action)

    def port(self):
        """A port nobody listens on. Somebody could take it before we do; the kernel goes round, so hardly anybody."""
        while True:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            if port not in self.given:
                self.given.add(port)
                return port

    def start(self, name, words, ready):
        """Starts a program and waits until `ready()`."""
        log = open(self.folder / f"{name}.log", "wb")
        process = subprocess.Popen([str(word) for word in words], stdout=log, stderr=log, cwd=self.folder)
        self.processes.append(process)

        def is_ready():
            if process.poll() is not None:
                raise Failed(f"{name} ended with {process.returncode}: {self.log(name)}")
            return ready()

        try:
            until(is_ready, f"{name} is ready")
        except Failed as fault:
            raise Failed(f"{fault}; it said: {self.log(name)}") from fault
        return process

    def log(self, name):
        return (self.folder / f"{name}.log").read_text(errors="replace")[-600:]

    def listens(self, port):
        def probe():
            with socket.socket() as attempt:
                attempt.settimeout(1)
                return attempt.connect_ex(("127.0.0.1", port)) == 0

        return probe

    def gateway(self, config):
        """Starts the gateway and gives its process, unless clients go to the origins directly."""
        if self.direct:
            return None
        name = f"gateway-{len(self.processes)}"
        file, addresses = self.folder / f"{name}.yaml", self.folder / f"{name}.addresses"
        whole = {
            "kind": "gateway",
            "listen": "off",
            "admin": f"127.0.0.1:{self.port()}",
            "access_log": "off",
            "workers": 2,
            "tracing": {"sample": 0.0},
            **config,
        }
        # JSON is YAML.
        file.write_text(json.dumps(whole, indent=1))
        binary = os.environ["PORTREEVE"]
        words = [binary, "gateway", "--config", file, "--address-file", addresses]
        return self.start(name, words, addresses.exists)

    def control_plane(self, config):
        """Starts a control plane with a database of its own and gives its process."""
        name = f"control-plane-{len(self.processes)}"
        file, addresses = self.folder / f"{name}.yaml", self.folder / f"{name}.addresses"
        whole = {"kind": "control-plane", "data_dir": str(self.folder / f"{name}.data"), **config}
        file.write_text(json.dumps(whole, indent=1))
        words = [os.environ["PORTREEVE"], "control-plane", "--config", file, "--address-file", addresses]
        return self.start(name, words, addresses.exists)

    def api(self, port, method, path, document):
        """A write through the control plane's own API."""
        words = ["-f", "-X", method, "-H", "Content-Type: application/json", "-d", json.dumps(document)]
        return curl(*words, f"http://127.0.0.1:{port}{path}")

    def nginx(self, servers, name="nginx"):
        """nginx with these `server` blocks; ready when the first port it listens on takes connections."""
        for folder in ("body", "proxy", "fastcgi", "uwsgi", "scgi"):
            (self.folder / folder).mkdir(exist_ok=True)
        user = "user root;" if os.geteuid() == 0 else ""
        paths = " ".join(
            f"{kind}_temp_path {self.folder}/{kind.split('_')[0]};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        ).replace(f"{self.folder}/client", f"{self.folder}/body")
        text = (
            f"{user} daemon off; worker_processes 1; pid {self.folder}/{name}.pid; error_log stderr;\n"
            f"events {{}}\nhttp {{ access_log off; {paths} default_type text/plain; client_max_body_size 0;\n"
            f"{servers}\n}}\n"
        )
        (self.folder / f"{name}.conf").write_text(text)
        words = ["nginx", "-p", self.folder, "-c", self.folder / f"{name}.conf"]
        self.start(name, words, lambda: (self.folder / f"{name}.pid").exists())

    def authority(self, name="ca"):
        """A new certificate authority: the path of its certificate."""
        self.openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 2,
            "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        )  # fmt: skip
        return self.folder / f"{name}.pem"

    def certificate(self, name, authority="ca", usage="serverAuth"):
        """A certificate for a host name, or for a client: paths of certificate and key."""
        self.openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
            "-keyout", f"{name}.key", "-out", f"{name}.csr",
        )  # fmt: skip
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(
            f"subjectAltName=DNS:{name}\nextendedKeyUsage={usage}\nbasicConstraints=CA:FALSE\n"
        )
        self.openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key",
            "-CAcreateserial", "-days", 2, "-extfile", extensions, "-out", f"{name}.pem",
        )  # fmt: skip
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def openssl(self, *words):
        done = subprocess.run(
            ["openssl", *map(str, words)], cwd=self.folder, capture_output=True, timeout=WAIT
        )
        if done.returncode != 0:
            raise Failed(f"openssl {words[0]}: {done.stderr.decode(errors='replace')[-300:]}")


def route(name, path, service, **more):
    return {"name": name, "match": {"path": path}, "service": service, **more}
