"""The host's own DNS with detecd in its way: what is Detec's is rewritten, everything else passes.

    a (detecd) ── west ── net ── east ── connector (zone), resolver, b (detecd)

Both hosts are public here, so that a has IPv6 and asks the resolver over either family.
"""
import functools
import ipaddress
import socket
import struct

import dns_server as dns
import lab as labs
import programs
import pytest
import topologies

POOL = ipaddress.ip_network("0.0.0.0/8")
PLAIN, PLAIN_ADDRESS, ZONE = topologies.PLAIN_NAME, topologies.PLAIN_ADDRESS, topologies.ZONE


def make(lab, is_connector_known=False, **options):
    net = topologies.Calls(lab, nat_a="none", nat_b="none", **options)
    if is_connector_known:  # where DNS does not tell
        for host in (net.a, net.b):
            host.sections["host"]["connector"] = f"{net.connector_node.address}:4500"
    return net


def is_peer_address(text):
    return ipaddress.ip_address(text) in POOL and text not in ("0.0.0.0", "0.0.0.1", "0.0.0.2")


@pytest.mark.parametrize("rp_filter", [0, 1, 2])
def test_every_program_over_every_transport(lab, rp_filter):
    """dig, getaddrinfo and curl find the peer; UDP and TCP, IPv4 and IPv6 servers, whatever the reverse-path filter."""
    net = make(lab)
    for node in (net.node_a, net.node_b):
        node.sysctl(*[f"net.ipv4.conf.{i}.rp_filter={rp_filter}" for i in ("all", "default", "eth0", "lo")])
    net.start()
    a, b = net.node_a, net.b.name
    seen = set()
    for server in net.resolver.addresses:
        for option in ("+notcp", "+tcp"):
            status, answers, _ = programs.dig(a, b, "A", option, server=server)
            assert status == "NOERROR" and len(answers) == 1
            seen.add(answers[0][1])
            assert programs.dig(a, PLAIN, "A", option, server=server)[1] == [("A", PLAIN_ADDRESS)]
            assert programs.dig(a, "nosuch.plain.test", "A", option, server=server)[0] != "no answer"
    assert len(seen) == 1 and is_peer_address(*seen)
    assert a.run(["getent", "ahostsv4", b]).stdout.split()[0] in seen
    for server in net.resolver.addresses:
        a.use_resolver(server)
        assert a.run(["getent", "ahosts", b]).stdout.split()[0] in seen
        a.use_resolver(server, options="use-vc")
        assert a.run(["getent", "ahostsv4", b]).stdout.split()[0] in seen
    programs.WebServer(net.node_b, {"page": "some words\n"})
    assert a.run(f"curl -sS --max-time 10 http://{b}/page").stdout == "some words\n"
    assert a.run(["ping", "-c1", "-W5", b]).returncode == 0


def test_several_servers_one_of_them_dead(lab):
    """The application's own order of servers is kept: nothing is asked that it did not mean."""
    net = make(lab)
    net.start(hosts=[net.a])
    net.node_a.use_resolver("203.0.113.99", net.resolver.addresses[0], options="timeout:1 attempts:1")
    assert net.node_a.run(["getent", "ahostsv4", PLAIN]).stdout.split()[0] == PLAIN_ADDRESS
    assert dns.ask(net.node_a, "203.0.113.99", dns.query(PLAIN), timeout=0.5) is None
    # Nobody listens there: the refusal comes at once, as it would without the daemon.
    assert dns.ask(net.node_a, net.node_b.address, dns.query(PLAIN), is_tcp=True) is None


ODD = b"\xc0\x0c"  # a pointer to the question's name


def soa(owner="plain.test"):
    return dns.record(owner, dns.SOA, dns.name("ns.plain.test") + dns.name("root.plain.test") + struct.pack("!5I", 1, 2, 3, 4, 5))


def edns(size=4096, flags=0x8000, data=b"", rcode=0):
    return b"\0" + struct.pack("!HHIH", dns.OPT, size, rcode << 24 | flags, len(data)) + data


def rrsig(kind):
    return dns.record(ODD, dns.RRSIG, struct.pack("!HBBIIIH", kind, 15, 3, 300, 2**31, 2**30, 4711) + dns.name("plain.test") + bytes(range(64)))


