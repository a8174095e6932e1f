"""A translator between IPv6 and IPv4 (RFC 7915) on a TUN device; with the kernel's NAT behind it, a NAT64 (RFC 6146).

    python3 nat64.py DEVICE PREFIX POOL

Packets to PREFIX (RFC 6052, of any of its lengths) come in as IPv6 and go out as IPv4 from an address of POOL that stands
for their source for ever; answers to that go back. UDP, TCP and echo are translated, and "packet too big"; nothing else.
"""
import fcntl
import ipaddress
import os
import struct
import sys

IFF_TUN, IFF_NO_PI, TUNSETIFF = 1, 0x1000, 0x400454CA
ICMP, TCP, UDP, ICMP6 = 1, 6, 17, 58
ECHO = {128: 8, 129: 0}
ECHO6 = {8: 128, 0: 129}


def checksum(data, start=0):
    if len(data) % 2:
        data += b"\0"
    total = start + sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def embed(prefix, ipv4):
    """RFC 6052, 2.2: byte 8 stays zero."""
    out, at = bytearray(prefix.network_address.packed), prefix.prefixlen // 8
    for byte in ipv4:
        at += prefix.prefixlen < 96 and at == 8
        out[at] = byte
        at += 1
    return bytes(out)


def extract(prefix, ipv6):
    out, at = bytearray(), prefix.prefixlen // 8
    while len(out) < 4:
        at += prefix.prefixlen < 96 and at == 8
        out.append(ipv6[at])
        at += 1
    return bytes(out)


class Translator:
    def __init__(self, prefix, pool):
        self.prefix, self.free = ipaddress.ip_network(prefix), ipaddress.ip_network(pool).hosts()
        self.inside, self.outside = {}, {}

    def stand_in(self, ipv6):
        if ipv6 not in self.inside:
            address = next(self.free).packed
            self.inside[ipv6], self.outside[address] = address, ipv6
        return self.inside[ipv6]

    @staticmethod
    def transport(protocol, data, pseudo):
        """The payload with a checksum for its new header."""
        at = {UDP: 6, TCP: 16, ICMP: 2, ICMP6: 2}[protocol]
        data = data[:at] + b"\0\0" + data[at + 2:]
        sum_ = checksum(pseudo + data) ^ 0xFFFF
        return data[:at] + struct.pack("!H", sum_ or (0xFFFF if protocol == UDP else 0)) + data[at + 2:]

    def to_ipv4(self, packet):
        protocol, hops, source, destination, data = packet[6], packet[7], packet[8:24], packet[24:40], packet[40:]
        if protocol not in (UDP, TCP, ICMP6) or hops < 2 or len(data) < 8:
            return None
        source, destination = self.stand_in(source), extract(self.prefix, destination)
        if protocol == ICMP6:
            if data[0] not in ECHO:
                return None
            protocol, data = ICMP, bytes([ECHO[data[0]]]) + data[1:]
        pseudo = b"" if protocol == ICMP else source + destination + struct.pack("!HH", protocol, len(data))
        tos = (packet[0] & 15) << 4 | packet[1] >> 4
        head = struct.pack("!BBHHHBBH4s4s", 0x45, tos, 20 + len(data), 0, 0x4000, hops - 1, protocol, 0, source, destination)
        head = head[:10] + struct.pack("!H", checksum(head) ^ 0xFFFF) + head[12:]
        return head + self.transport(protocol, data, pseudo)

    def to_ipv6(self, packet):
        length = (packet[0] & 15) * 4
        protocol, hops, source, destination = packet[9], packet[8], packet[12:16], packet[16:20]
        data = packet[length:struct.unpack("!H", packet[2:4])[0]]
        if destination not in self.outside or protocol not in (UDP, TCP, ICMP) or hops < 2 or len(data) < 8:
            return None
        source, destination = embed(self.prefix, source), self.outside[destination]
        if protocol == ICMP:
            protocol = ICMP6
            data = self.error_to_ipv6(data) if data[:2] == b"\3\4" else ECHO6.get(data[0]) is not None and \
                bytes([ECHO6[data[0]]]) + data[1:]
            if not data:
                return None
        pseudo = source + destination + struct.pack("!II", len(data), protocol)
        head = struct.pack("!IHBB16s16s", 6 << 28 | packet[1] << 20, len(data), protocol, hops - 1, source, destination)
        return head + self.transport(protocol, data, pseudo)

    def error_to_ipv6(self, data):
        """"Fragmentation needed" (RFC 7915, 4.2) about a packet that was sent through here."""
        mtu, inner = struct.unpack("!H", data[6:8])[0], data[8:]
        if len(inner) < 28 or inner[12:16] not in self.outside:
            return None
        source, destination = self.outside[inner[12:16]], embed(self.prefix, inner[16:20])
        head = struct.pack("!IHBB16s16s", 6 << 28, struct.unpack("!H", inner[2:4])[0] - 20, inner[9], inner[8], source, destination)
        return struct.pack("!BBHI", 2, 0, 0, max(mtu, 576) + 20) + head + inner[20:]

    def translate(self, packet):
        if packet[0] >> 4 == 6 and len(packet) >= 48:
            return self.to_ipv4(packet)
        return self.to_ipv6(packet) if packet[0] >> 4 == 4 and len(packet) >= 28 else None


def main(device, prefix, pool):
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH", device.encode(), IFF_TUN | IFF_NO_PI))
    translator = Translator(prefix, pool)
    print("ready", flush=True)
    while True:
        packet = translator.translate(os.read(tun, 65536))
        if packet:
            os.write(tun, packet)


if __name__ == "__main__":
    main(*sys.argv[1:])
