"""Verifies each DKIM signature of the message on standard input; the argument is the DNS, as JSON: {"a": "v=DKIM1; ..."}."""
import json
import sys

import dkim

records = json.loads(sys.argv[1])
message = sys.stdin.buffer.read()


def look_up(name, timeout=5):
    return records.get(name.decode().split(".")[0], "").encode()


count = sum(1 for name, _ in dkim.rfc822_parse(message)[0] if name.lower() == b"dkim-signature")
for index in range(count):
    verifier = dkim.DKIM(message)
    passed = verifier.verify(index, dnsfunc=look_up)
    print(verifier.signature_fields[b"s"].decode(), "pass" if passed else "fail")
