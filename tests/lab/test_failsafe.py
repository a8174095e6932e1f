"""What happens when detecd ends, hangs or is disturbed: names go on, and nothing for a peer leaves unencrypted.

                              ┌── connector (zone), resolver
    a (detecd) ── west ── net ┴── east ── b (detecd)
      └── hostile: a second network, whose router wants the traffic for peers
"""
import ipaddress
import os
import signal
import socket
import struct
import threading
import time

import capture
import dns_server as dns
import lab as labs
import programs
import pytest
import topologies

ZONE, PLAIN, PLAIN_ADDRESS = topologies.ZONE, topologies.PLAIN_NAME, topologies.PLAIN_ADDRESS
POOL, ORCHID = ipaddress.ip_network("0.0.0.0/8"), ipaddress.ip_network("2001:20::/28")
GUARD_TABLE = "table inet detec-guard"


def make(lab, rp_filter=None):
    net = topologies.Calls(lab, nat_a="none", nat_b="none")
    if rp_filter is not None:
        net.node_a.sysctl(*[f"net.ipv4.conf.{i}.rp_filter={rp_filter}" for i in ("all", "default", "eth0", "lo")])
    return net


def tables(node):
    return sorted(line.split(" #")[0].strip() for line in node.run("nft list tables").stdout.splitlines())


def guard_rules(node):
    """The leak guard's routing rules, those of IPv6 last."""
    lines = [line for family in ("-4", "-6") for line in sorted(node.run(["ip", family, "rule"]).stdout.splitlines())]
    return [line.split(":\t")[1].strip() for line in lines if line.split(":")[0] in ("10", "11")]


ALL_RULES = ["from all to 0.0.0.0/8 lookup 32589", "from all to 0.0.0.0/8 unreachable",
             "from all to 2001:20::/28 lookup 32589", "from all to 64:ff9b::/104 lookup 32589",
             "from all to 2001:20::/28 unreachable", "from all to 64:ff9b::/104 unreachable"]


class KeptSockets:
    """An application that keeps one connected UDP socket a server for ever, as many do."""

    def __init__(self, net):
        self.sockets = []
        for server in net.resolver.addresses:
            sock = net.node_a.socket(bind=None, family=socket.AF_INET6 if ":" in server else socket.AF_INET, timeout=0.25)
            sock.connect((server, 53))
            self.sockets.append(sock)
        self.number = 0

    def ask(self, name):
        """What each socket is told; None: no answer in a quarter of a second."""
        told = []
        for sock in self.sockets:
            self.number += 1
            message = dns.query(name, number=self.number)
            try:
                sock.send(message)
                while (reply := sock.recv(4096))[:2] != message[:2]:
                    pass
                told.append(dns.addresses(reply))
            except OSError:
                told.append(None)
        return told


def ask_anew(net, name, timeout=0.25):
    """What new sockets are told: UDP and TCP, IPv4 and IPv6."""
    return [dns.addresses(dns.ask(net.node_a, server, dns.query(name), is_tcp, timeout))
            for server in net.resolver.addresses for is_tcp in (False, True)]


def peer_address(net):
    return dns.addresses(dns.ask(net.node_a, net.resolver.addresses[0], dns.query(net.b.name)))[0]


def assert_unreachable(node, address):
    """Programs are told at once."""
    with node.socket(socket.SOCK_STREAM, bind=None) as sock:
        started = time.monotonic()
        with pytest.raises(OSError) as failure:
            sock.connect((address, 80))
        assert not isinstance(failure.value, TimeoutError) and time.monotonic() - started < 3
    assert "unreachable" in node.route_to(address)


@pytest.mark.parametrize("rp_filter", [0, 1, 2])
def test_sigkill(lab, rp_filter):
    """Killed: the tables of names and policy vanish, names go on at once, peers are unreachable, the guard stays."""
    net = make(lab, rp_filter)
    net.start()
    kept = KeptSockets(net)
    address = peer_address(net)
    assert kept.ask(net.b.name) == [[address]] * 2
    assert net.node_a.run(["ping", "-c1", "-W5", address]).returncode == 0
    net.a.kill()
    assert tables(net.node_a) == [GUARD_TABLE] and guard_rules(net.node_a) == ALL_RULES
    assert ask_anew(net, PLAIN) == [[PLAIN_ADDRESS]] * 4
    labs.wait_until(lambda: kept.ask(PLAIN) == [[PLAIN_ADDRESS]] * 2, 3, "kept sockets reach their servers")
    assert ask_anew(net, net.b.name) == [["0.0.0.1"]] * 4 and kept.ask(net.b.name) == [["0.0.0.1"]] * 2
    assert_unreachable(net.node_a, address)
    labs.wait_until(lambda: not net.node_a.processes_inside(), 5, "nothing of the daemon is left")
    net.a.start()
    assert kept.ask(net.b.name) == [[address]] * 2 == ask_anew(net, net.b.name)[:2]
    assert net.node_a.run(["ping", "-c1", "-W5", address]).returncode == 0


