"""The networks of the matrix (matrix.py), one fresh one for each run, and what is measured in it.

    a ── line ── site of a ── west 198.51.100.0/24 ── net ── east 203.0.113.0/24 ── site of b ── line ── b
                                                         │
                                               connector, resolver

Every run is a first contact: nothing of an earlier one is left in any NAT, file or daemon. The delay is the one-way delay
between the two hosts; half of it is on each host's line and as much on the connector's, so it is as far away as they are
from each other.
"""
import dataclasses
import ipaddress
import json
import os
import socket
import subprocess
import sys
import threading
import time

import lab as labs
import matrix
import programs
import topologies
import topologies_ipv6

ZONE = topologies.ZONE
PORT = 32589
SECOND = "203.0.113.99"  # of the connector: whether ports go by address cannot be told from one alone
SETTLE = 3.0  # s after the first reply that a relayed pair is watched, so that a late direct path is seen
MOVE_WITHIN = 12.0  # s until a pair that theory gives a direct path has to have it

QUIET = 65  # s

# What an application does: looks the name up, sends a datagram to what it gets until an answer comes.
CLIENT = """
import socket, sys, time
address = socket.getaddrinfo(sys.argv[1], 7, socket.AF_INET, socket.SOCK_DGRAM)[0][4]
named = time.monotonic()
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(1)
for i in range(int(sys.argv[2])):
    try:
        s.sendto(b"first", address)
        s.recv(100)
        print(time.monotonic() - named)
        break
    except OSError as error:
        print(error, file=sys.stderr)
        time.sleep(0.05)
"""
SERVER = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 7))
print("ready", flush=True)
while True:
    data, peer = s.recvfrom(100)
    s.sendto(data, peer)
