"""Connections that have carried one request and stay open, and the memory that a process tree holds for them."""

import socket

from stage import fail, memory, tree

FIRST = 50  # what the first requests need once is not counted for those that follow


def held_for_each(pid, port, path, count):
    """Bytes of resident memory that one more idle connection holds."""
    clients = [asked(port, path) for _ in range(FIRST)]
    before = resident(pid)
    clients += [asked(port, path) for _ in range(count)]
    after = resident(pid)
    for client in clients:
        client.close()
    return (after - before) / count


def resident(pid):
    return sum(memory(one)[0] for one in tree(pid))


def asked(port, path):
    """A connection that has carried one request and stays open."""
    client = socket.create_connection(("127.0.0.1", port), 10)
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\nUser-Agent: idle\r\nAccept: */*\r\n\r\n".encode())
    answer = b""
    while not is_whole(answer):
        piece = client.recv(4096)
        piece or fail(f"a connection was closed after {answer!r}")
        answer += piece
    return client


def is_whole(answer):
    """Whether head and body are there; the origins here tell their answers' length."""
    head, between, body = answer.partition(b"\r\n\r\n")
    fields = [line.partition(b":") for line in head.lower().split(b"\r\n")[1:]]
    lengths = [int(value) for name, _, value in fields if name == b"content-length"]
    return bool(between) and bool(lengths) and len(body) >= lengths[0]
