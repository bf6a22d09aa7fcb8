"""Who asks: each gives the requests it has had answered in a while, and how many of its requests failed."""

import http.client
import re
import ssl
import subprocess
from dataclasses import dataclass

from peers import job as jobs


@dataclass
class Wrk:
    """HTTP/1.1 over kept connections; the next request follows each answer."""

    url: str
    connections: int
    words: tuple = ()

    def run(self, seconds, core):
        said = output(core, seconds, "wrk", "-t1", f"-c{self.connections}", f"-d{seconds}s", *self.words, self.url)
        found = re.search(r"(\d+) requests in ", said)
        lost = re.findall(r"(?:connect|read|write|timeout) (\d+)|responses: (\d+)", said)
        return counted(found), sum(int(number) for pair in lost for number in pair if number)


@dataclass
class H2load:
    """HTTP/2 over TLS: few connections with many streams at a time each."""

    url: str
    connections: int = 4
    streams: int = 16

    def run(self, seconds, core):
        words = [f"-c{self.connections}", f"-m{self.streams}", f"-D{seconds}", self.url]
        said = output(core, seconds, "h2load", *words)
        if "Application protocol: h2" not in said:
            return 0, 1
        found = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", said)
        lost = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", said)
        failed = [*(lost.groups() if lost else ()), *(found.groups()[1:] if found else ())]
        return counted(found), sum(map(int, failed))


@dataclass
class Handshakes:
    """A new connection for each request over TLS 1.3, and never a resumed session: `openssl s_time`, which makes each
    connection from nothing. Some run at a time, since each does one thing after the other."""

    port: int
    processes: int = 4

    def run(self, seconds, core):
        if not self.is_answered():
            return 0, 1
        # s_time asks for `GET … HTTP/1.0` without a Host; the rest of its line becomes a field here.
        page = f"{jobs.SMALL} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\nRest-Of-Line:"
        words = ["s_time", "-connect", f"127.0.0.1:{self.port}", "-new", "-tls1_3", "-time", str(seconds), "-www", page]
        command = ["taskset", "-c", core, "openssl", *words]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        at_once = [subprocess.Popen(command, **pipes) for _ in range(self.processes)]
        requests, errors = 0, 0
        for process in at_once:
            said = within(process, seconds)
            found = re.search(r"(\d+) connections in \d+ real seconds, (\d+) bytes read per connection", said)
            # Fewer bytes than a head has mean that connections ended without an answer.
            good = not process.returncode and found and int(found[2]) > 100
            requests += int(found[1]) if good else 0
            errors += 0 if good else 1
        return requests, errors

    def is_answered(self):
        """Whether a request over TLS is answered with 200: s_time itself looks at no answer."""
        trust = ssl.create_default_context()
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
        client = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=10, context=trust)
        try:
            client.request("GET", jobs.SMALL)
            return client.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            client.close()


def within(process, seconds):
    """What a process says until its end, which is not waited for without a limit."""
    try:
        return process.communicate(timeout=seconds + 30)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()[0]


def output(core, seconds, *command):
    """What a generator said; it has a limit, so that a proxy that hangs does not hang the run."""
    command = ["taskset", "-c", core, *map(str, command)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30)
    except subprocess.TimeoutExpired:
        return f"{command[3]} did not end"
    return done.stdout + done.stderr


def counted(found):
    """Requests by the generator's own count; none where it did not say."""
    return int(found[1]) if found else 0
