"""WebSocket: the `websockets` library on both sides over HTTP/1.1, and hyper-h2 as the client for RFC 8441."""

import socket
import threading
from types import SimpleNamespace

import h2.config
import h2.connection
import h2.events
import h2.settings
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.sync.client import connect as open_websocket
from websockets.sync.server import serve
from websockets.utils import accept_key

from origins import RawOrigin
from origins import connect as open_socket
from stage import case, expect, expect_true, route, until

LARGEST = 8 << 20
KNOWN = ["chat.v2", "chat.v1"]


def scene(stage):
    ends = {}
    server = serve(
        lambda peer: converse(peer, ends), "127.0.0.1", 0,
        subprotocols=KNOWN, select_subprotocol=select, max_size=LARGEST, process_request=decide,
    )  # fmt: skip
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stage.at_end(server.shutdown)
    raw = RawOrigin(count_to_the_end)
    stage.at_end(raw.stop)
    origin = server.socket.getsockname()[1]
    port = origin if stage.direct else stage.port()
    stage.gateway(
        {
            "listen": f"127.0.0.1:{port}",
            "services": {
                "talk": {"endpoints": [f"127.0.0.1:{origin}"]},
                "raw": {"endpoints": [f"127.0.0.1:{raw.port}"]},
            },
            "routes": [
                route("talk", "/talk/*", "talk", upgrade=["websocket"]),
                route("raw", "/raw", "raw", upgrade=["websocket"]),
                route("plain", "/plain", "talk"),
            ],
        }
    )
    return SimpleNamespace(
        url=f"ws://127.0.0.1:{port}", port=port, raw_port=raw.port if stage.direct else port, ends=ends
    )


def select(_, offered):
    return next((name for name in KNOWN if name in offered), None)


def decide(connection, request):
    if request.path == "/talk/forbidden":
        return connection.respond(403, "not you\n")
    return None


def converse(peer, ends):
    """Sends back what comes; some messages are orders."""
    try:
        for message in peer:
            if message == "close":
                peer.close(4001, "as you wish")
            elif message == "ping":
                peer.send("answered" if peer.ping().wait(20) else "no pong")
            elif message == "fields":
                peer.send("; ".join(f"{name.lower()}={value}" for name, value in peer.request.headers.raw_items()))
            else:
                peer.send(message)
    except ConnectionClosed:
        pass
    finally:
        ends[peer.request.path] = (peer.protocol.close_code, peer.protocol.close_reason)


def count_to_the_end(connection):
    """Switches, reads until the client has ended its half, and only then answers."""
    _, fields = connection.head()
    expect(fields.get("upgrade", "").lower(), "websocket", "the wish")
    connection.send(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(fields['sec-websocket-key'])}\r\n\r\n"
    )
    count = len(connection.rest())
    connection.send(f"{count} bytes")


def talk(scene, path="/talk/room", **options):
    return open_websocket(scene.url + path, open_timeout=20, close_timeout=20, max_size=LARGEST, proxy=None, **options)


@case("websocket: text and binary")
def text_and_binary(scene):
    with talk(scene) as peer:
        for message in ("hello", "größe ✓", "", b"\x00\xff", b""):
            peer.send(message)
            expect(peer.recv(20), message, "the message")


@case("websocket: 4 MiB in one message, and ten thousand small ones")
def large_and_many(scene):
    with talk(scene, compression=None) as peer:
        message = bytes(range(256)) * (4 << 12)
        peer.send(message)
        expect_true(peer.recv(20) == message, "a large message came back changed")
        sender = threading.Thread(target=lambda: [peer.send(str(number)) for number in range(10_000)])
        sender.start()
        answers = [int(peer.recv(20)) for _ in range(10_000)]
        sender.join()
        expect(answers, list(range(10_000)), "the answers")


@case("websocket: a message in fragments, with a ping between them")
def fragments(scene):
    with talk(scene) as peer:
        def parts():
            yield "one "
            expect_true(peer.ping().wait(20), "no pong for the client's ping")
            yield "two"

        peer.send(parts())
        expect(peer.recv(20), "one two", "the message")


@case("websocket: pings of both sides are answered")
def pings(scene):
    with talk(scene) as peer:
        expect_true(peer.ping().wait(20), "no pong for the client's ping")
        peer.send("ping")
        expect(peer.recv(20), "answered", "the service's ping")


@case("websocket: the service's close code and reason")
def closed_by_service(scene):
    with talk(scene) as peer:
        peer.send("close")
        try:
            peer.recv(20)
        except ConnectionClosed as end:
            expect((end.rcvd.code, end.rcvd.reason), (4001, "as you wish"), "the close frame")
            return
    expect_true(False, "it was not closed")


@case("websocket: the client's close code and reason")
def closed_by_client(scene):
    path = "/talk/closed-by-client"
    with talk(scene, path) as peer:
        peer.send("hello")
        peer.recv(20)
        peer.close(4002, "enough")
    until_end(scene, path, (4002, "enough"))


