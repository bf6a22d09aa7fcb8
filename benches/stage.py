"""What every measurement stands on: the binary, processes that are started and surely ended, and what they use.

Standard library only; Linux, for /proc. Nothing is installed, nothing listens beyond loopback."""

import contextlib
import json
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

BENCHES = Path(__file__).resolve().parent
ROOT = BENCHES.parent
TICK = os.sysconf("SC_CLK_TCK")


def fail(message):
    """Ends the run with one clear line."""
    sys.exit(f"{Path(sys.argv[0]).name}: {message}")


def binary(given):
    """The release binary: the given one, or the one of this checkout, built where that is needed."""
    if given:
        path = Path(given).resolve()
        return path if os.access(path, os.X_OK) else fail(f"{path} is not a program that can be started")
    built = subprocess.run(["cargo", "build", "--release", "--bin", "portreeve"], cwd=ROOT)
    if built.returncode:
        fail("`cargo build --release` failed; its message is above")
    return target() / "release" / "portreeve"


def example(name):
    """An example of this checkout, which measurements use as a program; None when it cannot be built."""
    built = subprocess.run(["cargo", "build", "--release", "--example", name], cwd=ROOT)
    return None if built.returncode else target() / "release" / "examples" / name


def target():
    return Path(ROOT, os.environ.get("CARGO_TARGET_DIR", "target"))


def load():
    """How busy the machine is, for the notes: figures taken beside somebody else's build are worth less."""
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


class Stage:
    """A temporary folder and the processes of one run. Leaving it ends all of them, whatever happened."""

    def __enter__(self):
        # A plain kill ends a script without its `finally`; an exception does not.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.folder = Path(tempfile.mkdtemp(prefix="portreeve-bench-"))
        # Workers of nginx that dropped their privileges read it too.
        self.folder.chmod(0o755)
        self.processes = []
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            end(process)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, name, command, cpu=None, environment=None):
        """Starts a process in a group of its own, on one core if asked; its output goes to a file."""
        command = [str(word) for word in command]
        if cpu is not None:
            command = ["taskset", "-c", str(cpu), *command]
        with open(self.folder / f"{name}.log", "wb") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment and {**os.environ, **environment},
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def write(self, name, text):
        """Writes a file into the folder; gives its path."""
        path = self.folder / name
        path.write_text(text)
        return path

    def log(self, name):
        """The end of what a process said."""
        lines = (self.folder / f"{name}.log").read_text(errors="replace").splitlines()
        return "\n  ".join(lines[-12:])


def end(process, limit=20):
    """Asks a process to stop, and kills its whole group when it does not."""
    if process.poll() is None:
        process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(limit)
    # What is left of the group: workers whose master was killed.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class Ending:
    """Notes when a process ends. A wait with a limit would look for that again and again, 50 ms apart."""

    def __init__(self, process):
        self.process, self.moment = process, None
        # One that hangs must not hang the script.
        self.thread = threading.Thread(target=self.wait, daemon=True)
        self.thread.start()

    def wait(self):
        self.process.wait()
        self.moment = time.monotonic()

    def get(self, limit=20):
        """The moment, waited for."""
        self.thread.join(limit)
        return self.moment or fail(f"the process {self.process.pid} did not end within {limit} s")


def until(what, check, limit=30.0, pause=0.002):
    """Polls until `check` gives something; gives that and the moment it was seen."""
    deadline = time.monotonic() + limit
    while True:
        found = check()
        now = time.monotonic()
        if found:
            return found, now
        if now > deadline:
            fail(f"{what}: not within {limit:.0f} s")
        time.sleep(pause)


def free_port():
    """A port that was free a moment ago, below those that the kernel gives to connections by itself: between now and
    the moment its owner listens, nobody is given it."""
    while True:
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", random.randrange(12_000, 32_000)))
            return probe.getsockname()[1]


def is_open(port):
    """Whether somebody listens on a port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def read_json(path):
    """A JSON file that another process writes; None until it is whole."""
    with contextlib.suppress(OSError, ValueError):
        return json.loads(Path(path).read_text())
    return None


def stat(pid):
    """The fields of /proc/PID/stat from the state on; None when the process is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return None


def tree(root):
    """A process and all its descendants."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := stat(entry)):
            parents.setdefault(int(fields[1]), []).append(int(entry))
    found, rest = [], [root]
    while rest:
        pid = rest.pop()
        found.append(pid)
        rest.extend(parents.get(pid, []))
    return found


def cpu_seconds(root):
    """User and system time of a process tree, in seconds, of children that have ended too."""
    fields = [fields for pid in tree(root) if (fields := stat(pid))]
    return sum(int(value) for one in fields for value in one[11:15]) / TICK


def memory(pid):
    """Resident memory in bytes: all of it, and the part that is not the program file's."""
    wanted = {}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("VmRSS", "RssAnon"):
            wanted[name] = int(value.split()[0]) * 1024
    return wanted["VmRSS"], wanted["RssAnon"]
