#!/usr/bin/env python3
"""A rotator of keys that the example service makes, in Python without any dependency.

Its values are made by the target, so an answer that is lost may leave a key that nobody holds. That is why each key is made under
the name of its rotation, and `sweep` deletes what has such a name and is not kept. The messages are described in
rotators/sdk/src/message/mod.rs.
"""

import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

DESCRIPTOR = {
    "kind": "keys",
    "version": "1.0.0",
    "shapes": ["overlapping"],
    "origin": "provider",
    "capabilities": {"disable": True},
    "derived_fields": ["key_id", "key"],
    "settings": [
        {"name": "url", "kind": "text", "required": True, "names_target": True, "help": "where the service is"},
        {"name": "user", "kind": "text", "required": True, "names_target": True, "help": "whose keys are rotated"},
    ],
}


class Failure(Exception):
    """What goes wrong, in the two words that the engine decides by: did it happen, and what next?

    The message names no field of a key: all but `username` are taken for secrets, also the id.
    """

    def __init__(self, effect, retry, code, message):
        super().__init__(message)
        self.told = {"effect": effect, "retry": retry, "code": code, "message": message}


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirect)


def tag(rotation):
    """The name of all keys that a rotation makes."""
    return f"keywheel:{rotation}"


class Call:
    def __init__(self, message):
        self.message = message
        self.until = time.monotonic() + message["left_ms"] / 1000
        self.settings = message["target"]["settings"]
        self.admin = (message["target"].get("admin") or {}).get("password", "")
        # What went wrong after something was changed, or may have been, is never "certainly nothing happened".
        self.effect = "none"

    # The talk with the service.

    def ask(self, method, path, token, body=None, changes=False):
        """The status of an answer, and what stands in it."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise Failure(self.effect, "now", "late", f"no time was left for a {method}")
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
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, None
        except (OSError, ValueError) as error:
            what = f"no answer to a {method}: {type(error).__name__}"
            raise Failure(self.effect, "now", "no-answer", what) from None

    def path(self, *parts):
        return "/".join(["/v1/users", urllib.parse.quote(self.settings["user"], safe=""), "keys", *parts])

    def change(self, method, path, expect, body=None):
        """What stands in the answer to a change. What was refused has changed nothing."""
        before = self.effect
        status, answer = self.ask(method, path, self.admin, body, changes=True)
        if status in expect:
            return answer
        if status >= 500:
            raise Failure("unknown", "now", str(status), f"a {method} was answered with {status}")
        raise Failure(before, "never", str(status), f"a {method} was refused with {status}")

    def listed(self):
        """All keys of the user, page by page: the ids and the names."""
        found, query = [], ""
        while True:
            status, page = self.ask("GET", self.path() + query, self.admin)
            if status != 200 or not isinstance(page, dict):
                retry = "now" if status >= 500 else "never"
                raise Failure(self.effect, retry, str(status), f"the list of keys was answered with {status}")
            found += [(key["id"], key["name"]) for key in page["keys"]]
            if page["next_cursor"] is None:
                return found
            query = "?cursor=" + urllib.parse.quote(page["next_cursor"], safe="")

    def accepted(self, key):
        status, _ = self.ask("GET", "/v1/whoami", key["key"])
        if status == 200:
            return True
        if status == 401:
            return False
        raise Failure(self.effect, "now", str(status), f"whoami was answered with {status}")

    def see(self, key, accepted):
        if self.accepted(key) != accepted:
            seen = "still accepted" if not accepted else "refused"
            raise Failure(self.effect, "now", "not-so", f"the key is {seen}")

    def other_than(self, ended, live):
        """What is live is never ended."""
        if ended["key_id"] == live["key_id"]:
            raise Failure("none", "never", "live", "this key is the live one")

    def delete(self, key_id):
        self.change("DELETE", self.path(urllib.parse.quote(key_id, safe="")), [204, 404])

    # The calls, by their names.

    def preflight(self):
        status, _ = self.ask("GET", self.path(), self.admin)
        if status == 200:
            return {"findings": [{"severity": "fine", "what": "the admin may list keys", "hint": ""}]}
        finding = {"severity": "error", "what": f"the admin may not list keys: {status}", "hint": "look at its token"}
        return {"findings": [finding]}

    def probe(self):
        if self.accepted(self.message["credential"]):
            return {"answer": "yes"}
        return {"answer": "no", "reason": "the service refuses it"}

    def generate(self):
        made = self.change("POST", self.path(), [201], {"name": tag(self.message["rotation"])})
        if not isinstance(made, dict) or not made.get("id") or not made.get("key"):
            raise Failure("unknown", "now", "no-answer", "a key was made, and the answer does not say which")
        return {"made": {"key_id": made["id"], "key": made["key"]}}

    def sweep(self):
        tags = {tag(rotation) for rotation in [self.message["rotation"], *self.message.get("earlier", [])]}
        keep = {key["key_id"] for key in self.message.get("keep", [])}

        def left():
            return [key_id for key_id, name in self.listed() if name in tags and key_id not in keep]

        for key_id in left():
            self.delete(key_id)
        if self.effect != "none" and left():
            raise Failure(self.effect, "now", "not-so", "a key that was deleted is still listed")
        return {}

    def apply(self):
        # It stands beside the live one since it was made.
        self.see(self.message["candidate"], True)
        return {}

    def verify(self):
        if any(check != "login" for check in self.message.get("checks", [])):
            raise Failure("none", "never", "unsupported", "it has no check but the login: leave others out of the policy")
        self.see(self.message["candidate"], True)
        return {}

    def restore(self):
        candidate, current = self.message["candidate"], self.message.get("current")
        if current:
            self.other_than(candidate, current)
        self.delete(candidate["key_id"])
        self.see(candidate, False)
        return {}

    def disable(self):
        previous, current = self.message["previous"], self.message["current"]
        self.other_than(previous, current)
        self.see(current, True)
        self.change("POST", self.path(urllib.parse.quote(previous["key_id"], safe=""), "disable"), [200, 404])
        self.see(previous, False)
        return {}

    def revoke(self):
        previous, current = self.message["previous"], self.message["current"]
        self.other_than(previous, current)
        self.see(current, True)
        self.delete(previous["key_id"])
        self.see(previous, False)
        return {}


CALLS = ["preflight", "probe", "generate", "sweep", "apply", "verify", "restore", "disable", "revoke"]


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
