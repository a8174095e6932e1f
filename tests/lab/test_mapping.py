"""Port mapping: a host behind a gateway that maps ports when asked is reached where punching alone would fail.

    a ── LAN 10.0.1.0/24 ── nata, miniupnpd ── south 198.51.101.0/24 ──┐
                                                                       net ── east 203.0.113.0/24 ── connector, resolver
    b ── LAN 10.0.2.0/24 ── natb ── east ──────────────────────────────┘

nata's own mappings are "symmetric" (another random port for each destination); natb is what the test says.
"""
import signal
import socket
import struct

import pytest

import capture
import gateway
import lab as labs
import programs
import topologies

PORT = 32589


class World(topologies.Calls):
    """a behind a gateway; its outside is a segment of its own."""

    def __init__(self, lab, nat_b=None, inner_lan=None, pcp=True, upnp=True, a=None):
        super().__init__(lab, "none", nat_b or {"kind": "symmetric"}, a=a)
        self.south = labs.Segment(self.net.node, "south", inner_lan or gateway.OUTSIDE)
        self.nat_a = lab.nat("nata", self.south, lan="10.0.1.0/24")
        self.gateway = gateway.Gateway(self.nat_a, pcp, upnp)
        self.node_a = lab.host("inner", self.nat_a.lan)
        self.node_a.use_resolver(self.resolver.addresses[0], options="timeout:3")
        self.a = programs.Host(self.node_a, self.connector, "a.detec.example.net", **(a or {}))

    def wait_mapped(self, protocol, timeout=10):
        def mapped():
            report = self.a.status()["port_mapping"]
            return report if report["state"] == "mapped" and report["protocol"] == protocol else None
        return labs.wait_until(mapped, timeout, lambda: f"{protocol}: {self.a.status()['port_mapping']}\n{self.a.process.log}")


@pytest.mark.parametrize("pcp, upnp, protocol", [(True, False, "PCP"), (False, True, "UPnP")])
def test_reached_from_behind_another_symmetric_nat(lab, pcp, upnp, protocol):
    """Both NATs choose a random port for each destination: without the mapping no hole would ever open."""
    world = World(lab, pcp=pcp, upnp=upnp).start()
    report = world.wait_mapped(protocol)
    external = f"{world.nat_a.address}:{PORT}"
    assert (report["external"], report["is_usable"], report["gateway"]) == (external, True, "10.0.1.1")
    assert report["expires_s"] > 3500
    assert any(f"dnat ip to {world.node_a.address}:{PORT}" in rule for rule in world.gateway.redirects())
    status = world.a.detec("status").stdout
    assert external in status and protocol in status

    world.node_b.run(["ping", "-c1", "-W10", world.a.name])
    assert world.b.wait_direct(world.a.name)["path"] == f"direct {external}"
    world.a.wait_peer(world.b.name)

    world.a.stop()
    assert world.gateway.redirects() == [], world.gateway.process.log


def test_calls_outwards_too(lab):
    """The called host's checks go to the mapped port of the caller, so it makes no difference who calls."""
    world = World(lab, upnp=False).start()
    world.wait_mapped("PCP")
    world.node_a.run(["ping", "-c1", "-W10", world.b.name])
    assert world.b.wait_direct(world.a.name)["endpoint"].split(":")[0] == world.nat_a.address
    world.a.stop()


def test_nat_pmp_alone(lab):
    """A gateway of before PCP: played here, as miniupnpd speaks both."""
    world = World(lab, pcp=False, upnp=False)
    box = world.nat_a.start("python3", "-c", NAT_PMP, world.nat_a.address, world.node_a.address)
    box.wait_log("ready")
    world.start([world.a])
    report = world.wait_mapped("NAT-PMP")
    assert report["external"] == f"{world.nat_a.address}:41000"
    world.a.stop()
    labs.wait_until(lambda: "deleted" in box.log, 5, lambda: box.log)
    assert box.log.split() == ["ready", "version", "address", "mapped", "deleted"]


