#!/usr/bin/env python3
"""The document of the management API on MANAGEMENT_URL: whether it is OpenAPI, and is true."""

import base64
import json
import os
import sys
import time
import traceback
import urllib.error
import urllib.parse
import urllib.request

from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

ANSWER_S = 20  # the longest that one answer takes
LOGIN = "Basic " + base64.b64encode(b"guest:guest").decode()


def get(url, login=None):
    """The status of an answer, the type of its body, and the body."""
    headers = {"Authorization": login} if login else {}
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.headers["Content-Type"], refused.read()


def document(url):
    status, kind, body = get(f"{url}/api/openapi.json")
    assert (status, kind) == (200, "application/json"), (status, kind)
    return json.loads(body)


def valid(url):
    """It is a document by the rules of OpenAPI 3.1, and needs no login."""
    written = document(url)
    assert written["openapi"].startswith("3.1."), written["openapi"]
    faults = [fault.message for fault in OpenAPIV31SpecValidator(written).iter_errors()]
    assert not faults, faults[:5]


def resolved(written, value):
    """What a reference stands for."""
    while "$ref" in value:
        found = written
        for part in value["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        value = found
    return value


def check(url, written, path, query=None):
    place = path + ("?" + urllib.parse.urlencode(query) if query else "")
    responses = written["paths"][path]["get"]["responses"]
    status, kind, body = get(f"{url}/api{place}", LOGIN)
    assert str(status) in responses, f"{place}: {status} {body[:200]}"
    told = resolved(written, responses[str(status)])["content"]
    assert kind in told, f"{place}: {kind}"
    # References in a schema are looked up in the schema itself.
    schema = {**told[kind]["schema"], "components": written["components"]}
    faults = [fault.message[:200] for fault in OAS31Validator(schema).iter_errors(json.loads(body))]
    assert not faults, f"{place}: {faults[:3]}"
    return status


def answers(url):
    """What is answered on a path without names is what it says, with and without pages."""
    written = document(url)
    paths = [path for path, item in written["paths"].items() if "get" in item and "{" not in path]
    assert len(paths) > 40, paths
    for path in paths:
        status = check(url, written, path)
        assert status == 200 or path.startswith("/health"), f"{path}: {status}"
        parameters = written["paths"][path]["get"]["parameters"]
        names = {resolved(written, parameter)["name"] for parameter in parameters}
        if "page" in names:
            check(url, written, path, {"page": 1, "page_size": 1})
            assert check(url, written, path, {"page": 0}) == 400, path


def play(url, flow):
    started, problem = time.monotonic(), None
    try:
        flow(url)
    except Exception as error:
        traceback.print_exc()
        problem = repr(error)
    took = round((time.monotonic() - started) * 1000)
    words = f"{'FAIL' if problem else 'ok'} {flow.__name__} {took} ms"
    print(f"{words}: {problem}" if problem else words, flush=True)
    return problem is None


def main():
    url, flows = os.environ.get("MANAGEMENT_URL"), [valid, answers]
    if not url:
        print(f"skip {', '.join(flow.__name__ for flow in flows)}: MANAGEMENT_URL is not set")
        return 0
    wanted = [flow for flow in flows if not sys.argv[1:] or flow.__name__ in sys.argv[1:]]
    return 0 if all([play(url, flow) for flow in wanted]) else 1


if __name__ == "__main__":
    sys.exit(main())
