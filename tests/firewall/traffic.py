"""Makes traffic in a network namespace, for the firewall's tests.

traffic.py flood SOURCE DESTINATION KIND COUNT [PORT]    raw packets, as fast as may be; KIND is ping, syn or rst
traffic.py pings SOURCE DESTINATION COUNT GAP_MS         the same pings, at a steady pace
traffic.py connect SOURCE DESTINATION PORT COUNT         connections, one after another, each read to its end
traffic.py serve PORT...                                 what they connect to; prints "ready"

Each client prints one line of JSON.
"""

import errno
import json
import socket
import socketserver
import struct
import sys
import threading
import time

ANSWER = b"x" * 200_000
FLAGS = {"syn": 0x02, "rst": 0x04}


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ping(family, number):
    kind = 128 if family == socket.AF_INET6 else 8
    head = struct.pack("!BBHHH", kind, 0, 0, 1, number & 0xFFFF)
    return head if family == socket.AF_INET6 else struct.pack("!BBHHH", kind, 0, checksum(head), 1, number & 0xFFFF)


def segment(kind, source, destination, port, number):
    def head(check):
        return struct.pack("!HHIIBBHHH", 20000 + number % 40000, port, number, 0, 5 << 4, FLAGS[kind], 1024, check, 0)

    if ":" in source:
        return head(0)
    pseudo = socket.inet_aton(source) + socket.inet_aton(destination) + struct.pack("!BBH", 0, 6, 20)
    return head(checksum(pseudo + head(0)))


def send(source, destination, kind, count, port=9, gap_ms=0):
    family = family_of(source)
    ipv6 = family == socket.AF_INET6
    icmp = socket.IPPROTO_ICMPV6 if ipv6 else socket.IPPROTO_ICMP
    raw = socket.socket(family, socket.SOCK_RAW, icmp if kind == "ping" else socket.IPPROTO_TCP)
    if ipv6 and kind != "ping":
        raw.setsockopt(socket.IPPROTO_IPV6, 7, 16)  # IPV6_CHECKSUM: the kernel fills it in at byte 16
    raw.bind((source, 0))
    packets = [
        ping(family, n) if kind == "ping" else segment(kind, source, destination, port, n) for n in range(count)
    ]
    begin = time.monotonic()
    for packet in packets:
        raw.sendto(packet, (destination, 0))
        if gap_ms:
            time.sleep(gap_ms / 1000)
    return {"sent": count, "elapsed_s": time.monotonic() - begin}


def connect(source, destination, port, count):
    outcomes = {"answered": 0, "refused": 0, "silent": 0}
    for _ in range(count):
        with socket.socket(family_of(source), socket.SOCK_STREAM) as client:
            client.settimeout(0.8)
            client.bind((source, 0))
            try:
                client.connect((destination, port))
                client.settimeout(10)
                size = 0
                while data := client.recv(65536):
                    size += len(data)
                outcomes["answered"] += size == len(ANSWER)
            except ConnectionRefusedError:
                outcomes["refused"] += 1
            except socket.timeout:
                outcomes["silent"] += 1
            except OSError as error:
                outcomes[errno.errorcode[error.errno]] = 1
    return outcomes


class Answer(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(ANSWER)


class Server(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6
    daemon_threads = True


def serve(ports):
    servers = [Server(("::", port), Answer) for port in ports]
    for server in servers:
        threading.Thread(target=server.serve_forever).start()
    print("ready", flush=True)


def main(command, *words):
    if command == "serve":
        serve([int(port) for port in words])
    elif command == "flood":
        source, destination, kind, *numbers = words
        print(json.dumps(send(source, destination, kind, *map(int, numbers))))
    elif command == "pings":
        source, destination, count, gap_ms = words
        print(json.dumps(send(source, destination, "ping", int(count), gap_ms=int(gap_ms))))
    elif command == "connect":
        source, destination, port, count = words
        print(json.dumps(connect(source, destination, int(port), int(count))))
    else:
        sys.exit(__doc__)


main(*sys.argv[1:])
