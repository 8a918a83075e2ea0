"""A mail server (aiosmtpd) on loopback: prints its port, and then each mail that it takes as one line of JSON. A line of input is
answered by `null`, so that whoever asks knows that all before it was printed.

Arguments: JSON with `tls` (none, starttls, implicit), and where wanted `port`, `certificate`, `key`, `user`, `password`, and
`refused` (a recipient that is unknown here, which is said by `refusal`).
"""
import asyncio
import email
import email.policy
import json
import ssl
import sys
import threading

from aiosmtpd.smtp import SMTP, AuthResult

options = json.loads(sys.argv[1])


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        if address == options.get("refused"):
            return options.get("refusal", "550 5.1.1 nobody of that name is here")
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = {part.get_content_type(): part.get_content() for part in mail.walk() if not part.is_multipart()}
        print(json.dumps({
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "tls": bool(session.ssl) or options["tls"] == "implicit",
            "user": session.auth_data,
            "headers": {name.lower(): str(value) for name, value in mail.items()},
            "text": parts.get("text/plain"),
            "html": parts.get("text/html"),
        }), flush=True)
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    if [data.login.decode(), data.password.decode()] == [options["user"], options["password"]]:
        return AuthResult(success=True, auth_data=data.login.decode())
    # Without a word of its own it leaves the client waiting.
    return AuthResult(success=False, handled=False)


def answer():
    for _ in sys.stdin:
        print("null", flush=True)


async def serve():
    context = None
    if options["tls"] != "none":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(options["certificate"], options["key"])
    starttls = options["tls"] == "starttls"
    login = "user" in options

    def session():
        return SMTP(
            Handler(),
            hostname="localhost",
            tls_context=context if starttls else None,
            require_starttls=starttls,
            authenticator=authenticate if login else None,
            auth_required=login,
            auth_require_tls=starttls,
        )

    implicit = context if options["tls"] == "implicit" else None
    server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", options.get("port", 0), ssl=implicit)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


threading.Thread(target=answer, daemon=True).start()
asyncio.run(serve())
