#!/usr/bin/env python3
"""The rotator @NAME@: it changes passwords of accounts at a target. Python 3.9 or later, without a dependency.

keywheel writes calls to its standard input and reads answers from its standard output, each one line of JSON. Two questions matter more
than all others when something goes wrong: did it happen, and what next? What may have happened is never called "none".

To make it yours: replace `ask`, `login`, `put` and `remove`, which talk with the target, and the settings in DESCRIPTOR.
"""

import json
import socket
import sys
import time

DESCRIPTOR = {
    "kind": "@NAME@",
    "version": "0.1.0",
    "shapes": ["in_place", "alternating"],
    "origin": "engine",
    "settings": [
        {"name": "host", "kind": "text", "required": True, "help": "where the target is"},
        {"name": "port", "kind": {"integer": {"min": 1, "max": 65535}}, "required": True, "help": "where it listens"},
    ],
}


class Failure(Exception):
    """What went wrong. effect: "none" is a promise that nothing changed, all else is "unknown".
    retry: what helps: "now", "never" (a person must act), or "new_candidate" (another value). No secret in message."""

    def __init__(self, effect, retry, code, message):
        super().__init__(message)
        self.told = {"effect": effect, "retry": retry, "code": code, "message": message}


def says_no(answer, *whys):
    """Whether the target says no, for one of these reasons where some are given."""
    no = isinstance(answer, dict) and answer.get("ok") is False
    return no and (not whys or answer.get("why") in whys)


class Call:
    """One call, with its time and its arguments. Each may come again after any crash: twice must end as once."""

    def __init__(self, message):
        self.message = message
        self.until = time.monotonic() + message["left_ms"] / 1000
        self.settings = message["target"]["settings"]
        self.admin = (message["target"].get("admin") or {}).get("password", "")
        self.in_place = "in_place" in message["target"]["strategy"]
        # As long as nothing was changed, a failure changed nothing.
        self.effect = "none"

    # The talk with the target.

    def ask(self, message, changes=False):
        """The target's answer to one message."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise Failure(self.effect, "now", "late", "no time was left")
        try:
            with socket.create_connection((self.settings["host"], self.settings["port"]), timeout=left) as line:
                left = self.until - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                line.settimeout(left)
                if changes:
                    # From here on it may happen, whatever we hear of it.
                    self.effect = "unknown"
                line.sendall(json.dumps(message).encode() + b"\n")
                answer = b""
                while not answer.endswith(b"\n"):
                    line.settimeout(max(self.until - time.monotonic(), 0.001))
                    more = line.recv(4096)
                    if not more:
                        raise ConnectionError("the line was cut")
                    answer += more
            return json.loads(answer)
        except (OSError, ValueError) as error:
            raise Failure(self.effect, "now", "no-answer", f"no answer: {type(error).__name__}") from None

    def login(self, credential):
        """Whether the target lets this credential in."""
        answer = self.ask({"do": "login", "user": credential["username"], "password": credential["password"]})
        if says_no(answer, "wrong password", "no such account"):
            return False
        return self.is_ok(answer)

    def is_ok(self, answer):
        """Only what says yes is a yes, and only what says no is a no: all else is no answer."""
        if isinstance(answer, dict) and answer.get("ok") is True:
            return True
        raise Failure(self.effect, "now", "no-answer", "the target said neither yes nor no")

    def change(self, message):
        before = self.effect
        answer = self.ask({**message, "admin": self.admin}, changes=True)
        if says_no(answer):
            # It said no, so this message changed nothing. Its words are not passed on: they may hold what it was sent.
            self.effect = before
            if says_no(answer, "password not allowed"):
                raise Failure(before, "new_candidate", "not-allowed", "the target does not take such a password")
            raise Failure(before, "never", "refused", "the target refuses the change")
        self.is_ok(answer)

    def put(self, credential):
        """Makes the account, or gives it another password."""
        self.change({"do": "set", "user": credential["username"], "password": credential["password"]})

    def remove(self, credential):
        """Takes the account away. Fine if it is not there."""
        self.change({"do": "remove", "user": credential["username"]})

    # What the calls have in common.

    def see(self, credential, accepted):
        if self.login(credential) != accepted:
            seen = "refused" if accepted else "still accepted"
            raise Failure(self.effect, "now", "not-so", f"the credential of {credential['username']} is {seen}")

    def other_than(self, ended, live):
        """What is live is never ended."""
        field = "password" if self.in_place else "username"
        if ended[field] == live[field]:
            raise Failure("none", "never", "live", f"{live['username']} is the live one")

    # The calls, by their names.

    def preflight(self):
        """Reads only: would a rotation work? All that was found, not the first."""
        answer = self.ask({"do": "accounts", "admin": self.admin})
        if says_no(answer):
            what = "the admin may not look at accounts"
            return {"findings": [{"severity": "error", "what": what, "hint": "is it the right admin?"}]}
        self.is_ok(answer)
        return {"findings": [{"severity": "fine", "what": "the admin may look at accounts", "hint": ""}]}

    def probe(self):
        """Reads only: is this credential accepted now? No answer is no "no"."""
        if self.login(self.message["credential"]):
            return {"answer": "yes"}
        return {"answer": "no", "reason": "the target refuses it"}

    def apply(self):
        """From now on the candidate is accepted."""
        candidate, current = self.message["candidate"], self.message.get("current")
        if current and not self.in_place:
            self.other_than(candidate, current)
        self.put(candidate)
        self.see(candidate, True)
        return {}

    def verify(self):
        """Logs in as the application would, and changes nothing. A check that it does not know is none that passed."""
        if any(check != "login" for check in self.message.get("checks", [])):
            raise Failure("none", "never", "unsupported", "it has no check but the login: leave others out of the policy")
        self.see(self.message["candidate"], True)
        return {}

    def restore(self):
        """Undoes apply, also where that never happened: the candidate is refused, and current is accepted."""
        candidate, current = self.message["candidate"], self.message.get("current")
        if current:
            self.other_than(candidate, current)
        if self.in_place and current:
            self.put(current)
            self.see(current, True)
        else:
            self.remove(candidate)
        self.see(candidate, False)
        return {}

    def revoke(self):
        """The previous credential is refused, and that is seen. Fine if it is already. Current works on."""
        previous, current = self.message["previous"], self.message["current"]
        self.other_than(previous, current)
        self.see(current, True)
        if not self.in_place:
            self.remove(previous)
        self.see(previous, False)
        return {}


CALLS = ["preflight", "probe", "apply", "verify", "restore", "revoke"]


def answer(message):
    if message["call"] not in CALLS:
        raise Failure("none", "never", "unsupported", f"this rotator does not know {message['call']}")
    return getattr(Call(message), message["call"])()


def main():
    for line in sys.stdin:
        message = json.loads(line)
        if message["type"] == "hello":
            reply = {"type": "rotator", "format": 1, "descriptor": DESCRIPTOR}
        elif message["type"] == "call":
            reply = {"type": "reply", "id": message["id"]}
            try:
                reply.update(answer(message))
            except Failure as failure:
                reply["error"] = failure.told
        else:
            # Messages of later versions.
            continue
        print(json.dumps(reply), flush=True)


main()
