"""Envoy: the job in plain text and with a token asked of every request, its keys in the configuration."""

import json

from peers import job as jobs
from tokens import AUDIENCE, ISSUER

TYPES = "type.googleapis.com/envoy.extensions.filters"


def plain(job):
    return command(job, "plain", "")


def tokens(job):
    keys = json.dumps(job.issuer.jwks())
    return command(job, "tokens", f"""
          - name: envoy.filters.http.jwt_authn
            typed_config:
              "@type": {TYPES}.http.jwt_authn.v3.JwtAuthentication
              providers:
                bench:
                  issuer: {ISSUER}
                  audiences: [{AUDIENCE}]
                  forward: true
                  local_jwks: {{inline_string: {keys}}}
              rules: [{{match: {{prefix: /}}, requires: {{provider_name: bench}}}}]""")


def command(job, name, filters):
    routes = [f"{{match: {{prefix: {path}}}, route: {{cluster: origin}}}}" for path in jobs.TENANTS]
    exact = [path for path in jobs.PATHS if path not in jobs.TENANTS]
    routes += [f"{{match: {{path: {path}}}, route: {{cluster: origin}}}}" for path in exact]
    endpoints = ", ".join(
        f"{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}}}"
        for port in job.origins
    )
    path = job.stage.write(f"envoy-{name}.yaml", f"""
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {job.port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": {TYPES}.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          use_remote_address: true
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{", ".join(routes)}]
          http_filters:{filters}
          - name: envoy.filters.http.router
            typed_config: {{"@type": {TYPES}.http.router.v3.Router}}
  clusters:
  - name: origin
    type: STATIC
    connect_timeout: 1s
    lb_policy: ROUND_ROBIN
    load_assignment:
      cluster_name: origin
      endpoints:
      - lb_endpoints: [{endpoints}]
""")
    quiet = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
    return [job.programs["envoy"], "-c", path, *quiet]
