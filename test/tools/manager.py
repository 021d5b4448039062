"""What systemd does for a service, as far as a test wants it: opens sockets on free ports of 127.0.0.1 and hands them
over under the names given, listens on a notify socket and prints what it hears, hands SIGHUP and SIGTERM on.

    manager.py FOLDER NAME:NAME PROGRAM [WORD...]
"""

import fcntl
import os
import signal
import socket
import sys
import threading

folder, names, program = sys.argv[1], sys.argv[2], sys.argv[3:]

heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
heard.bind(f"{folder}/notify")

sockets = [socket.create_server(("127.0.0.1", 0)) for _ in names.split(":")]
print("ports", *(one.getsockname()[1] for one in sockets), flush=True)


def listen():
    while True:
        for line in heard.recv(4096).decode().splitlines():
            print("told", line, flush=True)


child = os.fork()
if child == 0:
    for index, high in enumerate([fcntl.fcntl(one.fileno(), fcntl.F_DUPFD, 100) for one in sockets]):
        os.dup2(high, 3 + index, inheritable=True)
    os.environ.update(
        LISTEN_PID=str(os.getpid()),
        LISTEN_FDS=str(len(sockets)),
        LISTEN_FDNAMES=names,
        NOTIFY_SOCKET=f"{folder}/notify",
        WATCHDOG_PID=str(os.getpid()),
        WATCHDOG_USEC="400000",
    )
    os.execvp(program[0], program)

for number in (signal.SIGHUP, signal.SIGTERM):
    signal.signal(number, lambda received, _: os.kill(child, received))
threading.Thread(target=listen, daemon=True).start()
_, status = os.waitpid(child, 0)
print("ended", os.waitstatus_to_exitcode(status), flush=True)
