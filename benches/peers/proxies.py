"""The same job for every proxy: one worker, one route to one origin with kept connections, `X-Forwarded-For`, no
access log. Each function gives the command that starts it."""

KEPT = "/kept"
LOCKED = "/locked"
BODY = '{"id":1,"name":"Lamp","price":12.5,"stock":10}'


def origin(stage, port, jwks):
    """nginx answering from memory: a small JSON document, the same to be kept, and the issuer's keys."""
    stage.write("jwks.json", jwks)
    return nginx(stage, "origin", f"""
    default_type application/json;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{ return 200 '{BODY}'; }}
        location = {KEPT} {{ add_header Cache-Control "public, max-age=3600"; return 200 '{BODY}'; }}
        location = /jwks.json {{ root {stage.folder}; }}
    }}""")


def nginx_proxy(stage, port, origin):
    return nginx(stage, "nginx", f"""
    proxy_cache_path {stage.folder}/nginx-cache levels=1:2 keys_zone=kept:10m inactive=1h use_temp_path=off;
    open_file_cache max=1000;
    upstream origin {{
        server 127.0.0.1:{origin};
        keepalive 64;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        proxy_http_version 1.1;
        proxy_set_header Host $host;
        proxy_set_header Connection "";
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        location / {{ proxy_pass http://origin; }}
        location = {KEPT} {{ proxy_cache kept; proxy_pass http://origin; }}
    }}""")


def nginx(stage, name, http):
    temporary = "\n    ".join(
        f"{kind}_temp_path {stage.folder}/{name}-{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    path = stage.write(f"{name}.conf", f"""
daemon off;
worker_processes 1;
pid {stage.folder}/{name}.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    {temporary}{http}
}}
""")
    return ["nginx", "-e", "stderr", "-p", stage.folder, "-c", path]


def haproxy(stage, port, origin):
    path = stage.write("haproxy.cfg", f"""
global
    nbthread 1
    maxconn 4096
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
    bind 127.0.0.1:{port}
    use_backend kept if {{ path {KEPT} }}
    default_backend origin
backend origin
    server one 127.0.0.1:{origin}
backend kept
    http-request cache-use kept
    http-response cache-store kept
    server one 127.0.0.1:{origin}
""")
    return ["haproxy", "-f", path]


def envoy(stage, port, origin):
    types = "type.googleapis.com/envoy.extensions.filters"
    path = stage.write("envoy.yaml", f"""
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": {types}.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          use_remote_address: true
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{{match: {{prefix: /}}, route: {{cluster: origin}}}}]
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": {types}.http.router.v3.Router}}
  clusters:
  - name: origin
    type: STATIC
    connect_timeout: 1s
    load_assignment:
      cluster_name: origin
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {origin}}}}}}}
""")
    return ["envoy", "-c", path, "--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"]


def portreeve(binary):
    """Ours: metrics on as always, no new trace recorded, trace context passed on all the same."""

    def command(stage, port, origin):
        path = stage.write("portreeve.yaml", f"""
kind: gateway
listen: 127.0.0.1:{port}
admin: 127.0.0.1:0
workers: 1
access_log: off
tracing: {{sample: 0.0}}
services: {{origin: {{endpoints: ["127.0.0.1:{origin}"]}}}}
routes:
  - {{name: plain, match: {{path: /*}}, service: origin}}
  - {{name: kept, match: {{path: {KEPT}}}, service: origin, cache: {{ttl: 1h, share: everyone}}}}
""")
        return [binary, "gateway", "--config", path]

    return command


def portreeve_with_tokens(binary, issuer, audience):
    """The same with a token asked of every request; its keys come from the origin."""

    def command(stage, port, origin):
        path = stage.write("portreeve-tokens.yaml", f"""
kind: gateway
listen: 127.0.0.1:{port}
admin: 127.0.0.1:0
workers: 1
access_log: off
tracing: {{sample: 0.0}}
auth:
  providers:
    - issuer: {issuer}
      audiences: [{audience}]
      jwks_url: http://127.0.0.1:{origin}/jwks.json
services: {{origin: {{endpoints: ["127.0.0.1:{origin}"]}}}}
routes:
  - {{name: locked, match: {{path: {LOCKED}}}, service: origin}}
""")
        return [binary, "gateway", "--config", path]

    return command