@pytest.mark.parametrize("rp_filter", [0, 1, 2])
def test_sigstop(lab, rp_filter):
    """Stopped: names go on within some 3 s, without the daemon; when it goes on, the capture does."""
    net = make(lab, rp_filter)
    net.start()
    kept = KeptSockets(net)
    address = peer_address(net)
    assert kept.ask(net.b.name) == [[address]] * 2
    net.a.freeze()
    started = time.monotonic()
    labs.wait_until(lambda: ask_anew(net, PLAIN) == [[PLAIN_ADDRESS]] * 4, 5, "new sockets reach their servers")
    labs.wait_until(lambda: kept.ask(PLAIN) == [[PLAIN_ADDRESS]] * 2, 5, "kept sockets reach their servers")
    assert time.monotonic() - started < 8
    assert ask_anew(net, net.b.name) == [["0.0.0.1"]] * 4
    assert guard_rules(net.node_a) == ALL_RULES and GUARD_TABLE in tables(net.node_a)
    net.a.thaw()
    labs.wait_until(lambda: ask_anew(net, net.b.name) == [[address]] * 4, 5, "new sockets are captured again")
    labs.wait_until(lambda: kept.ask(net.b.name) == [[address]] * 2, 5, "kept sockets are captured again")
    labs.wait_until(lambda: net.node_a.run(["ping", "-c1", "-W1", address], check=False).returncode == 0, 10, "the peer answers")


def test_sigterm_and_cleanup(lab):
    """SIGTERM: logged out, all removed but the guard, exit 0; `--cleanup` removes that too, but not under a running daemon."""
    net = make(lab)
    net.start()
    kept = KeptSockets(net)
    address = peer_address(net)
    assert kept.ask(net.b.name) == [[address]] * 2
    refused = net.node_a.run([programs.DETECD, "-c", net.a.config_path, "--cleanup"], check=False)
    assert refused.returncode == 1 and "stop it first" in refused.stderr
    assert guard_rules(net.node_a) == ALL_RULES and len(tables(net.node_a)) == 3
    net.a.wait_peer(net.b.name)  # the look-ups called b; who is stopped half-way through a call cannot close what b has opened
    net.a.stop()  # asserts exit status 0
    assert tables(net.node_a) == [GUARD_TABLE] and guard_rules(net.node_a) == ALL_RULES
    assert "detec0" not in net.node_a.run("ip -o link").stdout
    assert ask_anew(net, net.b.name) == [["0.0.0.1"]] * 4 and kept.ask(net.b.name) == [["0.0.0.1"]] * 2
    assert not net.node_a.processes_inside() and not net.a.socket_path.exists()
    assert programs.dig(net.node_b, net.a.name, server=net.connector_node.address)[:2] == ("NXDOMAIN", [])
    net.b.wait_peer(net.a.name, "down")
    assert_unreachable(net.node_a, address)
    net.a.cleanup()
    assert tables(net.node_a) == [] and guard_rules(net.node_a) == []
    net.a.cleanup()  # nothing there: no error


def test_guard_at_boot(lab):
    """`detecd --guard`, as the boot unit runs it before there is a network."""
    net = make(lab)
    net.a.write_config()
    net.node_a.ip("link set dev eth0 down")
    for _ in range(2):
        net.node_a.run([programs.DETECD, "-c", net.a.config_path, "--guard"])
        assert tables(net.node_a) == [GUARD_TABLE] and guard_rules(net.node_a) == ALL_RULES
    net.node_a.ip("link set dev eth0 up", f"route add default via {net.net.west.gateway}")
    assert_unreachable(net.node_a, "0.0.0.86")
    net.start()
    address = peer_address(net)
    assert net.node_a.run(["ping", "-c1", "-W5", address]).returncode == 0
    assert net.a.status()["guard"]["is_intact"] and guard_rules(net.node_a) == ALL_RULES
    # Also while it runs: nothing of what is in use may break.
    net.node_a.run([programs.DETECD, "-c", net.a.config_path, "--guard"], check=False)
    assert net.node_a.run(["ping", "-c1", "-W5", address]).returncode == 0


