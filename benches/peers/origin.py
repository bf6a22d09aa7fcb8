"""Who answers in the end: nginx, from memory, on two ports, so that there are two endpoints to take turns."""

from peers import job as jobs, nginx

BODY = '{"id":1,"name":"Lamp","price":12.5,"stock":10}'


def command(stage, ports, keys):
    """The small document, the same to be kept, the large one, and the issuer's keys."""
    stage.write("jwks.json", keys)
    stage.write(jobs.LARGE.lstrip("/"), "x" * jobs.LARGE_BYTES)
    listen = "\n        ".join(f"listen 127.0.0.1:{port} backlog=1024;" for port in ports)
    return nginx.command(stage, "origin", f"""
    default_type application/json;
    sendfile on;
    tcp_nopush on;
    open_file_cache max=100;
    server {{
        {listen}
        location / {{ return 200 '{BODY}'; }}
        location = {jobs.KEPT} {{ add_header Cache-Control "public, max-age=3600"; return 200 '{BODY}'; }}
        location = {jobs.LARGE} {{ root {stage.folder}; }}
        location = /jwks.json {{ root {stage.folder}; }}
    }}""")
