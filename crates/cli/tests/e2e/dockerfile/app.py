"""A small web application: says hello in the words that the build wrote down, and who it is."""

import http.server
import json
import os
import socketserver
import sys


def words():
    with open("words.json", encoding="utf-8") as file:
        return json.load(file)


def answer(path):
    if path == "/health":
        return {"status": "healthy"}
    return {"says": words()[0], "uid": os.getuid(), "home": os.environ.get("HOME")}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps(answer(self.path)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