"""

# What gets out of a network, if not everything.
ALLOWED = {"tcp": ("udp dport 53", "meta l4proto tcp"), "443": ("udp dport 53", "tcp dport 443"), "tls": ("udp dport 53", "tcp dport 443"),
           "proxy": ("udp dport 53", "tcp dport 3128")}


def new_seed():
    """Another one for each NAT and run: two with the same would give out the same "random" ports."""
    return int.from_bytes(os.urandom(4), "big") or 1


class Pair(topologies.Calls):
    """Two hosts, each behind a kind."""

    def __init__(self, lab, x, y, delay=0):
        self.proxy_node = self.dns64 = None
        self.routers = {}
        self.kinds = {"nata": x, "a": x, "natb": y, "b": y}
        line = {"delay": delay / 2} if delay else None
        names = [f"--host-record=ipv4only.arpa,192.0.0.{last}" for last in (170, 171)]  # RFC 7050
        super().__init__(lab, x, y, quality=line, a=x.settings, b=y.settings, resolver={"options": names})
        self.connector.sections["connector"].update(address=[self.connector_node.address, self.connector_node.address6],
                                                    listen="[::]:4500", dns="[::]:53", stun_alternate_address=SECOND)
        self.connector_node.ip(f"addr add {SECOND}/24 dev eth0")
        for name, host in (("a", self.a), ("b", self.b)):
            self._set_proxy(name, host)

    def _set_proxy(self, name, host):
        if self.kinds[name].site.get("allowed") == "proxy":
            host.sections["host"]["proxy"] = f"http://{self.proxy_node.address}:3128"

    @staticmethod
    def _number(name):
        """Of a router's network, so that no two have the same: nata, natb, natc … (and nataout, the one before that)."""
        return ord(name[3]) - ord("a")

    def make_nat(self, name, outside, lan, kind, quality):
        if not isinstance(kind, matrix.Kind):  # an outer NAT's options
            return super().make_nat(name, outside, lan, kind, quality)
        site = kind.site
        if "nat64" in site:
            router = topologies_ipv6.Router(self.lab, self.net, name, outside, 0xa + self._number(name), ipv4=False, firewall=True,
                                            nat64=site["nat64"])
            self.routers[name] = router
            router.node.lan = router.lan
            return router.node
        if "firewall" in site:
            return self._make_firewall(name, outside, quality)
        if "carrier" in site:
            outside, quality = self._make_carrier(f"{name}out", outside, site["carrier"], quality), None
            return self.lab.nat(name, outside, lan=lan)
        options = site["nat"]
        if isinstance(options, dict) and "emulated" in options:
            nat = self.lab.emulated_nat(name, outside, lan=lan, quality=quality, lan_quality=quality, seed=new_seed(),
                                        **options["emulated"])
        else:
            nat = super().make_nat(name, outside, lan, options, quality)
        if site.get("taken"):
            self._take_port(name, nat)
        if "allowed" in site:
            self._allow(nat, site["allowed"])
        if "ipv6" in site:
            self._add_ipv6(name, nat, outside, site["ipv6"])
        return nat

    def _allow(self, nat, what):
        rules = "; ".join(f'iifname "lan" {rule} accept' for rule in ALLOWED[what])
        nat.nft(f"""table ip allowed {{ chain forward {{ type filter hook forward priority -10; iifname "wan" accept; {rules}; drop
        }}; }}""")
        if what == "tls":  # "IKETCP" are the first bytes of a plain stream on its way to the connector
            nat.run("iptables -I FORWARD -i lan -p tcp --dport 443 -m string --algo bm --string IKETCP -j DROP")
        if what == "proxy" and not self.proxy_node:
            self.proxy_node = self.lab.host("proxy", self.net.west, ipv6=False)
            self.proxy_node.use_resolver(self.resolver.addresses[0], options="timeout:3")
            config = self.lab.dir / "tinyproxy.conf"
            config.write_text(f"User root\nGroup root\nPort 3128\nListen {self.proxy_node.address}\nTimeout 600\nMaxClients 50\n"
                              "LogLevel Connect\nConnectPort 443\n")
            self.proxy_node.start("tinyproxy", "-d", "-c", config)
            labs.wait_until(lambda: programs.is_listening(self.proxy_node, 3128), 10, "the proxy listens")

    def _add_ipv6(self, name, nat, outside, what):
        """Gives the router's LAN IPv6 addresses of its own, reached through the router as it pleases."""
        net6 = ipaddress.ip_network(f"2001:db8:{0xa + self._number(name):x}::/64")
        own = outside.network6[int(ipaddress.ip_address(nat.address)) & 0xff]
        nat.sysctl("net.ipv6.conf.all.forwarding=1")
        labs.command("ip", "-6", "-n", nat.namespace, "-batch", "-", text=f"addr add {own}/64 dev wan nodad\naddr add {net6[1]}/64 dev lan nodad\n"
                     f"route add default via {outside.gateway6}\n")
        labs.command("ip", "-6", "-n", outside.node.namespace, "route", "add", str(net6), "via", str(own))
        nat.lan.network6, nat.lan.gateway6 = net6, net6[1]
        rule = "drop" if what == "broken" else 'iifname "wan" ct state != { established, related } meta l4proto != icmpv6 drop'
        nat.nft(f"table ip6 filter {{ chain forward {{ type filter hook forward priority 0; {rule}; }}; }}")

    def _make_carrier(self, name, outside, count, quality, hairpin=False):
        """A NAT with several addresses of its own; returns the segment of its customers."""
        first = outside.next_host()
        publics = [str(outside.network[outside.next_host()]) for _ in range(count - 1)]
        lan = f"100.64.{self._number(name)}.0/24"
        return self.lab.emulated_nat(name, outside, lan=lan, address=str(outside.network[first]), publics=publics, quality=quality,
                                     lan_quality=quality, ports="random", hairpin=hairpin, seed=new_seed()).lan

    def _make_firewall(self, name, outside, quality):
        """A router that only lets in what belongs to a connection from inside, before a network of public addresses."""
        node = labs.Node(self.lab, name)
        self.lab.join(node, outside, quality=quality, interface="wan", ipv6=False)
        node.sysctl("net.ipv4.ip_forward=1")
        node.lan = labs.Segment(node, "lan", f"192.0.2.{16 * self._number(name)}/28")
        outside.node.ip(f"route add {node.lan.network} via {node.address}")
        node.nft("""table ip filter { chain forward { type filter hook forward priority 0
            iifname "wan" ct state != { established, related } drop
        }; }""")
        node.address = None  # nothing is seen of the router itself
        return node

    def _take_port(self, name, nat):
        """A neighbour of the host has sent something from its port, to the very connector: the NAT gives the host another."""
        neighbour = self.lab.host(f"{name}n", nat.lan)
        with neighbour.socket(bind=("0.0.0.0", PORT)) as sock:
            sock.sendto(b"\xff", (self.connector_node.address, 4500))

    def make_node(self, name, nat, public, quality):
        if f"nat{name}" in self.routers:
            return self._make_behind_nat64(name, self.routers[f"nat{name}"], quality)
        node = self.lab.host(name, nat.lan) if nat else self.lab.host(name, public, quality=quality, ipv6=False)
        is_ipv6_only = self.kinds[name].site.get("ipv6") == "only"
        if is_ipv6_only:
            labs.command("ip", "-4", "-n", node.namespace, "addr", "flush", "dev", "eth0")
        node.use_resolver(self.resolver.addresses[1 if is_ipv6_only else 0], options="timeout:3")
        return node

    def _make_behind_nat64(self, name, router, quality):
        """A host with IPv6 alone and a resolver that makes up addresses for what has none."""
        node = labs.Node(self.lab, name)
        self.lab.attach(node, "eth0", router.lan, quality)
        node.address6 = str(router.lan.network6[router.lan.next_host()])
        node.ip(f"addr add {node.address6}/64 dev eth0 nodad", f"route add default via {router.lan.gateway6}")
        if not self.dns64:
            self.dns64 = topologies_ipv6.Dns64(self.lab.host("dns64", self.net.east), self.kinds[name].site["nat64"], self.resolver_node.address)
        node.use_resolver(self.dns64.addresses[1], options="timeout:3")
        return node