# What a server may say, by the name it is asked for: (type, reply to a query).
OTHERS = {
    "a.plain.test": (dns.A, lambda q: dns.answer(q, answers=[dns.record(ODD, dns.A, bytes([192, 0, 2, i])) for i in range(4)])),
    "aaaa.plain.test": (dns.AAAA, lambda q: dns.answer(q, answers=[dns.record(ODD, dns.AAAA, bytes(15) + b"\1")])),
    "txt.plain.test": (dns.TXT, lambda q: dns.answer(q, answers=[dns.record(ODD, dns.TXT, b"\4\0\0\0\1")])),
    "mx.plain.test": (dns.MX, lambda q: dns.answer(q, answers=[dns.record(ODD, dns.MX, b"\0\0" + dns.name("M.Plain.TEST"))],
                                                  additional=[dns.record("m.plain.test", dns.A, bytes([0, 0, 0, 1]))])),
    "cname.plain.test": (dns.A, lambda q: dns.answer(q, answers=[dns.record(ODD, dns.CNAME, dns.name("x.plain.test")),
                                                                dns.record("x.plain.test", dns.A, bytes([192, 0, 2, 7]))])),
    "nxdomain.plain.test": (dns.A, lambda q: dns.answer(q, dns.QR | dns.RA | dns.NXDOMAIN, authority=[soa()])),
    "nodata.plain.test": (dns.A, lambda q: dns.answer(q, authority=[soa()])),
    "empty.plain.test": (dns.A, lambda q: dns.answer(q)),
    "refused.plain.test": (dns.A, lambda q: dns.answer(q, dns.QR | 5)),
    "servfail.plain.test": (dns.A, lambda q: dns.answer(q, dns.QR | 2, additional=[edns(data=struct.pack("!HHH", 15, 2, 22))])),
    "truncated.plain.test": (dns.A, lambda q: dns.answer(q, dns.QR | dns.TC)),
    "signed.plain.test": (dns.A, lambda q: dns.answer(q, dns.QR | dns.AD | dns.AA, answers=[
        dns.record(ODD, dns.A, bytes([192, 0, 2, 9]), 86400), rrsig(dns.A)], additional=[edns()])),
    "big.plain.test": (dns.TXT, lambda q: dns.answer(q, answers=[dns.record(ODD, dns.TXT, b"\xff" + bytes([i]) * 255) for i in range(14)],
                                                    additional=[edns()])),
    "trailing.plain.test": (dns.A, lambda q: dns.answer(q, answers=[dns.record(ODD, dns.A, bytes([0, 0, 0, 1]))]) + b"\0\1\2"),
    "short.plain.test": (dns.A, lambda q: dns.answer(q, answers=[dns.record(ODD, dns.A, bytes([0, 0, 0, 1]))])[:-2]),
    "loop.plain.test": (dns.A, lambda q: dns.answer(q, answers=[dns.record(b"\xc0" + bytes([len(q)]), dns.A, bytes([0, 0, 0, 1]))])),
    "other.plain.test": (dns.A, lambda q: dns.answer(q, answers=[dns.record("elsewhere.test", dns.A, bytes([0, 0, 0, 1]))])),
    "class.plain.test": (dns.A, lambda q: dns.answer(q, answers=[ODD + struct.pack("!HHIH", 1, 3, 9, 4) + bytes([0, 0, 0, 1])])),
    "unknown.plain.test": (65280, lambda q: dns.answer(q, answers=[dns.record(ODD, 65280, bytes([0, 0, 0, 1]))])),
    "zero.plain.test": (dns.A, lambda q: dns.answer(q, answers=[dns.record(ODD, dns.A, bytes(4), 0)])),
    "one.plain.test": (dns.A, lambda q: dns.answer(q, answers=[dns.record(ODD, dns.A, bytes([0, 0, 0, 1]), 99999)])),
}


def serve_others(message, is_tcp):
    owner = dns.question_of(message)[0]
    if owner in OTHERS:
        return OTHERS[owner][1](message)
    return dns.answer(message, dns.QR | dns.NXDOMAIN, authority=[soa()])


def ask_all(node, servers):
    """Every raw answer, from every server over either transport."""
    got = {}
    for server in servers:
        for is_tcp in (False, True):
            for number, (owner, (kind, _)) in enumerate(OTHERS.items()):
                mixed = "".join(c.upper() if i % 2 else c for i, c in enumerate(owner))
                message = dns.query(mixed, kind, number * 257, dns.RD | dns.CD * (number % 2), size=4096)
                got[server, is_tcp, owner] = dns.ask(node, server, message, is_tcp)
    return got


