#!/usr/bin/env python3
"""What stands for ssh: runs the remote command in a folder that plays the board, or fails as ssh does.

$FAKE_SSH names that folder, which is the board's ``/`` for absolute paths in the first line of what is sent.  Its file
``how`` says what goes wrong, and ``calls`` is given the words of every call.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

FAILURES = {
    "denied": (255, "xilinx@pynq: Permission denied (publickey,password)."),
    "host key": (255, "Host key verification failed."),
    "changed key": (255, "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nHost key verification failed."),
    "no such host": (255, "ssh: Could not resolve hostname pynq: Name or service not known"),
    "time out": (255, "ssh: connect to host pynq port 22: Connection timed out"),
    "refused": (255, "ssh: connect to host pynq port 22: Connection refused"),
    "no route": (255, "ssh: connect to host pynq port 22: No route to host"),
    "no python": (127, "sh: 1: exec: python3: not found"),
    "odd": (255, "kex_exchange_identification: \x1b[31mread: reset by peer"),
}

HOME = "home/xilinx"
board = Path(os.environ["FAKE_SSH"])
how = (board / "how").read_text() if (board / "how").exists() else ""
words = sys.argv[1:]
if words == ["-V"]:
    print("OpenSSH_9.9p1 of this test", file=sys.stderr)
    sys.exit(0)
with (board / "calls").open("a") as calls:
    calls.write(json.dumps(words) + "\n")
if how in FAILURES:
    code, text = FAILURES[how]
    print(text, file=sys.stderr)
    sys.exit(code)

host, command = words[words.index("--") + 1 :]
if how == "talkative":
    print("Welcome to PYNQ Linux\nsqueeze-hls is great\n" * 20, flush=True)
if how.startswith("{"):  # a board that answers so, whatever it is sent
    print("squeeze-hls receives 1", '{"wanted": []}', how, sep="\n", flush=True)
    sys.exit(0)
remote = subprocess.Popen(
    ["sh", "-c", command],
    cwd=board / HOME,
    env={**os.environ, "HOME": str(board / HOME)},
    stdin=subprocess.PIPE,
    start_new_session=True,  # a board is another machine: no Ctrl-C here reaches it
)


def pump() -> None:
    """From our input to the remote command's."""
    sent, spoilt = 0, False
    offer = json.loads(sys.stdin.buffer.readline() or "{}")
    if offer.get("to", "").startswith("/"):
        offer["to"] = f"{board}{offer['to']}"
    remote.stdin.write(json.dumps(offer).encode() + b"\n")
    remote.stdin.flush()
    while data := sys.stdin.buffer.read1(10_000):
        sent += len(data)
        if how == "damaged" and sent > 100_000 and not spoilt:
            data, spoilt = bytes([data[0] ^ 1]) + data[1:], True
        if how == "slow" and sent > 100_000:
            time.sleep(60)
        if how == "cut" and sent > 100_000:
            break
        try:
            remote.stdin.write(data)
            remote.stdin.flush()
        except BrokenPipeError:
            return
    with contextlib.suppress(BrokenPipeError):
        remote.stdin.close()


threading.Thread(target=pump, daemon=True).start()
code = remote.wait()
if how == "cut":
    print("client_loop: send disconnect: Broken pipe", file=sys.stderr)
    code = 255
sys.stderr.flush()
os._exit(code)  # as ssh, which does not wait for more input when the remote command has ended
