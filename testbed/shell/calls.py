#!/usr/bin/python3
"""gRPC by its own library, on both sides of the proxy.

calls.py serve ADDRESS NAME [CERTIFICATE KEY]   answers until SIGTERM; SIGUSR1: its health service says NOT_SERVING from then on
calls.py ask ADDRESS CASE...                    calls, and fails if anything is other than it has to be
calls.py load ADDRESS SECONDS                   calls from eight clients; "OK FAILED SLOWEST" in calls, calls and seconds, then who answered
calls.py work ADDRESS [FILE]                    a call every tenth of a second until SIGTERM; then "asked N times, M failed", also into FILE
"""

import collections
import signal
import sys
import threading
import time
from concurrent import futures

import grpc


def serve(address, name, certificate=None, key=None):
    state = {"health": b"\x08\x01"}

    class Service(grpc.GenericRpcHandler):
        def service(self, details):
            return {
                "/t.Calls/Echo": grpc.unary_unary_rpc_method_handler(lambda said, _: name.encode() + b":" + said),
                "/t.Calls/Refuse": grpc.unary_unary_rpc_method_handler(refuse),
                "/t.Calls/Both": grpc.stream_stream_rpc_method_handler(lambda said, _: said),
                "/t.Calls/Down": grpc.unary_stream_rpc_method_handler(lambda _, __: (b"x" * 65536 for _ in range(200))),
                "/t.Calls/Up": grpc.stream_unary_rpc_method_handler(lambda said, _: b"%d" % sum(map(len, said))),
                "/t.Calls/Sleep": grpc.unary_unary_rpc_method_handler(lambda said, _: time.sleep(float(said)) or said),
                "/grpc.health.v1.Health/Check": grpc.unary_unary_rpc_method_handler(lambda _, __: state["health"]),
            }.get(details.method)

    def refuse(_, context):
        context.set_trailing_metadata((("x-reason", "stock"),))
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "sold out: 100 %, é")

    server = grpc.server(futures.ThreadPoolExecutor(32))
    server.add_generic_rpc_handlers((Service(),))
    if certificate:
        files = [open(path, "rb").read() for path in (key, certificate)]
        server.add_secure_port(address, grpc.ssl_server_credentials([tuple(files)]))
    else:
        server.add_insecure_port(address)
    server.start()
    signal.signal(signal.SIGUSR1, lambda *_: state.update(health=b"\x08\x02"))
    signal.signal(signal.SIGTERM, lambda *_: server.stop(5))
    server.wait_for_termination()


def ask(address, *cases):
    channel = grpc.insecure_channel(address)

    def failing(method, said, timeout=10):
        try:
            channel.unary_unary(method)(said, timeout=timeout)
        except grpc.RpcError as error:
            return error
        raise AssertionError(method + " did not fail")

    for case in cases:
        if case == "echo":
            said = channel.unary_unary("/t.Calls/Echo")(b"hello", timeout=10, wait_for_ready=True)
            assert said.endswith(b":hello"), said
        elif case == "refuse":
            error = failing("/t.Calls/Refuse", b"")
            assert error.code() == grpc.StatusCode.FAILED_PRECONDITION, error
            assert error.details() == "sold out: 100 %, é", error
            assert ("x-reason", "stock") in [tuple(pair) for pair in error.trailing_metadata()], error
        elif case == "unknown":
            assert failing("/t.Calls/None", b"").code() == grpc.StatusCode.UNIMPLEMENTED
        elif case == "deadline":
            assert failing("/t.Calls/Sleep", b"5", 0.5).code() == grpc.StatusCode.DEADLINE_EXCEEDED
        elif case == "both":
            parts = [b"%d" % number for number in range(100)]
            assert list(channel.stream_stream("/t.Calls/Both")(iter(parts), timeout=20)) == parts
        elif case == "down":
            assert sum(map(len, channel.unary_stream("/t.Calls/Down")(b"", timeout=60))) == 200 * 65536
        elif case == "up":
            assert channel.stream_unary("/t.Calls/Up")((b"y" * 60000 for _ in range(200)), timeout=60) == b"12000000"
        elif case == "nobody":
            error = failing("/t.Calls/Echo", b"")
            assert error.code() == grpc.StatusCode.UNAVAILABLE, error
            assert error.details().startswith("proxy-sidecar: no endpoint of service"), error
        else:
            raise AssertionError("no case " + case)
    print("as it has to be")


def load(address, seconds):
    until = time.monotonic() + float(seconds)
    counts, lock = collections.Counter(), threading.Lock()

    def client():
        channel = grpc.insecure_channel(address, options=(("grpc.use_local_subchannel_pool", 1),))
        call = channel.unary_unary("/t.Calls/Echo")
        while time.monotonic() < until:
            began = time.monotonic()
            try:
                outcome = call(b"", timeout=30).decode().rstrip(":")
            except grpc.RpcError as error:
                outcome = "failed"
                print(error.code(), error.details(), file=sys.stderr)
            with lock:
                counts[outcome] += 1
                counts["slowest"] = max(counts["slowest"], time.monotonic() - began)

    threads = [threading.Thread(target=client) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    slowest, failed = counts.pop("slowest"), counts.pop("failed", 0)
    print(sum(counts.values()), failed, round(slowest, 2), *sorted(counts))


def work(address, file=None):
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    call = grpc.insecure_channel(address).unary_unary("/t.Calls/Echo")
    asked = failed = 0
    while not stop.wait(0.1):
        asked += 1
        try:
            call(b"", timeout=10)
        except grpc.RpcError as error:
            failed += 1
            print(error.code(), error.details(), flush=True)
    said = f"asked {asked} times, {failed} failed"
    print(said, flush=True)
    if file:
        with open(file, "w") as out:
            out.write(said)


if __name__ == "__main__":
    {"serve": serve, "ask": ask, "load": load, "work": work}[sys.argv[1]](*sys.argv[2:])
