#!/usr/bin/env python3
"""The commands of exam.yaml: what the exam does at the example service, and asks it, without the plugin."""

import http.client
import json
import sys

PORT = 8099
ADMIN = "admin-token-of-the-example"
KEYS = "/v1/users/ann/keys"


def ask(method, path, token, body=None):
    """The status of an answer, and what stands in it."""
    line = http.client.HTTPConnection("127.0.0.1", PORT, timeout=20)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    line.request(method, path, body and json.dumps(body), headers)
    answer = line.getresponse()
    return answer.status, json.loads(answer.read() or b"null")


def expect(status, wanted):
    if status != wanted:
        raise OSError(f"the service answered with {status}")


def keys():
    """All keys that the account has, disabled ones too. It never has so many that they need two pages."""
    status, page = ask("GET", KEYS, ADMIN)
    expect(status, 200)
    return [key["id"] for key in page["keys"]]


def stage():
    """The account has one key, which no rotation made."""
    for key in keys():
        status, _ = ask("DELETE", f"{KEYS}/{key}", ADMIN)
        expect(status, 204)
    status, made = ask("POST", KEYS, ADMIN, {"name": "by hand"})
    expect(status, 201)
    return {"key_id": made["id"], "key": made["key"]}


def login(key):
    """Whether the service lets a key in."""
    status, _ = ask("GET", "/v1/whoami", key["key"])
    if status != 401:
        expect(status, 200)
    return status == 200


asked, given = sys.argv[1], json.loads(sys.stdin.readline())
try:
    if asked == "stage":
        print(json.dumps(stage()))
    elif asked == "keys":
        print(json.dumps(keys()))
    elif not login(given):
        sys.exit(1)
except (OSError, ValueError, http.client.HTTPException) as error:
    # Neither a yes nor a no. Python's own way of ending would be 1, which says no.
    print(f"no answer: {error}", file=sys.stderr)
    sys.exit(3)
