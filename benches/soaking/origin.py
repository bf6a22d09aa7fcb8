"""An origin that is killed and started again: it writes down what reached it before it answers, so that a kill loses
nothing of it. Run as a program: `origin.py PORT LEDGER KEYS`."""

import asyncio
import base64
import hashlib
import os
import sys

BIG = 512 * 1024
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def filled(nonce, size=BIG):
    """A body of this size that belongs to one request only."""
    return (nonce * (size // len(nonce) + 1))[:size]


class Origin:
    def __init__(self, ledger, keys):
        # One write a line, whole or not at all.
        self.ledger = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self.keys = open(keys, "rb").read() if keys else b""

    def note(self, *words):
        os.write(self.ledger, " ".join(words).encode() + b"\n")

    async def serve(self, reader, writer):
        try:
            while await self.one(reader, writer):
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    async def one(self, reader, writer):
        """One request; whether another may follow."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await content(reader, fields)
        part, nonce = target.strip("/").partition("/")[::2]
        if part == "chat":
            await chat(reader, writer, fields)
            return False
        if part == "private":
            self.note("private", fields.get("authorization", "nobody"))
        if method == "POST":
            self.note("post", nonce)
            send(writer, f"{nonce} {len(body)} {hashlib.sha256(body).hexdigest()}".encode())
        elif part == "chunked":
            pieces = b"".join(b"%x\r\n%s\r\n" % (len(nonce), nonce.encode()) for _ in range(3))
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n")
        else:
            known = {"big": filled(nonce.encode() or b"-"), "jwks.json": self.keys}
            send(writer, known.get(part, nonce.encode()))
        return True


def send(writer, body):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


async def content(reader, fields):
    if "transfer-encoding" not in fields:
        return await reader.readexactly(int(fields.get("content-length", 0)))
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        body += (await reader.readexactly(size + 2))[:-2]
    while (await reader.readuntil(b"\r\n")) != b"\r\n":
        pass
    return body


async def chat(reader, writer, fields):
    """A WebSocket that sends short messages back (RFC 6455)."""
    key = hashlib.sha1(fields["sec-websocket-key"].encode() + MAGIC).digest()
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n")
    writer.write(b"Sec-WebSocket-Accept: %s\r\n\r\n" % base64.b64encode(key))
    while True:
        kind, size = await reader.readexactly(2)
        mask, data = await reader.readexactly(4), await reader.readexactly(size & 0x7F)
        writer.write(bytes([kind, len(data)]) + bytes(byte ^ mask[at % 4] for at, byte in enumerate(data)))
        await writer.drain()
        if kind & 0xF == 8:
            return


async def main(port, ledger, keys=""):
    server = await asyncio.start_server(Origin(ledger, keys).serve, "127.0.0.1", int(port), backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
