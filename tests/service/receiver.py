#!/usr/bin/python3
"""A service manager's socket: prints each datagram as a line of JSON, with the process in whose name it was sent."""

import json
import socket
import struct
import sys

receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
receiver.bind(sys.argv[1])
print(json.dumps({"pid": 0, "said": ["bound"]}), flush=True)
while True:
    data, ancillary, _flags, _address = receiver.recvmsg(4096, socket.CMSG_SPACE(struct.calcsize("3i")))
    pids = [
        struct.unpack("3i", value[: struct.calcsize("3i")])[0]
        for level, kind, value in ancillary
        if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS
    ]
    print(json.dumps({"pid": pids[0], "said": data.decode().split("\n")}), flush=True)