class Many(Pair):
    """A host behind each of these kinds, in one world, without delay; the first two are a and b."""

    def __init__(self, lab, kinds):
        super().__init__(lab, *kinds[:2])
        self.hosts = [(kinds[0], self.a), (kinds[1], self.b)]
        for number, kind in enumerate(kinds[2:], 2):
            name = chr(ord("a") + number)
            self.kinds.update({name: kind, f"nat{name}": kind})
            nat = self.make_nat(f"nat{name}", self.net.west, f"10.0.{number + 1}.0/24", kind, None)
            host = programs.Host(self.make_node(name, nat, self.net.west, None), self.connector, f"{name}.{ZONE}", **kind.settings)
            self._set_proxy(name, host)
            self.hosts.append((kind, host))


class Neighbours(Pair):
    """Two hosts behind one router (matrix.Together).

    same LAN:            a, b ── LAN ── nata ── west
    same NAT, (no) hairpin:  a ── nata ──┐
                             b ── natb ──┴── carrier ── west
    """

    def __init__(self, lab, together, delay=0):
        self.together, self.carrier = together, None
        super().__init__(lab, *[next(k for k in matrix.KINDS if k.name == "port-restricted")] * 2, delay)

    def make_nat(self, name, outside, lan, kind, quality):
        if self.together.site == "lan":
            return super().make_nat(name, outside, lan, kind, quality) if name == "nata" else self.nat_a
        if not self.carrier:
            self.carrier = self._make_carrier("nataout", self.net.west, 1, quality, hairpin=self.together.site == "hairpin")
        return self.lab.nat(name, self.carrier, lan=lan)


class Stormy(Pair):
    """Two port-restricted NATs whose lines have the weather (matrix.Weather)."""

    def __init__(self, lab, weather, delay=0):
        self.weather = weather
        quality = {"delay": delay / 2, **weather.quality}
        super().__init__(lab, *[next(k for k in matrix.KINDS if k.name == "port-restricted")] * 2, delay)
        for nat in (self.nat_a, self.nat_b):
            box = lab.emulators.get(nat.name)
            if box is None:
                raise labs.LabError("weather needs a line: a delay above 0")
            for port in ("up", "down"):
                box.command(f"set {port}{labs.link_settings(quality)}")
            if weather.narrow:
                nat.nft(f"table ip narrow {{ chain forward {{ type filter hook forward priority -5; meta length > {weather.narrow} drop; }}; }}")


@dataclasses.dataclass
class Result:
    """What one run came to. The times are seconds from the look-up's answer on; None: it did not happen."""

    path: str
    first_reply: float = None
    direct_after: float = None  # until a pair with a direct path has left the relay
    note: str = ""


def path_of(peer):
    return None if not peer or not peer.get("path") else peer["path"].split()[0]


def ask(caller, called_name, tries):
    """The application's wait in s, or None; and what it complained of."""
    done = subprocess.run(caller.node.command_line([sys.executable, "-S", "-c", CLIENT, called_name, tries]), capture_output=True,
                          text=True, timeout=tries * 2 + 30)
    text = done.stdout.strip()
    return (float(text) if text else None), done.stderr.strip()