def test_other_answers_pass_byte_for_byte(lab):
    """Every answer that is not of a Detec host: the same bytes with the daemon as without, ID and all.

    Also `one.plain.test A 0.0.0.1`, whose zone has no connector: no address is given out for it, and nobody is called.
    """
    net = make(lab, is_connector_known=True)
    node = lab.host("raw", net.net.east)
    server = dns.Server(node, serve_others)
    servers = (node.address, node.address6)
    net.node_a.use_resolver(node.address)
    without = ask_all(net.node_a, servers)
    assert None not in without.values()
    net.start(hosts=[net.a])
    seen = len(server.seen)
    assert ask_all(net.node_a, servers) == without
    assert len(server.seen) >= seen + len(without), "every query went to the server that was meant"
    status = net.a.status()
    assert status["dns"]["queries"] >= len(without) and status["dns"]["rewritten"] == 0
    assert net.a.peers() == [] and status["calls"] == 0 and not (net.a.dir / "state/pool").exists()
    net.a.stop()
    assert ask_all(net.node_a, servers) == without


def test_many_queries_on_one_connection(lab):
    """Pipelined queries over TCP, a Detec name among them, and messages in pieces."""
    net = make(lab)
    net.start()
    names = [PLAIN, net.b.name, PLAIN, "nosuch." + ZONE]
    sock = net.node_a.socket(socket.SOCK_STREAM, bind=None)
    sock.connect((net.resolver.addresses[0], 53))
    queries = [dns.query(n, number=i) for i, n in enumerate(names)]
    stream = b"".join(struct.pack("!H", len(q)) + q for q in queries)
    for i in range(0, len(stream), 7):
        sock.send(stream[i:i + 7])
    answers = sorted((dns.read_message(sock) for _ in names), key=lambda m: m[:2])
    assert dns.addresses(answers[0]) == dns.addresses(answers[2]) == [PLAIN_ADDRESS]
    assert is_peer_address(dns.addresses(answers[1])[0]) and answers[3][3] & 15 == dns.NXDOMAIN


def test_the_address_stays(lab):
    """The same peer address each time: again, after SIGTERM, after SIGKILL, and with the state file lost."""
    net = make(lab)
    net.start()
    look_up = functools.partial(dns.ask, net.node_a, net.resolver.addresses[0])
    first = dns.addresses(look_up(dns.query(net.b.name)))
    assert len(first) == 1 and is_peer_address(first[0])
    assert dns.addresses(look_up(dns.query(net.b.name.upper()), is_tcp=True)) == first
    net.a.stop()
    net.a.start()
    assert dns.addresses(look_up(dns.query(net.b.name))) == first
    net.a.kill()
    net.a.start()
    assert dns.addresses(look_up(dns.query(net.b.name))) == first
    net.a.stop()
    (net.a.dir / "state/pool").unlink()
    net.a.start()
    assert dns.addresses(look_up(dns.query(net.b.name))) == first


def test_a_call_begins_with_the_look_up(lab):
    """No packet is sent: the look-up alone brings the tunnel up."""
    net = make(lab)
    net.start()
    address = dns.addresses(dns.ask(net.node_a, net.resolver.addresses[0], dns.query(net.b.name)))[0]
    peer = labs.wait_until(lambda: (p := net.a.peer(net.b.name)) and p["state"] == "up" and p, 5, "tunnel up")
    assert peer["address"] == address and peer["packets_out"] == 0 and peer["direction"] == "out"


def test_own_name_is_oneself(lab):
    net = make(lab)
    net.start()
    status = net.a.status()
    for is_tcp in (False, True):
        got = dns.ask(net.node_a, net.resolver.addresses[0], dns.query(net.a.name), is_tcp)
        assert dns.addresses(got) == [status["address"]] == ["0.0.0.2"]
    assert net.node_a.run(["ping", "-c1", "-W2", net.a.name]).returncode == 0
    assert net.a.peers() == []


