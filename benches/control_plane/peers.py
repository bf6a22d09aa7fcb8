"""The same jobs done by a stock Eureka server and by etcd, where they can be had."""

import os
import shutil
import subprocess

from control_plane.load import SERVICES
from control_plane.scene import Watchers
from figures import percentile
from stage import free_port, is_open, target, until

HERE = os.path.dirname(__file__)


def eureka(setting, verdicts):
    jar = built(verdicts)
    if jar is None:
        return
    port = free_port()
    words = ["java", "-Xmx4g", "-jar", jar, f"--server.port={port}", "--logging.level.root=warn"]
    words += ["--eureka.client.register-with-eureka=false", "--eureka.client.fetch-registry=false"]
    process = setting.stage.start("eureka", words, cpu=setting.arguments.server_core)
    until("the Eureka server serves", lambda: is_open(port), 180, pause=0.2)
    common = {"address": f"127.0.0.1:{port}", "pid": process.pid, "services": SERVICES}

    def ask(kind, instances, **more):
        return setting.agent("requests", kind=kind, instances=instances, **common, **more)[kind]

    # Java is slow until it has compiled what is asked for most.
    ask("eureka-post", 10_000)
    ask("eureka-put", 10_000, seconds=2 * setting.arguments.seconds)
    before, count = heap(process.pid), setting.arguments.registrations
    report = ask("eureka-post", count, first=10_000)
    setting.note("registrations, Eureka POST", "eureka", report)
    setting.note("signs of life, Eureka PUT", "eureka", ask("eureka-put", 10_000, seconds=setting.arguments.seconds))
    after = heap(process.pid)
    if before and after:
        verdicts.add("Eureka server: bytes of heap for one instance", [(after - before) / count], (None, None), digits=0)
    process.terminate()
    process.wait()


def built(verdicts):
    """The server's program, built by Maven; None where it cannot be."""
    for program in ("java", "mvn", "javac"):
        if not shutil.which(program):
            return verdicts.skip("a stock Eureka server", f"`{program}` is not installed")
    folder = target() / "bench-eureka"
    command = ["mvn", "-q", "-B", "-ntp", "-f", f"{HERE}/eureka/pom.xml", f"-DbuildFolder={folder}", "package"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return verdicts.skip("a stock Eureka server", "it could not be built; Maven needs its registry the first time")
    return folder / "registry-1.jar"


def heap(pid):
    """Bytes of objects that live; None where the JDK's tool is not there."""
    if not shutil.which("jcmd"):
        return None
    done = subprocess.run(["jcmd", str(pid), "GC.class_histogram"], capture_output=True, text=True)
    total = [line.split() for line in done.stdout.splitlines() if line.startswith("Total")]
    return int(total[0][2]) if total else None


def etcd(setting, verdicts):
    if not shutil.which("etcd"):
        verdicts.skip("etcd", "`etcd` is not installed; on Debian: apt-get install etcd-server")
        return
    port, peer, stage = free_port(), free_port(), setting.stage
    urls = {"client": f"http://127.0.0.1:{port}", "peer": f"http://127.0.0.1:{peer}"}
    words = ["etcd", "--data-dir", stage.folder / "etcd", "--log-level", "error", "--name", "one"]
    words += ["--listen-client-urls", urls["client"], "--advertise-client-urls", urls["client"]]
    words += ["--listen-peer-urls", urls["peer"], "--initial-advertise-peer-urls", urls["peer"]]
    words += ["--initial-cluster", f"one={urls['peer']}"]
    process = stage.start("etcd", words, cpu=setting.arguments.server_core)
    until("etcd serves", lambda: is_open(port), 60, pause=0.05)
    common = {"address": f"127.0.0.1:{port}", "pid": process.pid}
    report = setting.agent("etcd-puts", puts=setting.arguments.registrations, **common)["etcd-puts"]
    setting.note("registrations, own PUT", "etcd (Put)", report)
    watchers = Watchers(setting, "etcd-watchers", watchers=setting.arguments.watchers, **common)
    changes = [watchers.ask("change")["milliseconds"] for _ in range(20)]
    what = f"etcd, {setting.arguments.watchers:,} watchers: one change sent → the last of them has it, ms, p99 of 20"
    verdicts.add(what, [percentile(changes, 0.99)], (None, None))
    watchers.end()
    process.terminate()
    process.wait()
