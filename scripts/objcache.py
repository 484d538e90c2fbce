"""Compiles C++ once: OBJCACHE for Verilator's make, whose own sources are the same in every build.

    OBJCACHE="python scripts/objcache.py FOLDER" verilator --build ...

Objects are kept in FOLDER by the compiler's arguments and the preprocessed text.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path


def main() -> None:
    folder, command = Path(sys.argv[1]), sys.argv[2:]
    if "-c" not in command or "-o" not in command:
        raise SystemExit(subprocess.run(command).returncode)
    place = command.index("-o")
    output = Path(command[place + 1])
    same = [word for n, word in enumerate(command) if n not in (place, place + 1)]
    text = subprocess.run([*(w for w in same if w not in ("-c", "-MMD", "-MP")), "-E", "-P"], capture_output=True)
    if text.returncode:
        raise SystemExit(subprocess.run(command).returncode)  # which says what is wrong
    kept = folder / f"{hashlib.sha256(repr(same).encode() + text.stdout).hexdigest()[:32]}.o"
    if not kept.exists():
        code = subprocess.run(command).returncode
        if code:
            raise SystemExit(code)
        folder.mkdir(parents=True, exist_ok=True)
        fresh = kept.with_suffix(f".{os.getpid()}")  # another process may compile the same
        shutil.copyfile(output, fresh)
        fresh.replace(kept)
    else:
        shutil.copyfile(kept, output)


if __name__ == "__main__":
    main()