def until_end(scene, path, wanted):
    expect(until(lambda: scene.ends.get(path), "the service learns of the end"), wanted, "the close frame")


@case("websocket: the service learns of a client that vanished")
def vanished(scene):
    path = "/talk/vanished"
    peer = talk(scene, path)
    peer.send("hello")
    peer.recv(20)
    peer.socket.shutdown(socket.SHUT_RDWR)
    until_end(scene, path, (1006, ""))


@case("websocket: subprotocols are agreed on")
def subprotocols(scene):
    with talk(scene, subprotocols=["chat.v1", "chat.v9"]) as peer:
        expect(peer.subprotocol, "chat.v1", "the subprotocol")


@case("websocket: compression is agreed on end to end")
def compression(scene):
    with talk(scene) as peer:
        expect_true("permessage-deflate" in peer.response.headers.get("Sec-WebSocket-Extensions", ""), "none agreed")
        peer.send("again and " * 1000)
        expect(peer.recv(20), "again and " * 1000, "the message")


@case("websocket: a service's refusal of the handshake passes")
def refused(scene):
    expect(status_of(scene, "/talk/forbidden"), 403, "status")


@case("websocket: a route without `upgrade` does not switch", gateway=True)
def not_switched(scene):
    expect_true(status_of(scene, "/plain") != 101, "it switched")


def status_of(scene, path):
    try:
        with talk(scene, path):
            return 101
    except InvalidStatus as fault:
        return fault.response.status_code


@case("websocket: a client's end leaves the other direction open")
def half_closed(scene):
    peer = open_socket(scene.raw_port)
    peer.send(
        "GET /raw HTTP/1.1\r\nHost: interop\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    first, _ = peer.head()
    expect(first.split()[1], "101", "status")
    peer.send(b"x" * 100_000)
    peer.socket.shutdown(socket.SHUT_WR)
    expect(peer.rest(), b"100000 bytes", "what the service said after the client's end")


class Http2WebSocket:
    """One WebSocket on a stream of HTTP/2 (RFC 8441), by hyper-h2."""

    def __init__(self, port, path):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.state = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.state.initiate_connection()
        self.flush()
        self.received, self.status, self.ended, self.settled = b"", None, False, False
        while not self.settled:
            self.more()
        setting = h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL
        expect(self.state.remote_settings[setting], 1, "SETTINGS_ENABLE_CONNECT_PROTOCOL")
        self.stream = self.state.get_next_available_stream_id()
        self.state.send_headers(
            self.stream,
            [
                (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", path),
                (":authority", f"127.0.0.1:{port}"), ("sec-websocket-version", "13"),
            ],
        )  # fmt: skip
        self.flush()
        while self.status is None:
            self.more()

    def flush(self):
        self.socket.sendall(self.state.data_to_send())

    def more(self):
        piece = self.socket.recv(65536)
        expect_true(piece, "the connection ended")
        for event in self.state.receive_data(piece):
            if isinstance(event, h2.events.RemoteSettingsChanged):
                self.settled = True
            elif isinstance(event, h2.events.ResponseReceived):
                self.status = dict(event.headers)[":status"]
            elif isinstance(event, h2.events.DataReceived):
                self.received += event.data
                self.state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
                self.ended = True
        self.flush()

    def send(self, opcode, data):
        frame = Frame(opcode, data).serialize(mask=True)
        self.state.send_data(self.stream, frame)
        self.flush()

    def frame(self):
        """The next frame; the service's small ones have a head of two bytes."""
        while len(self.received) < 2 or len(self.received) < 2 + self.received[1]:
            expect_true(not self.ended, "the stream ended")
            self.more()
        opcode, end = Opcode(self.received[0] & 0xF), 2 + self.received[1]
        data, self.received = self.received[2:end], self.received[end:]
        return opcode, data


@case("websocket: over HTTP/2 (RFC 8441)", gateway=True)
def over_http2(scene):
    path = "/talk/http2"
    peer = Http2WebSocket(scene.port, path)
    try:
        expect(peer.status, "200", "status")
        for opcode, data in ((Opcode.TEXT, b"hello"), (Opcode.BINARY, b"\0\xff"), (Opcode.PING, b"?")):
            peer.send(opcode, data)
            wanted = Opcode.PONG if opcode is Opcode.PING else opcode
            expect(peer.frame(), (wanted, data), "the answer")
        peer.send(Opcode.CLOSE, (4003).to_bytes(2, "big") + b"over")
        expect(peer.frame()[0], Opcode.CLOSE, "the answer to the close frame")
    finally:
        peer.socket.close()
    until_end(scene, path, (4003, "over"))


@case("websocket: over HTTP/2, a route without `upgrade` refuses", gateway=True)
def refused_over_http2(scene):
    peer = Http2WebSocket(scene.port, "/plain")
    peer.socket.close()
    expect_true(peer.status[0] in "45", f"status {peer.status}")