def test_aliases_lead_into_the_mesh(lab):
    """The user's own `CNAME` elsewhere, to a Detec host: its answer is rewritten, whole chains as well."""
    net = make(lab)
    alias = lab.host("alias", net.net.east)

    def reply(message, is_tcp):
        chain = ["www.alias.test", "web.alias.test", net.b.name]
        owner = dns.question_of(message)[0]
        if owner in chain:
            records = [dns.record(o, dns.CNAME, dns.name(t)) for o, t in zip(chain, chain[1:])][chain.index(owner):]
            return dns.answer(message, answers=records + [dns.record(net.b.name, dns.A, bytes([0, 0, 0, 1]), 5)])
        return dns.answer(message, dns.QR | dns.NXDOMAIN)
    dns.Server(alias, reply)
    net.start()
    direct = dns.addresses(dns.ask(net.node_a, net.resolver.addresses[0], dns.query(net.b.name)))
    for is_tcp in (False, True):
        for owner in ("www.alias.test", "web.alias.test"):
            assert dns.addresses(dns.ask(net.node_a, alias.address, dns.query(owner), is_tcp)) == direct
    net.node_a.use_resolver(alias.address)
    assert net.node_a.run(["ping", "-c1", "-W5", "www.alias.test"]).returncode == 0
    assert [p["name"] for p in net.a.peers()] == [net.b.name]


def test_rebind_protection(lab):
    """A home router that takes 0.0.0.1 out of answers (dnsmasq --stop-dns-rebind): names are found all the same."""
    # It takes the lab's documentation addresses for private ones as well.
    net = make(lab, resolver={"rebind_protection": True}, is_connector_known=True)
    net.start()
    a, server = net.node_a, net.resolver.addresses[0]
    assert programs.dig(net.node_b, "nosuch." + ZONE, server=server)[0] == "NXDOMAIN"
    got = {tuple(dns.addresses(dns.ask(a, server, dns.query(net.b.name), is_tcp, timeout=10))) for is_tcp in (False, True)}
    assert len(got) == 1 and is_peer_address(*got.pop())
    assert a.run(["ping", "-c1", "-W5", net.b.name]).returncode == 0
    # What is not there stays so, also a host that is bound but not logged in.
    net.b.stop()
    assert dns.addresses(dns.ask(a, server, dns.query(f"absent.{ZONE}"))) == []


def test_pool_addresses_from_outside(lab):
    """A server may not say which peer address a name has: neither a cache shared with another host, nor one who means harm."""
    net = make(lab, resolver={"options": ["--host-record=evil.test,0.0.0.2", "--host-record=ads.test,0.0.0.0", f"--address=/b.{ZONE}/0.9.9.9"]})
    net.start()
    def ask(name, is_tcp):
        return dns.addresses(dns.ask(net.node_a, net.resolver.addresses[0], dns.query(name), is_tcp, timeout=10))
    for is_tcp in (False, True):
        assert ask("evil.test", is_tcp) == ["0.0.0.1"] and ask("ads.test", is_tcp) == ["0.0.0.0"]
        assert is_peer_address(*ask(net.b.name, is_tcp)) and ask(net.b.name, is_tcp) != ["0.9.9.9"]
    assert net.node_a.run(["ping", "-c1", "-W5", net.b.name]).returncode == 0


@pytest.mark.parametrize("rebind_protection", [False, True])
def test_local_stub(lab, rebind_protection):
    """A caching stub on 127.0.0.53, as most desktops have it, whose own queries are captured too."""
    net = make(lab)
    net.start()
    arguments = ["--stop-dns-rebind", f"--rebind-domain-ok=/{PLAIN}/"] if rebind_protection else []
    stub = net.node_a.start("dnsmasq", "--keep-in-foreground", "--log-facility=-", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root",
                            "--pid-file=", "--bind-interfaces", "--listen-address=127.0.0.53", "--no-negcache",
                            f"--server={net.resolver.addresses[0]}", *arguments)
    stub.wait_log("started, version")
    net.node_a.use_resolver("127.0.0.53")
    for _ in range(3):
        assert is_peer_address(net.node_a.run(["getent", "ahostsv4", net.b.name]).stdout.split()[0])
        assert net.node_a.run(["getent", "ahostsv4", PLAIN]).stdout.split()[0] == PLAIN_ADDRESS
    assert net.node_a.run(["ping", "-c1", "-W5", net.b.name]).returncode == 0


