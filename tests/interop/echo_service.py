"""A gRPC service by grpcio, with bytes for messages, so that no code has to be generated."""

import threading
from concurrent import futures

import grpc

SERVICE = "/interop.Echo/"


class EchoService(grpc.GenericRpcHandler):
    """`gate` holds back the second message of Count, `left` is set when a client has cancelled Wait."""

    def __init__(self, proof=None):
        self.gate, self.entered, self.left = threading.Event(), threading.Event(), threading.Event()
        self.server = grpc.server(
            futures.ThreadPoolExecutor(16), options=[("grpc.max_receive_message_length", -1)]
        )
        self.server.add_generic_rpc_handlers((self,))
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.secure_port = self.server.add_secure_port("127.0.0.1:0", proof) if proof else None
        self.server.start()

    def stop(self):
        self.gate.set()
        self.server.stop(0).wait()

    def service(self, details):
        unary, streaming = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
        handlers = {
            "Unary": unary(self.unary, bytes, bytes),
            "Fail": unary(self.fail, bytes, bytes),
            "Remaining": unary(self.remaining, bytes, bytes),
            "Wait": unary(self.wait, bytes, bytes),
            "Join": grpc.stream_unary_rpc_method_handler(self.join, bytes, bytes),
            "Count": streaming(self.count, bytes, bytes),
            "Chat": grpc.stream_stream_rpc_method_handler(self.chat, bytes, bytes),
        }
        return handlers.get(details.method.rsplit("/", 1)[-1])

    def unary(self, request, context):
        sent = dict(context.invocation_metadata())
        context.send_initial_metadata((("x-first", "1"), ("x-back", sent.get("x-sent", ""))))
        raw = [(name, value) for name, value in sent.items() if name == "x-raw-bin"]
        context.set_trailing_metadata((("x-last", "2"), *raw))
        return request

    def fail(self, request, context):
        context.set_trailing_metadata((("x-last", "2"),))
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "100 % of größe\nis gone")

    def remaining(self, request, context):
        left = context.time_remaining()
        return b"none" if left is None else str(left).encode()

    def wait(self, request, context):
        context.add_callback(self.left.set)
        self.entered.set()
        self.left.wait(30)
        return b""

    def join(self, requests, context):
        return b",".join(requests)

    def count(self, request, context):
        for number in range(int(request)):
            if number == 1 and not self.gate.wait(20):
                context.abort(grpc.StatusCode.ABORTED, "nobody opened the gate")
            yield str(number).encode()

    def chat(self, requests, context):
        for request in requests:
            yield b"you said " + request
