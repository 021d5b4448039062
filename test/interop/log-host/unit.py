"""Starts a program as systemd starts the service tpa-submit.service: in a control group of that name, with standard
output and standard error connected to the journal, and $JOURNAL_STREAM saying so.

    unit.py CGROUP PROGRAM [WORD...]
"""

import os
import socket
import sys

cgroup, program = sys.argv[1], sys.argv[2:]

with open(f"{cgroup}/cgroup.procs", "w", encoding="ascii") as members:
    members.write("0")

stream = socket.socket(socket.AF_UNIX)
stream.connect("/run/systemd/journal/stdout")
stream.shutdown(socket.SHUT_RD)
# SyslogIdentifier, unit, priority mail.info, level prefix, then as in systemd's own connect_logger_as().
stream.sendall(b"tpa-submit\ntpa-submit.service\n22\n1\n0\n0\n0\n")
for descriptor in (1, 2):
    os.dup2(stream.fileno(), descriptor, inheritable=True)
status = os.fstat(1)
os.environ["JOURNAL_STREAM"] = f"{status.st_dev}:{status.st_ino}"
os.execvp(program[0], program)