def test_reverse_look_ups_stay_here(lab):
    """PTR of peer addresses: answered by the daemon, never asked of anyone. Others are."""
    net = make(lab)
    net.start()
    server = net.resolver.addresses[0]
    address = dns.addresses(dns.ask(net.node_a, server, dns.query(net.b.name)))[0]
    for option in ("+notcp", "+tcp"):
        assert programs.dig(net.node_a, ipaddress.ip_address(address).reverse_pointer, "PTR", option, server=server)[1] == [
            ("PTR", f"{net.b.name}.")]
        assert programs.dig(net.node_a, "2.0.0.0.in-addr.arpa", "PTR", option, server=server)[1] == [("PTR", f"{net.a.name}.")]
        assert programs.dig(net.node_a, "99.0.0.0.in-addr.arpa", "PTR", option, server=server)[0] == "NXDOMAIN"
    assert net.node_a.run(["getent", "hosts", address]).stdout.split() == [address, net.b.name]
    programs.dig(net.node_a, "1.100.51.198.in-addr.arpa", "PTR", server=server)
    asked = [q for q in net.resolver.queries() if q.endswith("in-addr.arpa")]
    assert asked and set(asked) == {"1.100.51.198.in-addr.arpa"}


def test_sockets_older_than_the_daemon(lab):
    """A connected UDP socket that asked before the daemon came is captured too (its connection is tracked as direct)."""
    net = make(lab)
    net.start(hosts=[net.b])
    sock = net.node_a.socket(bind=None)
    sock.connect((net.resolver.addresses[0], 53))
    sock.send(dns.query(net.b.name))
    assert dns.addresses(sock.recv(4096)) == ["0.0.0.1"]
    stream = net.node_a.socket(socket.SOCK_STREAM, bind=None)
    stream.connect((net.resolver.addresses[0], 53))
    net.connector.add(net.a)
    for _ in range(2):  # the second time the connections are tracked already
        net.a.start()
        sock.send(dns.query(net.b.name))
        assert is_peer_address(dns.addresses(sock.recv(4096))[0])
        net.a.stop()
        sock.send(dns.query(net.b.name))
        assert dns.addresses(sock.recv(4096)) == ["0.0.0.1"]
    net.a.start()
    message = dns.query(PLAIN)
    stream.sendall(struct.pack("!H", len(message)) + message)
    assert dns.addresses(dns.read_message(stream)) == [PLAIN_ADDRESS], "open TCP connections live on"


def test_a_socket_bound_to_a_device(lab):
    """Known, and in the README: its redirected queries cannot get to the listener. It harms nobody else, and ends with us."""
    net = make(lab)
    net.start(hosts=[net.a])
    server = net.resolver.addresses[0]
    assert dns.ask(net.node_a, server, dns.query(PLAIN), timeout=0.5, device="eth0") is None
    assert dns.addresses(dns.ask(net.node_a, server, dns.query(PLAIN))) == [PLAIN_ADDRESS]
    net.a.stop()
    assert dns.addresses(dns.ask(net.node_a, server, dns.query(PLAIN), device="eth0")) == [PLAIN_ADDRESS]


def test_off(lab):
    """`dns = off`: no answer is touched, and names still work by `detec call`."""
    net = make(lab, a={"dns": "off"})
    net.start()
    assert dns.addresses(dns.ask(net.node_a, net.resolver.addresses[0], dns.query(net.b.name))) == ["0.0.0.1"]
    assert "detec-dns" not in net.node_a.run("nft list tables").stdout
    status = net.a.status()["dns"]
    assert status["mode"] == "off" and not status["is_active"]
    net.a.call(net.b.name)
    address = net.a.peer(net.b.name)["address"]
    assert net.node_a.run(["ping", "-c1", "-W5", address]).returncode == 0


def test_direct_queries_to_the_listener_get_nothing(lab):
    """The listener is no open proxy: who asks it without having been redirected is not answered."""
    net = make(lab)
    net.start(hosts=[net.a])
    rules = net.node_a.run("nft list table inet detec-dns").stdout
    port = int(rules.split("redirect to :")[1].split()[0])
    with net.node_a.socket(bind=None, timeout=0.5) as sock:
        sock.connect(("127.0.0.1", port))
        sock.send(dns.query(PLAIN))
        with pytest.raises(OSError):
            sock.recv(4096)
    with net.node_a.socket(socket.SOCK_STREAM, bind=None) as sock:
        sock.connect(("127.0.0.1", port))
        message = dns.query(PLAIN)
        try:
            sock.sendall(struct.pack("!H", len(message)) + message)
            assert dns.read_message(sock) is None
        except ConnectionError:
            pass
    assert PLAIN not in net.resolver.queries()
