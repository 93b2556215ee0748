"""A service to deliver: answers with its version, can be told to be sick or slow, ends gracefully."""

import http.server
import os
import signal
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
STARTED = time.monotonic()


def note(name, default=""):
    path = os.path.join(HERE, name)
    if not os.path.exists(path):
        return default
    with open(path, encoding="utf-8") as file:
        return file.read().strip()


VERSION = note("version", "none")
SICK = note("sick")
WARM_UP = float(note("warm-up", "0"))
REQUESTS = [0]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, text, kind="text/plain; charset=utf-8"):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        REQUESTS[0] += 1
        path, _, query = self.path.partition("?")
        if path == "/health":
            if SICK:
                self.answer(500, f"sick on purpose: {SICK}")
            elif time.monotonic() - STARTED < WARM_UP:
                self.answer(503, "warming up")
            else:
                self.answer(200, "well")
        elif path == "/metrics":
            text = f"# TYPE app_requests_total counter\napp_requests_total {REQUESTS[0]}\n"
            self.answer(200, text, "text/plain; version=0.0.4")
        elif path == "/slow":
            time.sleep(float(query or "1"))
            self.answer(200, f"slow {VERSION}\n")
        elif path == "/variable":
            self.answer(200, os.environ.get(query, "(not set)"))
        elif path == "/headers":
            self.answer(200, "".join(f"{name.lower()}: {value}\n" for name, value in self.headers.items()))
        else:
            self.answer(200, f"version {VERSION}\n")

    def log_message(self, form, *values):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main():
    print(f"version {VERSION} starts on port {os.environ['PORT']}", flush=True)
    if SICK == "crash":
        print("cannot go on: crashed on purpose", file=sys.stderr, flush=True)
        sys.exit(3)
    server = Server(("127.0.0.1", int(os.environ["PORT"])), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(poll_interval=0.05)
    print(f"version {VERSION} ends gracefully", flush=True)


main()
