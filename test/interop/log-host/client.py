"""What clients do to the relay on port 587: one line of output for each connection.

    client.py guess HOST SOURCE TIMES               wrong passwords, side by side
    client.py reach HOST SOURCE                     the greeting, or why there is none
    client.py send HOST SOURCE TIMES LOGIN FILE     messages, in four sessions side by side; the password is in FILE
"""

import base64
import smtplib
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor

act, host, source, *rest = sys.argv[1:]
context = ssl._create_unverified_context()  # the certificate is for localhost


def connected(seconds):
    return smtplib.SMTP(host, 587, timeout=seconds, source_address=(source, 0), local_hostname="client.example.org")


def guess(number):
    try:
        client = connected(30)
        client.starttls(context=context)
        client.ehlo()
        word = base64.b64encode(f"\0guess{number}\0wrong".encode()).decode()
        code = client.docmd("AUTH", f"PLAIN {word}")[0]
        client.close()  # no QUIT: nobody may answer any more
        return str(code)
    except OSError as error:
        return type(error).__name__


def reach(_):
    try:
        with connected(2) as client:
            return str(client.noop()[0])
    except OSError as error:
        return type(error).__name__


def send(numbers):
    login, file = rest[1:]
    with open(file, encoding="utf-8") as secret, connected(30) as client:
        client.starttls(context=context)
        client.login(login, secret.read().strip())
        for number in numbers:
            text = f"From: user1@example.org\r\nTo: x@example.net\r\nSubject: {number}\r\n\r\nHello\r\n"
            client.sendmail("user1@example.org", ["x@example.net"], text)
    return f"sent {len(numbers)}"


times = int(rest[0]) if rest else 1
work = {"guess": guess, "reach": reach, "send": send}[act]
parts = [range(first, times, 4) for first in range(4)] if act == "send" else range(times)
with ThreadPoolExecutor(8) as pool:
    print(*pool.map(work, parts), sep="\n")