def test_somebody_else_cleans_up(lab):
    """Rules deleted, tables flushed, foreign routes in the guard's table: all of it is put right again."""
    net = make(lab)
    net.start()
    node, address = net.node_a, peer_address(net)
    def is_whole():
        return guard_rules(node) == ALL_RULES and len(tables(node)) == 3
    for line in ("-4 rule del pref 10", "-4 rule del pref 11", "-6 rule del pref 10", "-6 rule del pref 11", "-4 rule flush"):
        node.run(f"ip {line}")
        labs.wait_until(is_whole, 5, f"the guard is whole after ip {line}")
    node.run("ip rule add pref 32766 lookup main", check=False)
    node.run("ip rule add pref 32767 lookup default", check=False)
    node.run(f"ip route add 0.0.0.86/32 via {net.net.west.gateway} dev eth0 table 32589")
    labs.wait_until(lambda: "0.0.0.86" not in node.run("ip route show table 32589").stdout, 5, "the foreign route is gone")
    node.run("ip route flush table 32589")
    labs.wait_until(lambda: "dev detec0" in node.route_to(address), 5, "the route to the tunnel is back")
    for line in ("link set detec0 down", "addr flush dev detec0"):
        node.ip(line)
        labs.wait_until(lambda: "dev detec0" in node.route_to(address) and "src 0.0.0.2" in node.route_to(address), 5, line)
    node.run("nft flush ruleset", check=False)
    node.run("nft delete table inet detec-guard", check=False)
    labs.wait_until(is_whole, 5, lambda: f"the tables are whole: {tables(node)}")
    assert dns.addresses(dns.ask(node, net.resolver.addresses[0], dns.query(net.b.name))) == [address]
    assert node.run(["ping", "-c1", "-W5", address]).returncode == 0
    assert net.a.status()["guard"]["restored"] >= 5


def test_the_interface_is_deleted(lab):
    """Deleted, it cannot be had back under way: the daemon says so and ends in order, for the service manager to restart."""
    net = make(lab)
    net.start()
    address = peer_address(net)
    net.node_a.ip("link del detec0")
    assert net.a.process.popen.wait(timeout=10) == 1
    assert "interface detec0 was deleted" in net.a.process.log
    assert tables(net.node_a) == [GUARD_TABLE] and guard_rules(net.node_a) == ALL_RULES
    assert_unreachable(net.node_a, address)
    net.a.start()
    assert peer_address(net) == address


def test_the_watchdog_dies(lab):
    """The small process beside the daemon: unprivileged but for the network, and not missed while the daemon is well."""
    net = make(lab)
    net.start(hosts=[net.a])
    others = [pid for pid in net.node_a.processes_inside() if pid != net.a.process.pid]
    assert len(others) == 1
    with open(f"/proc/{others[0]}/status") as f:
        fields = dict(line.rstrip("\n").split(":\t", 1) for line in f)
    assert fields["Name"] == "detec-watchdog" and int(fields["CapEff"], 16) == 1 << 12  # CAP_NET_ADMIN
    os.kill(others[0], signal.SIGKILL)
    net.a.process.wait_log("watchdog process is gone")
    assert ask_anew(net, PLAIN) == [[PLAIN_ADDRESS]] * 4
    assert net.a.process.log.count("watchdog") == 1 and net.a.status()["dns"]["is_active"]
    net.a.kill()
    assert ask_anew(net, PLAIN) == [[PLAIN_ADDRESS]] * 4


# ---- leaks ----

MARK = b"must never be seen unencrypted"
IP_UNICAST_IF = 50


class Applications:
    """Programs that never stop sending to peer addresses, each in its own way."""

    def __init__(self, node, interfaces, addresses, addresses6):
        self.node, self.senders, self.sockets = node, [], []
        for address in addresses:
            self._add(f"to {address}", socket.AF_INET, (address, 9))
            for interface in interfaces:
                number = capture.interface_index(node, interface)
                self._add(f"{address} bound to {interface}", socket.AF_INET, (address, 9),
                          (socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode()))
                self._add(f"{address} by {interface}", socket.AF_INET, (address, 9),
                          (socket.IPPROTO_IP, IP_UNICAST_IF, struct.pack("!I", number)))
        for address in addresses6:
            self._add(f"to {address}", socket.AF_INET6, (address, 9))
            for interface in interfaces:
                self._add(f"{address} bound to {interface}", socket.AF_INET6, (address, 9),
                          (socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode()))
        self.rounds = 0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _add(self, name, family, target, option=None):
        sock = self.node.socket(bind=None, family=family)
        sock.setblocking(False)
        if option:
            sock.setsockopt(*option)
        self.sockets.append(sock)
        self.senders.append((sock, target, MARK + b": " + name.encode()))

    def _run(self):
        while not self.stopping.wait(0.005):
            for sock, target, text in self.senders:
                try:
                    sock.sendto(text, target)
                except OSError:
                    pass
            connecting = self.node.socket(socket.SOCK_STREAM, bind=None)
            connecting.setblocking(False)
            connecting.connect_ex((self.senders[0][1][0], 80))
            connecting.close()
            self.rounds += 1

    def wait_rounds(self, count=5):
        target = self.rounds + count
        labs.wait_until(lambda: self.rounds >= target, 10, "the applications send")

    def stop(self):
        self.stopping.set()
        self.thread.join()
        for sock in self.sockets:
            sock.close()


