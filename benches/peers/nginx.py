"""nginx: the job in plain text and over TLS. It has no check of tokens without its commercial edition."""

from peers import job as jobs


def plain(job):
    return command(job.stage, "nginx-plain", server(job, "plain", f"listen 127.0.0.1:{job.port} backlog=1024;"))


def tls(job):
    certificate = job.certificate
    return command(job.stage, "nginx-tls", server(job, "tls", f"""
        listen 127.0.0.1:{job.port} ssl http2 backlog=1024;
        ssl_protocols TLSv1.3;
        ssl_certificate {certificate.chain};
        ssl_certificate_key {certificate.key};
        http2_max_concurrent_streams 128;"""))


def server(job, name, listen):
    """Large answers are passed on as they come: without a limit on its temporary files nginx would write what a client
    does not take at once to disk."""
    endpoints = " ".join(f"server 127.0.0.1:{port};" for port in job.origins)
    exact = [path for path in jobs.PATHS if path not in jobs.TENANTS and path != jobs.KEPT]
    places = [f"location {path} {{ proxy_pass http://origin; }}" for path in jobs.TENANTS]
    places += [f"location = {path} {{ proxy_pass http://origin; }}" for path in exact]
    places += [f"location = {jobs.KEPT} {{ proxy_cache kept; proxy_pass http://origin; }}"]
    cache = f"{job.stage.folder}/nginx-{name}-cache"
    return f"""
    proxy_cache_path {cache} levels=1:2 keys_zone=kept:10m inactive=1h use_temp_path=off;
    open_file_cache max=1000;
    upstream origin {{
        {endpoints}
        keepalive 64;
        keepalive_requests 1000000000;
    }}
    server {{
        {listen}
        proxy_http_version 1.1;
        proxy_set_header Host $host;
        proxy_set_header Connection "";
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_max_temp_file_size 0;
        {" ".join(places)}
    }}"""


def command(stage, name, http):
    """Any nginx of a run: one worker that ends with its terminal, and everything it writes in the stage's folder."""
    temporary = "\n    ".join(
        f"{kind}_temp_path {stage.folder}/{name}-{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    path = stage.write(f"{name}.conf", f"""
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {stage.folder}/{name}.pid;
error_log stderr warn;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    {temporary}{http}
}}
""")
    return ["nginx", "-e", "stderr", "-p", stage.folder, "-c", path]
