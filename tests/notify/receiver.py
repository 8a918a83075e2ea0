"""Takes POSTs on loopback: prints its port, and then each request as one line of JSON. A line of input is
answered by `null`, so that whoever asks knows that all before it was printed.

Arguments: JSON with `answers`, a list of statuses for the first requests (then 200), and where wanted `key`, with which the
signature of Standard Webhooks is checked, `certificate` and `private_key`.
"""
import base64
import hashlib
import hmac
import json
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

options = json.loads(sys.argv[1])
answers = list(options.get("answers", []))


def is_genuine(headers, body):
    """By the specification's words: secret, signed content, signature, and a time that is near."""
    secret = base64.b64decode(options["key"].removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    near = abs(time.time() - int(headers["webhook-timestamp"])) < 300
    return near and f"v1,{expected}" in headers["webhook-signature"].split(" ")


def answer():
    for _ in sys.stdin:
        print("null", flush=True)


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        status = answers.pop(0) if answers else 200
        headers = {name.lower(): value for name, value in self.headers.items()}
        genuine = is_genuine(headers, body) if "key" in options else None
        print(json.dumps({
            "path": self.path, "headers": headers, "body": json.loads(body), "genuine": genuine, "status": status,
        }), flush=True)
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "7")
        if status == 302:
            self.send_header("Location", f"http://127.0.0.1:{server.server_address[1]}/elsewhere")
        self.end_headers()
        # As some do, it repeats what it was asked.
        self.wfile.write(f"nothing at {self.path} for {self.headers['user-agent']}".encode())

    def log_message(self, *arguments):
        pass


server = HTTPServer(("127.0.0.1", 0), Handler)
if "certificate" in options:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(options["certificate"], options["private_key"])
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
threading.Thread(target=answer, daemon=True).start()
server.serve_forever()
