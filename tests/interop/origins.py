"""Origins that answer byte by byte as a case wants it, which no ready-made server does, and a reader for heads."""

import socket
import sys
import threading


class RawOrigin:
    """Listens on a free port and gives each connection to `answer(connection)` in a thread of its own."""

    def __init__(self, answer):
        self.answer = answer
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(Connection(connection),), daemon=True).start()

    def serve(self, connection):
        try:
            self.answer(connection)
        except (OSError, EOFError):
            pass
        except Exception as fault:
            # The case fails on what it did not get; this says why.
            print(f"note: the origin gave up: {fault!r}", file=sys.stderr)
        finally:
            connection.close()

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Connection:
    """A socket with what was read too far."""

    def __init__(self, connected):
        connected.settimeout(20)
        self.socket, self.waiting = connected, b""

    def until(self, end):
        """What comes up to `end`, with it."""
        while end not in self.waiting:
            self.more()
        found, _, self.waiting = self.waiting.partition(end)
        return found + end

    def exactly(self, count):
        while len(self.waiting) < count:
            self.more()
        found, self.waiting = self.waiting[:count], self.waiting[count:]
        return found

    def rest(self):
        try:
            while True:
                self.more()
        except (EOFError, ConnectionError):
            found, self.waiting = self.waiting, b""
            return found

    def more(self):
        piece = self.socket.recv(65536)
        if not piece:
            raise EOFError("the other side has ended")
        self.waiting += piece

    def head(self):
        """The first line, and the fields with names in lower case."""
        first, *lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")[:-2]
        return first, fields_of(lines)

    def body(self, fields):
        """A body by its framing, and the trailers after it."""
        if fields.get("transfer-encoding", "").lower() != "chunked":
            return self.exactly(int(fields.get("content-length", 0))), {}
        whole = b""
        while size := int(self.until(b"\r\n").split(b";")[0], 16):
            whole += self.exactly(size)
            self.exactly(2)
        lines = []
        while line := self.until(b"\r\n").decode("latin-1").rstrip("\r\n"):
            lines.append(line)
        return whole, fields_of(lines)

    def send(self, text):
        self.socket.sendall(text if isinstance(text, bytes) else text.encode("latin-1"))

    def close(self):
        self.socket.close()


def fields_of(lines):
    return {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}


def connect(port):
    return Connection(socket.create_connection(("127.0.0.1", port), timeout=20))
