"""Every proxy doing every job, in turns: who is started, who is asked what, and how long all of it may take."""

import sys
import time

from certificate import Certificate
from peers import envoy, haproxy, nginx, origin, portreeve
from peers import job as jobs
from peers.generators import H2load, Handshakes, Wrk
from peers.runs import Comparison, Run
from peers.scenarios import OWN, ROUTES, ROUTES_GATE, Bound, Scenario
from stage import end, free_port, is_open, load, until
from tokens import Issuer

TOKENS = 1_000
# 100,000 routes take their time on a busy machine; what is refused ends at once.
START_SECONDS = 120
OURS = "portreeve"
PROXIES = {OURS: portreeve, "nginx": nginx, "haproxy": haproxy, "envoy": envoy}


class Refused(Exception):
    """What cannot be measured, and why: a configuration that is not taken, answers that are errors."""


class Contest:
    """All proxies of a run. `programs` are those that were found, by name."""

    def __init__(self, stage, programs, arguments):
        self.stage, self.programs, self.arguments = stage, programs, arguments
        self.issuer, self.certificate = Issuer(stage), Certificate(stage)
        self.origins = [free_port(), free_port()]
        command = origin.command(stage, self.origins, self.issuer.jwks())
        stage.start("origin", command, arguments.load_core)
        until("the origin listens", lambda: all(map(is_open, self.origins)), 20, 0.02)
        self.words = ["-s", stage.write("tokens.lua", in_turn(self.tokens()))]
        self.started, self.runs, self.comparisons, self.skipped = {}, [], [], []

    def tokens(self):
        return self.stage.write("tokens", "\n".join(self.issuer.token(f"user-{number}") for number in range(TOKENS)))

    def start(self, name, kind, routes=0):
        """Starts a proxy with one of its configurations; gives its process and its port."""
        port = free_port()
        job = jobs.Job(self.stage, port, self.origins, self.issuer, self.certificate, routes, self.programs)
        log = f"{name}-{kind}-{port}"
        process = self.stage.start(log, getattr(PROXIES[name], kind)(job), self.arguments.proxy_core)

        deadline = time.monotonic() + START_SECONDS
        while not is_open(port):
            if process.poll() is not None or time.monotonic() > deadline:
                print(f"{log} does not listen; it said:\n  {self.stage.log(log)}", file=sys.stderr)
                end(process)
                raise Refused(f"{name} did not start with its configuration")
            time.sleep(0.02)
        return process, port

    def running(self, name, kind):
        """The proxy of this kind, started at its first use; one that refused then is not asked again."""
        if (name, kind) not in self.started:
            try:
                self.started[name, kind] = self.start(name, kind)
            except Refused as refused:
                self.started[name, kind] = refused
        if isinstance(self.started[name, kind], Refused):
            raise self.started[name, kind]
        return self.started[name, kind]

    def add(self, scenario):
        """Takes a scenario in: a run of ours, and one of each peer that a bound names."""
        try:
            ours = self.proven(scenario, OURS)
        except Refused as refused:
            return self.skip(scenario.title, refused)
        for bound in scenario.bounds:
            try:
                other = self.own_plain() if bound.peer == OWN else self.proven(scenario, bound.peer)
                self.comparisons.append(Comparison(scenario, ours, other, bound))
            except Refused as refused:
                self.skip(f"{scenario.title}, {bound.peer}", refused)

    def add_routes(self):
        """The last of few, more and many routes; only of ours."""
        if not self.programs.get("many_routes"):
            return self.skip("many routes", "`many_routes.rs` was not built")
        few = None
        for count in ROUTES:
            try:
                process, port = self.start(OURS, "many_routes", count)
                run = Run(f"last of {count:,} routes: {OURS}", process, self.wrk(port, portreeve.last_of(count)))
                self.prove(run)
            except Refused as refused:
                self.skip(f"{count:,} routes", refused)
                continue
            if few:
                gate = ROUTES_GATE if count == ROUTES[-1] else None
                bound = Bound(f"own {ROUTES[0]} routes", gate)
                self.comparisons.append(Comparison(Scenario("routes", f"last of {count:,} routes"), run, few, bound))
            few = few or run

    def skip(self, what, why):
        print(f"skipped: {what}: {why}", file=sys.stderr)
        self.skipped.append((what, why))

    def proxies(self):
        """Ours and the peers that were found."""
        return [name for name in PROXIES if name in self.programs]

    def own_plain(self):
        found = [run for run in self.runs if run.name == f"plain: {OURS}"]
        if not found:
            raise Refused("`plain` is not measured in this run")
        return found[0]

    def proven(self, scenario, name):
        """A run of this proxy that has shown that it answers."""
        if name not in self.programs:
            raise Refused("it was not found")
        process, port = self.running(name, scenario.kind)
        run = Run(f"{scenario.name}: {name}", process, self.tool(scenario, port))
        self.prove(run)
        return run

    def prove(self, run):
        """Asks for a second, which also fills caches and pools; what answers with errors is not measured."""
        requests, errors = run.tool.run(1, self.arguments.load_core)
        if errors or not requests:
            raise Refused(f"{run.name} answered {requests} requests, with {errors} errors")
        self.runs.append(run)

    def tool(self, scenario, port):
        """Who asks in this scenario, and for what."""
        match scenario.name:
            case "h2":
                return H2load(f"https://127.0.0.1:{port}{jobs.SMALL}")
            case "handshakes":
                return Handshakes(port)
            case "tls":
                return self.wrk(port, jobs.SMALL, "https")
            case "tokens":
                return self.wrk(port, jobs.SMALL, words=self.words)
            case name:
                return self.wrk(port, {"body": jobs.LARGE, "cache": jobs.KEPT}.get(name, jobs.SMALL))

    def wrk(self, port, path, scheme="http", words=()):
        return Wrk(f"{scheme}://127.0.0.1:{port}{path}", self.arguments.connections, words)

    def errors(self):
        return sum(run.errors for run in self.runs)

    def rounds(self, deadline):
        """Every run once a round; no round is begun that would not be over before the deadline."""
        core, longest = self.arguments.load_core, 0
        for number in range(self.arguments.rounds if self.runs else 0):
            began = time.monotonic()
            if number and began + longest > deadline:
                print(f"only {number} rounds were made: the time is up (--limit)", file=sys.stderr)
                return
            print(f"round {number + 1} of {self.arguments.rounds}, load {load()}", file=sys.stderr)
            # Each round begins elsewhere, so that nobody always follows the same neighbour.
            at = number % len(self.runs)
            for run in self.runs[at:] + self.runs[:at]:
                run.measure(self.arguments.seconds, core)
            longest = max(longest, time.monotonic() - began)


def in_turn(tokens):
    """A script for wrk that sends one token after the other, from requests that are made beforehand."""
    return f"""
local requests, turn = {{}}, 0
function init()
    for token in io.lines("{tokens}") do
        requests[#requests + 1] = wrk.format("GET", nil, {{["Authorization"] = "Bearer " .. token}})
    end
end
function request()
    turn = turn % #requests + 1
    return requests[turn]
end
"""
