"""``python tclsh.py SCRIPT ARGUMENT ...``: Python's own Tcl, where no tclsh is installed."""

import os
import sys
import tkinter


def main() -> None:
    interpreter = tkinter.Tcl()

    def leave(code: str = "0") -> None:  # tkinter takes Tcl's own away
        interpreter.eval("flush stdout")
        os._exit(int(code))

    interpreter.createcommand("exit", leave)
    interpreter.tk.setvar("argv", tuple(sys.argv[2:]))
    try:
        interpreter.tk.call("source", sys.argv[1])
    except tkinter.TclError as error:
        sys.exit(str(error))


main()
