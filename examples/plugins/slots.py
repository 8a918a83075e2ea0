#!/usr/bin/env python3
"""A rotator of values in the slots of the example service, in Python without any dependency.

It shows all that an executable rotator does: it greets, answers one call after the other, ignores what it does not know, and tells
"certainly nothing happened" from "it may have happened". The messages are described in rotators/sdk/src/message/mod.rs.
"""

import json
import secrets
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

DESCRIPTOR = {
    "kind": "slots",
    "version": "1.0.0",
    "shapes": ["in_place", "alternating"],
    "origin": "engine",
    "settings": [
        {"name": "url", "kind": "text", "required": True, "names_target": True, "help": "where the service is"},
        {"name": "user", "kind": "text", "required": True, "names_target": True, "help": "whose slots are rotated"},
    ],
}


class Failure(Exception):
    """What goes wrong, in the two words that the engine decides by: did it happen, and what next?"""

    def __init__(self, effect, retry, code, message):
        super().__init__(message)
        self.told = {"effect": effect, "retry": retry, "code": code, "message": message}


class NoProxyNoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoProxyNoRedirect)


class Call:
    def __init__(self, message):
        self.message = message
        self.until = time.monotonic() + message["left_ms"] / 1000
        self.target = message.get("target", {})
        self.settings = self.target.get("settings", {})
        self.in_place = "in_place" in self.target.get("strategy", {})
        # What went wrong after something was changed, or may have been, is never "certainly nothing happened".
        self.effect = "none"

    def ask(self, method, path, token, body=None, changes=False):
        """The status of an answer."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise Failure(self.effect, "now", "late", f"no time was left to {method} {path}")
        request = urllib.request.Request(self.settings["url"].rstrip("/") + path, method=method)
        request.add_header("Authorization", f"Bearer {token}")
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            if changes:
                self.effect = "unknown"
            with OPENER.open(request, data, timeout=left) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except (OSError, ValueError) as error:
            what = f"no answer to {method} {path}: {type(error).__name__}"
            raise Failure(self.effect, "now", "no-answer", what) from None

    def change(self, method, slot, expect, body=None):
        user, name = (urllib.parse.quote(text, safe="") for text in (self.settings["user"], slot))
        before = self.effect
        status = self.ask(method, f"/v1/users/{user}/slots/{name}", self.target["admin"]["password"], body, True)
        if status in expect:
            return
        if status >= 500:
            raise Failure("unknown", "now", str(status), f"{method} of slot {slot} was answered with {status}")
        retry = "new_candidate" if status == 422 else "never"
        raise Failure(before, retry, str(status), f"{method} of slot {slot} was refused with {status}")

    def accepted(self, credential):
        status = self.ask("GET", "/v1/whoami", credential["password"])
        if status == 200:
            return True
        if status == 401:
            return False
        raise Failure(self.effect, "now", str(status), f"whoami was answered with {status}")

    def see(self, credential, accepted):
        if self.accepted(credential) != accepted:
            seen = "still accepted" if not accepted else "refused"
            raise Failure(self.effect, "now", "not-so", f"the value of slot {credential['username']} is {seen}")

    def fits(self, credential):
        """What no header can hold is never put: nobody could use it."""
        if not all("!" <= character <= "~" for character in credential["password"]):
            raise Failure("none", "new_candidate", "unfit", "a value has visible ASCII characters only")

    def other_than(self, ended, live):
        """What is live is never ended."""
        same = ended["password"] == live["password"] if self.in_place else ended["username"] == live["username"]
        if same:
            raise Failure("none", "never", "same-slot", f"slot {live['username']} is the live one")

    # The calls, by their names.

    def preflight(self):
        user = urllib.parse.quote(self.settings["user"], safe="")
        status = self.ask("GET", f"/v1/users/{user}/slots", self.target["admin"]["password"])
        if status == 200:
            return {"findings": [{"severity": "fine", "what": "the admin may list slots", "hint": ""}]}
        finding = {"severity": "error", "what": f"the admin may not list slots: {status}", "hint": "look at its token"}
        return {"findings": [finding]}

    def probe(self):
        if self.accepted(self.message["credential"]):
            return {"answer": "yes"}
        return {"answer": "no", "reason": "the service refuses it"}

    def apply(self):
        candidate, current = self.message["candidate"], self.message.get("current")
        if current and not self.in_place:
            self.other_than(candidate, current)
        self.fits(candidate)
        self.change("PUT", candidate["username"], [204], {"value": candidate["password"]})
        self.see(candidate, True)
        return {}

    def verify(self):
        self.see(self.message["candidate"], True)
        if any(check != "login" for check in self.message.get("checks", [])):
            raise Failure("none", "never", "unsupported", "this rotator runs no SQL")
        return {}

    def restore(self):
        candidate, current = self.message["candidate"], self.message.get("current")
        if current:
            self.other_than(candidate, current)
        if not self.in_place:
            self.change("DELETE", candidate["username"], [204, 404])
        elif current:
            self.change("PUT", current["username"], [204], {"value": current["password"]})
            self.see(current, True)
        else:
            # The slot may be older than the policy, so it stays, with a value that nobody knows.
            self.change("PUT", candidate["username"], [204], {"value": secrets.token_urlsafe(32)})
        self.see(candidate, False)
        return {}

    def revoke(self):
        previous, current = self.message["previous"], self.message["current"]
        self.other_than(previous, current)
        self.see(current, True)
        if not self.in_place:
            self.change("DELETE", previous["username"], [204, 404])
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
            continue
        print(json.dumps(reply), flush=True)


main()