def is_leak(packet, tunnels):
    """A packet for a peer, or a question who has a peer's address, on anything but the tunnel."""
    if packet.interface in tunnels:
        return False
    if MARK in packet.data and packet.protocol == 17:
        return True
    if packet.ethertype == 0x0806 and len(packet.data) >= 28:
        target = ipaddress.ip_address(packet.data[24:28])
        return target in POOL and int(target) != 0
    if packet.destination is None:
        return False
    target = ipaddress.ip_address(packet.destination)
    return target in ORCHID or target in POOL and int(target) != 0


def add_hostile_routes(node, gateway, gateway6, address):
    """What a DHCP server or another VPN would push, and a rule of another VPN's before all others."""
    for route in ("0.0.0.0/1", "0.0.0.0/8", "0.0.0.86/32", f"{address}/32"):
        node.run(f"ip route add {route} via {gateway} dev eth1")
    node.run(f"ip -6 route add 2001:20::/28 via {gateway6} dev eth1")
    node.run(f"ip -6 route add 2001:20::86/128 via {gateway6} dev eth1")


@pytest.mark.parametrize("rp_filter", [0, 1, 2])
def test_no_leak(lab, rp_filter):
    """From before the start until after the end, killed in between: nothing for a peer on any interface but the tunnel.

    First the same applications and routes without the guard: the capture does see what leaks.
    """
    net = make(lab, rp_filter)
    hostile = labs.Segment(net.net.node, "hostile", "192.0.2.0/24", "2001:db8:bad::/64")
    lab.join(net.node_a, hostile, interface="eth1")
    node, router = net.node_a, net.net.node
    net.start()
    address = peer_address(net)  # it stays the same: applications hold it while the daemon comes and goes
    net.a.stop()
    net.a.cleanup()
    add_hostile_routes(node, hostile.gateway, hostile.gateway6, address)
    started = (node, ("eth0", "eth1"), [address, "0.0.0.86"], ["2001:20::86"])

    proof = capture.Capture(node)
    applications = Applications(*started)
    for _, _, text in applications.senders:
        proof.wait_for(lambda p: text in p.data and is_leak(p, ()), what=f"the deliberate leak '{text}'")
    applications.stop()
    assert any(is_leak(p, ()) and p.protocol == 6 for p in proof.stop())

    node.run([programs.DETECD, "-c", net.a.config_path, "--guard"])
    seen, seen_far = capture.Capture(node), capture.Capture(router)
    applications = Applications(*started)
    applications.wait_rounds()
    tunnels = set()

    def run():
        net.a.start()
        tunnels.add(capture.interface_index(node, "detec0"))
        net.a.wait_peer(net.b.name)
        applications.wait_rounds()
    run()
    node.run("ip rule add pref 5 to 0.0.0.0/8 lookup main")  # another VPN's, before the guard's
    applications.wait_rounds()
    node.run("ip rule del pref 5")
    assert net.a.status()["guard"]["is_intact"]
    net.a.kill()
    applications.wait_rounds()
    run()
    net.a.freeze()
    applications.wait_rounds()
    net.a.thaw()
    net.a.stop()
    applications.wait_rounds()
    node.run("ip rule add pref 5 to 0.0.0.0/8 lookup main")
    applications.wait_rounds()
    applications.stop()
    inside = [p for p in seen.stop() if p.interface in tunnels and MARK in p.data]
    assert inside, "some of it went into the tunnel"
    assert [p for p in seen.packets() if is_leak(p, tunnels)] == []
    assert [p for p in seen_far.stop() if is_leak(p, ())] == []
    assert any(p.protocol == 17 and p.source_port == 32589 for p in seen_far.packets()), "and on, encrypted"
