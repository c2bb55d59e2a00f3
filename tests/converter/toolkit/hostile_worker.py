"""A worker that answers a request as good workers do, and leaves what ``custom_string`` orders."""

import json
import os
import socket
import stat
import struct
import sys

LARGE = 10_000_000_000
HEADER = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
SIMULATED = b"\x93NUMPY\x01\x00\x76\x00" + HEADER.ljust(117) + b"\n" + struct.pack("<6f", *[1.0] * 6)


def leave(kind: str, place: str, output: str, target: str) -> None:
    """Leave something of a kind under the name of a result."""
    if kind == "link":
        os.symlink(target, place)
    elif kind == "FIFO":
        os.mkfifo(place)
    elif kind == "large file":
        with open(place, "wb") as file:
            file.truncate(LARGE)
    elif kind == "device":
        os.mknod(place, 0o666 | stat.S_IFCHR, os.makedev(1, 5))  # endless zeros
    elif kind == "socket":
        os.chdir(output)  # a socket's path has few characters
        socket.socket(socket.AF_UNIX).bind(os.path.basename(place))
    elif kind == "folder":
        os.mkdir(place)
    elif kind == "nested folders":
        os.mkdir(place)
        os.chdir(place)
        for _ in range(1200):
            os.mkdir("x")
            os.chdir("x")
        os.chdir("/")
    elif kind == "link to a folder":
        os.rename(output, output + "-before")
        os.symlink(target, output)


def main() -> None:
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        output = request["output"]
        order = json.loads(request["config"]["custom_string"])
        answer = {"id": request["id"], "ok": True, "stage": "done", "kind": "", "reason": "", "seconds": 0.5}
        results = {"log.txt": b"I fine\n", "model.rknn": b"RKNN", "simulated.npy": SIMULATED}
        for name, content in results.items():
            if name != order.get("name"):
                with open(os.path.join(output, name), "wb") as file:
                    file.write(content)
        if "kind" in order:
            leave(order["kind"], os.path.join(output, order.get("name", "")), output, order.get("target", ""))
        if "content" in order:
            with open(os.path.join(output, order["name"]), "wb") as file:
                file.write(bytes.fromhex(order["content"]))
        if "line" in order:
            print(order["line"] * order.get("times", 1), flush=True)
        else:
            print(json.dumps({**answer, **order.get("answer", {})}), flush=True)


main()