def run(calls, expected, from_b=False, settle=SETTLE, tries=20):
    """One first contact in a network that is ready; the Result."""
    caller, called = (calls.b, calls.a) if from_b else (calls.a, calls.b)
    server = called.node.start(sys.executable, "-S", "-c", SERVER, name="echo")
    server.wait_log("ready")
    if expected == matrix.REFUSED:
        tries = 8
    moved, over = [], threading.Event()
    watcher = threading.Thread(target=_watch, args=(caller, called.name, moved, over))
    watcher.start()
    try:
        first, complaint = ask(caller, called.name, tries)
        if first is None:
            return Result(matrix.REFUSED, note=complaint.splitlines()[-1] if complaint else "")
        if expected == matrix.DIRECT:
            try:
                labs.wait_until(lambda: moved and path_of(called.peer(caller.name)) == "direct", MOVE_WITHIN)
            except labs.LabError:
                pass
        else:
            over.wait(settle)
    finally:
        over.set()
        watcher.join()
    peer = caller.peer(called.name)
    path = path_of(peer)
    if path != path_of(called.peer(caller.name)):
        path = f"{path} here, {path_of(called.peer(caller.name))} there"
    note = peer.get("path_reason") or peer["path"]
    named = moved[0] if moved else None
    return Result(path, first, named, note)


def _watch(host, name, moved, over):
    """Notes when the host's path to the peer has become direct, in s from the moment that the host knew the peer.

    Asks at the daemon's socket: a process for each question would take the time that is measured.
    """
    begun = None
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        sock.connect(str(host.socket_path))
        lines = sock.makefile()
        while not over.wait(0.02):
            sock.sendall(b'{"command": "peers"}\n')
            answer = json.loads(lines.readline())
            peer = next((p for p in answer["peers"] if p["name"].rstrip(".") == name), None)
            if peer and begun is None:
                begun = time.monotonic()
            if path_of(peer) == "direct" and peer["state"] == "up":
                moved.append(time.monotonic() - begun)
                return


def fetch(calls, size, timeout=60):
    """Whether so many bytes get from b to a over one TCP connection, whole."""
    page = os.urandom(size)
    programs.WebServer(calls.node_b, {"page": page})
    target = calls.lab.dir / "page"
    done = calls.node_a.run(["curl", "-sS", "-m", timeout, "-o", target, f"http://{calls.b.name}/page"], check=False, timeout=timeout + 10)
    return done.returncode == 0 and target.read_bytes() == page


def run_pair(lab, x, y, delay, from_b=False):
    """One first contact in a fresh network of this lab."""
    return run(Pair(lab, x, y, delay).start(), matrix.theory(x, y)[0], from_b)


def run_together(lab, together, delay, from_b=False):
    return run(Neighbours(lab, together, delay).start(), together.expected, from_b)


def run_weather(lab, weather, delay, from_b=False):
    calls = Stormy(lab, weather, delay).start(login_within=60)
    result = run(calls, matrix.DIRECT, from_b, tries=40)
    if weather.bulk and result.path == matrix.DIRECT and not fetch(calls, weather.bulk):
        result.path, result.note = "direct, no bulk", f"{weather.bulk} bytes did not get through"
    return result


def run_quiet(lab, quiet, delay, from_b=False):
    """After a minute of silence each side still reaches the other at once, by the tunnel that was there."""
    nat = {"mapping": "ei", "filtering": "apd", "lifetime": quiet.lifetime_s * 1000, "inbound_refreshes": quiet.inbound_refreshes}
    kind = matrix.Kind(quiet.name, quiet.cases, "", {"nat": {"emulated": nat}})
    calls = Pair(lab, kind, kind, delay).start()
    result = run(calls, matrix.DIRECT, from_b)
    if result.path != matrix.DIRECT:
        return result
    threading.Event().wait(QUIET)
    for host, other in ((calls.a, calls.b), (calls.b, calls.a)):
        address = host.peer(other.name)["address"]
        done = host.node.run(["ping", "-c1", "-W2", address], check=False)
        peer = host.peer(other.name)
        if done.returncode or peer["age_s"] < QUIET or path_of(peer) != "direct":
            result.path, result.note = "forgotten", f"{done.stdout} {peer}"
    return result
