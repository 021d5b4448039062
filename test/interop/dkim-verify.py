"""
Verifies each DKIM signature of a message; the first argument is the DNS, as JSON: {"a": "v=DKIM1; ..."}. Of the message
on standard input it prints a line for each signature, of each file that is named one line: FILE, tab, signatures.
"""
import json
import sys

import dkim

records = json.loads(sys.argv[1])


def look_up(name, timeout=5):
    return records.get(name.decode().split(".")[0], "").encode()


def findings(message):
    count = sum(1 for name, _ in dkim.rfc822_parse(message)[0] if name.lower() == b"dkim-signature")
    for index in range(count):
        verifier = dkim.DKIM(message)
        try:
            passed = verifier.verify(index, dnsfunc=look_up)
        except dkim.DKIMException as error:
            yield "? " + repr(error)
            continue
        yield verifier.signature_fields[b"s"].decode() + (" pass" if passed else " fail")


for name in sys.argv[2:]:
    with open(name, "rb") as file:
        print("\t".join([name, *findings(file.read())]))
if len(sys.argv) == 2:
    for line in findings(sys.stdin.buffer.read()):
        print(line)
