"""Captures by tcpdump, and their packets taken apart, with no other library than Python's own."""
import ipaddress
import signal
import struct

import lab

LINK_ETHERNET, LINK_RAW, LINK_SLL2 = 1, 101, 276
ETHER_IP, ETHER_IP6 = 0x0800, 0x86DD


class Packet:
    """One captured packet; fields that it does not have are None."""

    def __init__(self, time, interface, ethertype, data):
        self.time, self.interface, self.ethertype, self.data = time, interface, ethertype, data
        self.source = self.destination = self.protocol = self.payload = None
        self.source_port = self.destination_port = None
        self.ttl = self.tos = self.is_fragment = None
        if ethertype == ETHER_IP and len(data) >= 20:
            self._take_ip()
        elif ethertype == ETHER_IP6 and len(data) >= 40:
            self.protocol, self.ttl = data[6], data[7]
            self.source, self.destination = (str(ipaddress.ip_address(data[i:i + 16])) for i in (8, 24))
            self._take_ports(data[40:40 + struct.unpack("!H", data[4:6])[0]])

    def _take_ip(self):
        data = self.data
        header = (data[0] & 15) * 4
        total, fragment = struct.unpack("!H2xH", data[2:8])
        self.tos, self.ttl, self.protocol = data[1], data[8], data[9]
        self.source, self.destination = (str(ipaddress.ip_address(data[i:i + 4])) for i in (12, 16))
        self.is_fragment = bool(fragment & 0x3FFF)
        self._take_ports(data[header:total], fragment & 0x1FFF)

    def _take_ports(self, transport, offset=0):
        self.payload = transport
        if self.protocol in (6, 17) and len(transport) >= 8 and not offset:
            self.source_port, self.destination_port = struct.unpack("!HH", transport[:4])
            header = 8 if self.protocol == 17 else (transport[12] >> 4) * 4 if len(transport) > 12 else 0
            self.payload = transport[header:]

    def __repr__(self):
        return (f"{self.interface or ''} {self.source}:{self.source_port} > {self.destination}:{self.destination_port} "
                f"protocol {self.protocol} {len(self.data)} bytes")


def read_pcap(path):
    """The packets of a capture file, also of one that is still being written."""
    with open(path, "rb") as f:
        raw = f.read()
    if len(raw) < 24:
        return []
    magic, link = struct.unpack("<I16xI", raw[:24])
    if magic not in (0xA1B2C3D4, 0xA1B23C4D):
        raise lab.LabError(f"{path}: no pcap file of this machine")
    scale = 1e-9 if magic == 0xA1B23C4D else 1e-6
    packets, at = [], 24
    while at + 16 <= len(raw):
        seconds, fraction, length, _ = struct.unpack("<IIII", raw[at:at + 16])
        data = raw[at + 16:at + 16 + length]
        at += 16 + length
        if len(data) < length:
            break
        packets.append(_packet(seconds + fraction * scale, link, data))
    return [p for p in packets if p]


def _packet(time, link, data):
    if link == LINK_ETHERNET and len(data) >= 14:
        return Packet(time, None, struct.unpack("!H", data[12:14])[0], data[14:])
    if link == LINK_SLL2 and len(data) >= 20:
        protocol, index = struct.unpack("!H2xI", data[:8])
        return Packet(time, index, protocol, data[20:])
    if link == LINK_RAW and data:
        return Packet(time, None, ETHER_IP if data[0] >> 4 == 4 else ETHER_IP6, data)
    return None


class Capture:
    """tcpdump on one interface of a node ("any" for all of them), from now until stop()."""

    def __init__(self, node, interface="any", expression=""):
        self.path = node.lab.dir / f"{node.name}-{interface}-{node.lab.next_number()}.pcap"
        # Whole packets, no names looked up, nothing held back; root because the directory is root's. Without holding back,
        # every packet takes a slot of the full length: the buffer (in KiB) must hold a few hundred, or some are missed.
        self.process = node.start("tcpdump", "-i", interface, "-n", "-U", "-s", "16384", "-B", "65536", "--immediate-mode", "-Z", "root",
                                  "-w", str(self.path), *expression.split())
        self.process.wait_log("listening on")

    def packets(self):
        return read_pcap(self.path)

    def wait_for(self, condition, timeout=10, what="a packet"):
        """The first packet for which the condition holds."""
        return lab.wait_until(lambda: next((p for p in self.packets() if condition(p)), None), timeout, what)

    def stop(self):
        """Ends the capture; everything seen until now is in the list that it returns."""
        self.process.stop(signal.SIGINT)
        if "\n0 packets dropped by kernel" not in self.process.log:
            raise lab.LabError(f"the capture missed packets:\n{self.process.log}")
        return self.packets()


def interface_index(node, interface):
    """The number by which a capture on "any" names an interface."""
    return int(node.run(["cat", f"/sys/class/net/{interface}/ifindex"]).stdout)