NAT_PMP = """
import signal, socket, struct, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("10.0.1.1", 5351))
sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("10.0.1.1"))
def announce(*_):
    sock.sendto(struct.pack(">BBHI", 0, 0x80, 0, 0) + socket.inet_aton(sys.argv[1]), ("224.0.0.1", 5350))
signal.signal(signal.SIGUSR1, announce)
print("ready", flush=True)
while True:
    data, peer = sock.recvfrom(1100)
    assert peer[0] == sys.argv[2]
    if data[0] != 0:
        word, answer = "version", struct.pack(">BBHI", 0, 0x80 | data[1], 1, 100)
    elif data[1] == 0:
        word, answer = "address", struct.pack(">BBHI", 0, 0x80, 0, 100) + socket.inet_aton(sys.argv[1])
    else:
        inner, outer, life = struct.unpack(">4xHHI", data)
        assert inner == 32589
        word, answer = "mapped" if life else "deleted", struct.pack(">BBHIHHI", 0, 0x81, 0, 100, inner, 41000 if life else 0, life)
    print(word, flush=True)
    sock.sendto(answer, peer)
"""


def test_a_rebooted_gateway(lab):
    """It comes back with another address and no mappings, and says so: all is well again long before the half life."""
    world = World(lab, upnp=False).start()
    world.wait_mapped("PCP")
    world.gateway.reboot("198.51.101.77")
    labs.wait_until(lambda: world.wait_mapped("PCP")["external"] == f"198.51.101.77:{PORT}", 15,
                    lambda: f"{world.gateway.process.log}\n{world.a.process.log}")
    assert len(world.gateway.redirects()) == 1
    world.a.stop()


def test_a_gateway_that_has_forgotten(lab):
    """Its clock began anew: it was restarted. Strangers' announcements of the same count for nothing."""
    world = World(lab, pcp=False, upnp=False)
    box = world.nat_a.start("python3", "-c", NAT_PMP, world.nat_a.address, world.node_a.address)
    box.wait_log("ready")
    world.start([world.a])
    world.wait_mapped("NAT-PMP")
    stranger = lab.host("stranger", world.nat_a.lan)
    announcement = struct.pack(">BBHI", 0, 0x80, 0, 0) + socket.inet_aton(world.nat_a.address)
    with stranger.socket(bind=(stranger.address, 5351)) as sock:
        sock.sendto(announcement, ("224.0.0.1", 5350))
    stranger.run(["ping", "-c1", world.node_a.address])  # it has arrived before that
    with world.nat_a.socket(bind=("10.0.1.1", 0)) as sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("10.0.1.1"))
        sock.sendto(announcement, ("224.0.0.1", 5350))  # not from the port of the gateway's service
    assert box.log.count("mapped") == 1
    box.send_signal(signal.SIGUSR1)
    labs.wait_until(lambda: box.log.count("mapped") == 2, 10, lambda: f"{box.log}\n{world.a.process.log}")
    world.a.stop()


def test_a_crashed_host_takes_its_mapping_up_again(lab):
    """The nonce is the same after a crash: the gateway would refuse another owner until the lease ends."""
    world = World(lab, upnp=False).start()
    world.wait_mapped("PCP")
    world.a.kill()
    assert len(world.gateway.redirects()) == 1
    world.a.start()
    assert world.wait_mapped("PCP")["external"] == f"{world.nat_a.address}:{PORT}"
    assert len(world.gateway.redirects()) == 1
    world.a.stop()
    assert world.gateway.redirects() == []


def test_another_network(lab):
    """
    a ──┬── LAN 10.0.1.0/24 ── nata, miniupnpd ── south
        └── east, later
    A gateway that is no longer the default route's is not used any more; nor is one needed with a public address.
    """
    world = World(lab, upnp=False).start()
    world.wait_mapped("PCP")
    lab.join(world.node_a, world.net.east, interface="eth1", ipv6=False)
    world.node_a.ip(f"route replace default via {world.net.east.gateway} dev eth1")
    labs.wait_until(lambda: world.a.status()["port_mapping"]["state"] == "not needed", 5, lambda: world.a.process.log)
    world.node_a.ip("route replace default via 10.0.1.1 dev eth0")
    world.wait_mapped("PCP")
    world.a.stop()


