"""HAProxy: the job in plain text, with a token asked of every request, and over TLS."""

from peers import job as jobs
from tokens import AUDIENCE, ISSUER


def plain(job):
    return command(job, "plain", f"bind 127.0.0.1:{job.port}")


def tls(job):
    """The client's order of ciphers counts, as it does for the others."""
    certificate = job.certificate.in_one_file()
    options = "alpn h2,http/1.1 ssl-min-ver TLSv1.3 prefer-client-ciphers"
    return command(job, "tls", f"bind 127.0.0.1:{job.port} ssl crt {certificate} {options}")


def tokens(job):
    """What ours checks too: signature, algorithm, issuer, audience and expiry."""
    key = job.stage.write("issuer.pem", job.issuer.public())
    return command(job, "tokens", f"""bind 127.0.0.1:{job.port}
    http-request set-var(txn.bearer) http_auth_bearer
    http-request set-var(txn.alg) http_auth_bearer,jwt_header_query('$.alg')
    http-request set-var(txn.iss) http_auth_bearer,jwt_payload_query('$.iss')
    http-request set-var(txn.aud) http_auth_bearer,jwt_payload_query('$.aud')
    http-request set-var(txn.exp) http_auth_bearer,jwt_payload_query('$.exp','int')
    http-request set-var(txn.now) date()
    http-request deny deny_status 401 unless {{ var(txn.alg) -m str RS256 }}
    http-request deny deny_status 401 unless {{ var(txn.iss) -m str {ISSUER} }}
    http-request deny deny_status 401 unless {{ var(txn.aud) -m str {AUDIENCE} }}
    http-request deny deny_status 401 if {{ var(txn.exp),sub(txn.now) -m int lt 0 }}
    http-request deny deny_status 401 unless {{ var(txn.bearer),jwt_verify(txn.alg,"{key}") 1 }}""")


def command(job, name, clients):
    rules = [f"use_backend origin if {{ path_beg {path} }}" for path in jobs.TENANTS]
    rules += [f"use_backend kept if {{ path {jobs.KEPT} }}"]
    rules += [f"use_backend origin if {{ path {path} }}" for path in (jobs.LARGE, jobs.SMALL)]
    endpoints = [f"server origin-{port} 127.0.0.1:{port}" for port in job.origins]
    below = "\n    "
    path = job.stage.write(f"haproxy-{name}.cfg", f"""
global
    nbthread 1
    maxconn 8192
defaults
    mode http
    timeout connect 1s
    timeout client 60s
    timeout server 60s
    timeout http-keep-alive 60s
    option forwardfor
    http-reuse always
cache kept
    total-max-size 64
    max-age 3600
frontend clients
    {clients}
    http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]
    {below.join(rules)}
backend origin
    balance roundrobin
    {below.join(endpoints)}
backend kept
    balance roundrobin
    http-request cache-use kept
    http-response cache-store kept
    {below.join(endpoints)}
""")
    return ["haproxy", "-f", path]
