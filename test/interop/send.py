"""Sends the message in a file with smtplib: send.py MODE PORT CERTIFICATE PASSWORD-FILE MESSAGE [SENDER]."""

import smtplib
import ssl
import sys

mode, port, certificate, password_file, message_file, *sender = sys.argv[1:]
context = ssl.create_default_context(cafile=certificate)
with open(password_file) as file:
    password = file.read().strip()
with open(message_file, "rb") as file:
    message = file.read()

if mode == "text":  # a str, whose line ends smtplib makes CRLF
    message = message.decode("ascii")

if mode == "ssl":
    client = smtplib.SMTP_SSL("localhost", int(port), context=context)
else:
    client = smtplib.SMTP("localhost", int(port))
    client.starttls(context=context)
client.login("user1", password)
options = ["SMTPUTF8", "BODY=8BITMIME"] if mode == "smtputf8" else []
reverse_path = sender[0] if sender else "user1@example.org"
refused = client.sendmail(reverse_path, ["x@example.net"], message, mail_options=options)
client.quit()
sys.exit(1 if refused else 0)