def test_a_private_address_outside_is_no_candidate(lab):
    """
    a ── LAN ── nata: NAT-PMP ── 100.64.0.0/24 ── net
    The gateway is itself behind a NAT: its mapping is reported, but nobody is sent there.
    """
    world = World(lab, nat_b="none", inner_lan="100.64.0.0/24", pcp=False, upnp=False)
    box = world.nat_a.start("python3", "-c", NAT_PMP, world.nat_a.address, world.node_a.address)
    box.wait_log("ready")
    world.start()
    assert world.wait_mapped("NAT-PMP")["is_usable"] is False
    seen = capture.Capture(world.nat_a, "wan", "udp port 41000")
    world.node_b.run(["ping", "-c1", "-W10", world.a.name], check=False)
    assert "of no use" in world.a.process.log
    assert not seen.stop()
    world.a.stop()


def test_off_and_no_gateway(lab):
    """`port-mapping = off` asks nobody anything; a gateway that speaks nothing of it is no obstacle."""
    world = World(lab, pcp=False, upnp=False, a={"port_mapping": "off"})
    asked = capture.Capture(world.node_a, "eth0", "udp port 5351 or udp port 1900")
    world.start()
    assert world.a.status()["port_mapping"] == {"state": "off"}
    world.b.stop()
    report = labs.wait_until(lambda: world.a.login_state() == "logged-in" and world.a.status()["port_mapping"], 5)
    assert report == {"state": "off"}
    assert not asked.stop()
    world.a.stop()


def test_a_device_that_is_not_the_gateway(lab):
    """
    a ──┐
    liar┼── LAN ── nata
    Another device of the LAN answers the search for a gateway, and the gateway's own answer points to it: nobody but the
    gateway is talked to, so nothing is mapped and the liar gets no connection.
    """
    world = World(lab, pcp=False, upnp=False)
    liar = lab.host("liar", world.nat_a.lan)
    for node, url in ((liar, f"http://{liar.address}:80/"), (world.nat_a, f"http://{liar.address}:80/"),
                      (world.nat_a, "http://10.0.1.1:5000/")):
        local, port = (liar.address, "80") if node is liar else ("10.0.1.1", "5000")
        node.start("python3", "-c", SSDP, url, port, f"http://{liar.address}:80/control", local).wait_log("ready")
    connections = capture.Capture(liar, "eth0", f"tcp and dst host {liar.address}")
    world.start([world.a])
    report = labs.wait_until(lambda: (lambda r: r if r["state"] == "unavailable" else None)(world.a.status()["port_mapping"]),
                             15, lambda: world.a.process.log)
    assert report["error"] == "the gateway's UPnP has no public address"
    assert not connections.stop()
    world.a.stop()


SSDP = """
import http.server, socket, struct, sys, threading
url, port, control, local = sys.argv[1:]
PAGE = ('<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><device>'
        '<deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType><serviceList><service>'
        '<serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>'
        f'<controlURL>{control}</controlURL></service></serviceList></device></root>').encode()
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)
try:
    server = http.server.HTTPServer(("0.0.0.0", int(port)), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
except OSError:
    pass
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
sock.bind(("239.255.255.250", 1900))
sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("239.255.255.250") + socket.inet_aton(local))
print("ready", flush=True)
while True:
    data, peer = sock.recvfrom(2000)
    st = next(l.split(b":", 1)[1].strip() for l in data.split(b"\\r\\n") if l.upper().startswith(b"ST:"))
    sock.sendto(b"HTTP/1.1 200 OK\\r\\nST: " + st + b"\\r\\nUSN: uuid:1\\r\\nLOCATION: " + url.encode() + b"\\r\\n\\r\\n", peer)
"""
