"""Start one daemon so that no kill of the starter can orphan it: detach, leave the identity file, then become the program.

The lock of the home directory is inherited through all of this and let go by the last step. Whoever gets the lock
afterwards therefore finds the identity file of each process that runs.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from deploy.local.identity import write_identity
from deploy.local.unprivileged import become


def main(order_text: str) -> int:
    """Fork the daemon and wait until it has become the program; 0, or 1 with the reason on stderr."""
    order = json.loads(order_text)
    told, tell = os.pipe()  # closed by a successful exec: the descriptors that Python opens are not inherited
    if os.fork() == 0:
        os.close(told)
        _become_daemon(order, tell)
    os.close(tell)
    with os.fdopen(told) as reader:
        failure = reader.read()
    if failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


def _become_daemon(order: dict[str, object], tell: int) -> None:
    argv = [str(part) for part in order["argv"]]  # type: ignore[attr-defined]
    try:
        os.setsid()
        write_identity(Path(str(order["identity_file"])), os.getpid())
        log = os.open(str(order["log_file"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        quiet = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((quiet, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        lock = order["lock_fd"]
        if isinstance(lock, int):
            os.set_inheritable(lock, False)
        os.chdir(str(order["directory"]))
        user = order["user"]
        if isinstance(user, list):
            become(int(user[0]), int(user[1]))
        os.execv(argv[0], argv)
    except OSError as error:
        Path(str(order["identity_file"])).unlink(missing_ok=True)
        os.write(tell, f"{argv[0]} cannot be started: {error}".encode())
    os._exit(1)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
