"""Ours: metrics, trace context, checks and limits as they are by default. Only the access log is off, as for all."""

from peers import job as jobs
from tokens import AUDIENCE, ISSUER


def plain(job):
    return command(job, "plain", f"listen: 127.0.0.1:{job.port}", routes())


def tls(job):
    listen = f"""listen: off
listeners:
  - address: 127.0.0.1:{job.port}
    tls:
      min_version: "1.3"
      certificates: [{{certificate: {job.certificate.chain}, key: {job.certificate.key}}}]"""
    return command(job, "tls", listen, routes())


def tokens(job):
    """The keys come from the origin, as they would from an issuer."""
    return command(job, "tokens", f"""listen: 127.0.0.1:{job.port}
auth:
  providers:
    - issuer: {ISSUER}
      audiences: [{AUDIENCE}]
      jwks_url: http://127.0.0.1:{job.origins[0]}/jwks.json""", routes())


def many_routes(job):
    """As many routes as asked for, templates all of them: by `many_routes.rs`."""
    endpoints = [f"127.0.0.1:{port}" for port in job.origins]
    return [job.programs["many_routes"], f"127.0.0.1:{job.port}", job.routes, *endpoints]


def last_of(count):
    """A path that the last of so many routes takes."""
    return f"/tenant-{count - 1}/orders/8f14e45f"


def routes():
    paths = [(path + "*" if path in jobs.TENANTS else path) for path in jobs.PATHS]
    extra = {jobs.KEPT: ", cache: {ttl: 1h, share: everyone}"}
    return [
        f"  - {{name: route-{number}, match: {{path: {path}}}, service: origin{extra.get(path, '')}}}"
        for number, path in enumerate(paths)
    ]


def command(job, name, listen, written):
    endpoints = ", ".join(f'"127.0.0.1:{port}"' for port in job.origins)
    below = "\n"
    path = job.stage.write(f"portreeve-{name}.yaml", f"""
kind: gateway
{listen}
admin: 127.0.0.1:0
workers: 1
access_log: off
services: {{origin: {{endpoints: [{endpoints}]}}}}
routes:
{below.join(written)}
""")
    return [job.programs["portreeve"], "gateway", "--config", path]
