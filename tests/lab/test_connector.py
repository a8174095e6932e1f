"""The connector with real hosts: log-in, names, its DNS, and what happens when one side goes away.

    a (detecd) ── west ── net ── east ── connector (zone, DNS), resolver, b (detecd), c …
"""
import re
import shutil

import capture
import dns_server as dns
import lab as labs
import programs
import pytest
import topologies

ZONE = topologies.ZONE
DYNAMIC = re.compile(rf"h-[a-z2-7]{{13}}\.{re.escape(ZONE)}")


def make(lab, **connector_settings):
    return topologies.Calls(lab, nat_a="none", nat_b="none", connector_settings=connector_settings)


def ask(net, name, kind="A", *options):
    """(status, answers) of the connector itself."""
    return programs.dig(net.resolver_node, name, kind, "+norecurse", *options, server=net.connector_node.address)[:2]


def hosts(net):
    """The connector's own list, by name."""
    listed = net.connector.ask("host list")
    return {h["name"]: h for h in (listed["hosts"] if isinstance(listed, dict) else listed)}


def flat(records):
    return [(kind, data.replace(" ", "")) for kind, data in records]


def test_a_connector_with_an_ipv6_address_alone(lab):
    """Found through DNS like any other, and calls are made over IPv6."""
    net = make(lab, listen="[::]:4500")
    net.connector.sections["connector"]["address"] = net.connector_node.address6
    net.start()
    assert net.a.status()["login"]["connector"] == f"[{net.connector_node.address6}]:4500"
    assert net.node_a.run(["ping", "-c1", "-W10", net.b.name]).returncode == 0


@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
def test_the_zone(lab, transport):
    """What anybody may ask of the zone's own server, over UDP and TCP."""
    net = make(lab).start()
    address, own = net.connector_node.address, net.connector.public_key
    assert ask(net, ZONE, "A", transport) == ("NOERROR", [("A", address)])
    assert ask(net, ZONE, "NS", transport) == ("NOERROR", [("NS", f"{ZONE}.")])
    status, soa = ask(net, ZONE, "SOA", transport)
    assert status == "NOERROR" and soa[0][0] == "SOA" and int(soa[0][1].split()[-1]) <= 5
    assert ask(net, f"_detec._tcp.{ZONE}", "SRV", transport)[1] == [("SRV", f"0 0 4500 {ZONE}.")] or \
        ask(net, f"_detec._tcp.{ZONE}", "SRV", transport)[1][0][1].endswith(f" 4500 {ZONE}.")
    for name, key in ((ZONE, own), (net.a.name, net.a.public_key), (net.b.name, net.b.public_key)):
        status, records = ask(net, name, "IPSECKEY", transport)
        (kind, data), = flat(records)
        assert status == "NOERROR" and kind == "IPSECKEY" and re.fullmatch(r"\d+04\." + re.escape(key), data), data
    for name in (net.a.name, net.b.name.upper()):
        assert ask(net, name, "A", transport) == ("NOERROR", [("A", "0.0.0.1")])
    # Nothing there, or nothing of that kind: with the SOA, so that nobody remembers it for long.
    for name, kind, expected in ((f"absent.{ZONE}", "A", "NXDOMAIN"), (f"x.{net.a.name}", "A", "NXDOMAIN"),
                                 (net.a.name, "MX", "NOERROR"), (net.a.name, "AAAA", "NOERROR"), (f"_tcp.{ZONE}", "A", "NOERROR")):
        status, answers, text = programs.dig(net.resolver_node, name, kind, "+norecurse", transport, server=address)
        authority = text.split(";; AUTHORITY SECTION:\n")[1].split("\n")[0].split()
        assert (status, answers) == (expected, []) and authority[3] == "SOA"
        assert int(authority[1]) <= 5 and int(authority[-1]) <= 5
    for name in ("example.org", "example.net", "org", "."):
        assert ask(net, name, "A", transport)[0] == "REFUSED"
    assert ask(net, ZONE, "AXFR", "+tcp")[1] == []
    # EDNS only for those who speak it.
    assert "OPT PSEUDOSECTION" in programs.dig(net.resolver_node, net.a.name, "A", "+edns=0", transport, server=address)[2]
    assert "OPT PSEUDOSECTION" not in programs.dig(net.resolver_node, net.a.name, "A", "+noedns", transport, server=address)[2]
    assert ask(net, net.a.name, "A", "+edns=1", "+noednsneg", transport)[0] == "BADVERS"
    message = dns.query(net.a.name, dns.A, flags=0)
    answer = dns.ask(net.resolver_node, address, message, transport == "+tcp")
    assert answer[2] & 4 and not answer[3] & 0x80, "authoritative, no recursion"


def test_static_names_come_and_go_by_command(lab):
    """`host add` and `host remove` at once: the name moves, the records follow."""
    net = make(lab)
    net.connector.start()
    net.a.start()  # unknown: it wants a name that nobody has bound
    dynamic = net.a.status()["name"]
    assert DYNAMIC.fullmatch(dynamic) and not net.a.status()["is_static"]
    wanted = f"a.{ZONE}"
    net.connector.detec(["host", "add", wanted, net.a.public_key])
    labs.wait_until(lambda: net.a.status()["name"] == wanted and net.a.status()["is_static"], 10, "the host gets its static name")
    assert ask(net, wanted)[1] == [("A", "0.0.0.1")] and ask(net, dynamic)[0] == "NXDOMAIN"
    listed = hosts(net)
    assert set(listed) == {wanted} and listed[wanted]["is_logged_in"] and listed[wanted]["key"] == net.a.public_key
    again = net.connector.detec(["host", "add", wanted, net.b.public_key], check=False)
    assert again.returncode == 1 and "is there already" in again.stderr
    again = net.connector.detec(["host", "add", f"other.{ZONE}", net.a.public_key], check=False)
    assert again.returncode == 1 and wanted in again.stderr
    for bad in ("elsewhere.example.org", ZONE, f"_tcp.{ZONE}"):
        assert net.connector.detec(["host", "add", bad, net.b.public_key], check=False).returncode != 0
    net.connector.detec(["host", "remove", wanted])
    labs.wait_until(lambda: ask(net, wanted)[0] == "NXDOMAIN", 5, "the records of a removed host are gone")
    labs.wait_until(lambda: net.a.status()["name"] == dynamic and net.a.login_state() == "logged-in", 10, "dynamic again")
    assert net.connector.detec(["host", "remove", wanted], check=False).returncode == 1


def test_dynamic_names(lab):
    """A host without a name of its own: one from its key, the same each time; another host's name is refused it."""
    net = make(lab)
    net.connector.start()
    net.connector.add(net.b)
    nameless = programs.Host(net.node_a, net.connector)
    nameless.start()
    name = nameless.name
    assert DYNAMIC.fullmatch(name) and ask(net, name)[1] == [("A", "0.0.0.1")]
    nameless.stop()
    assert ask(net, name)[0] == "NXDOMAIN"
    nameless.sections["host"]["name"] = net.b.name  # somebody else's
    nameless.start(login=False)
    labs.wait_until(lambda: "belongs to another key" in (nameless.status()["login"]["error"] or ""), 10, "the refusal is told")
    assert nameless.login_state() != "logged-in" and ask(net, net.b.name)[0] == "NXDOMAIN"
    assert hosts(net)[net.b.name]["key"] == net.b.public_key


@pytest.mark.parametrize("settings", [{"strict": "yes"}, {"dynamic": "no"}])
def test_strict_and_no_dynamic_names(lab, settings):
    """Unknown keys get no name; the host says why, and those that are known are served."""
    net = make(lab, **settings)
    net.connector.start()
    net.connector.add(net.b)
    net.a.start(login=False)
    net.b.start()
    labs.wait_until(lambda: net.a.status()["login"]["error"], 10, "the refusal is told")
    assert net.a.login_state() != "logged-in" and net.a.process.is_running
    assert "login refused" in net.a.process.log and net.a.public_key in net.connector.process.log
    assert ask(net, f"a.{ZONE}")[0] == "NXDOMAIN" and ask(net, net.b.name)[1] == [("A", "0.0.0.1")]
    assert set(hosts(net)) == {net.b.name}
    net.a.stop()
    net.connector.detec(["host", "add", f"a.{ZONE}", net.a.public_key])
    net.a.start()
    assert ask(net, f"a.{ZONE}")[1] == [("A", "0.0.0.1")]


def test_mac_addresses(lab):
    """A name that is bound to a MAC address as well: the key alone is not enough."""
    net = make(lab)
    net.connector.start()
    net.connector.detec(["host", "add", f"a.{ZONE}", net.a.public_key, "--mac", "02:00:5e:10:00:01"])
    net.a.sections["host"]["mac"] = "02:00:5e:10:00:02"
    net.a.start(login=False)
    labs.wait_until(lambda: net.a.status()["login"]["error"], 10, "the refusal is told")
    assert "MAC" in net.a.process.log and ask(net, f"a.{ZONE}")[0] == "NXDOMAIN"
    net.a.stop()
    net.a.sections["host"]["mac"] = "02:00:5e:10:00:01"
    net.a.start()
    assert ask(net, f"a.{ZONE}")[1] == [("A", "0.0.0.1")]


def test_the_same_key_twice(lab):
    """A cloned key: the newer log-in wins, the older is told why and waits; no fight."""
    net = make(lab)
    clone = net.add_host("clone", net.net.east)
    net.start(hosts=[net.a])
    shutil.copy(net.a.key_path, clone.key_path)
    clone.sections["host"]["name"] = net.a.name
    clone.start()
    assert clone.name == net.a.name
    labs.wait_until(lambda: net.a.login_state() != "logged-in", 5, "the older one is out")
    login = net.a.status()["login"]
    assert "key" in login["error"] and login["retry_s"] >= 590
    # Some seconds of both at it: the connector hears no more of the older one, and the newer one stays.
    seen = capture.Capture(net.connector_node, "eth0", "tcp port 4500 and tcp[tcpflags] & tcp-syn != 0")
    with pytest.raises(labs.LabError):
        labs.wait_until(seen.packets, 2.5)
    assert clone.login_state() == "logged-in" and ask(net, net.a.name)[1] == [("A", "0.0.0.1")]
    assert net.connector.process.log.count("replaced by a newer log-in") == 1
    assert net.a.process.log.count("logged in at") == clone.process.log.count("logged in at") == 1


def test_a_connector_with_another_key(lab):
    """The host knows its connector's key: another one is refused, loudly, and learns nothing to publish."""
    net = make(lab)
    net.connector.start()
    net.connector.add(net.a)
    net.a.sections["host"]["connector-key"] = net.b.public_key
    net.a.start(login=False)
    labs.wait_until(lambda: net.a.status()["login"]["error"], 10, "the refusal is told")
    assert "key" in net.a.status()["login"]["error"] and net.a.login_state() != "logged-in"
    assert ask(net, f"a.{ZONE}")[0] == "NXDOMAIN"
    net.a.stop()
    # Pinned at first contact, and changed later.
    del net.a.sections["host"]["connector-key"]
    net.a.start()
    net.connector.stop()
    (net.connector.dir / "key").unlink()
    net.connector.start()
    labs.wait_until(lambda: "key" in (net.a.status()["login"]["error"] or ""), 15, "the changed key is told")
    assert net.a.login_state() != "logged-in" and ask(net, f"a.{ZONE}")[0] == "NXDOMAIN"


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_restart(lab, end):
    """The connector ends and comes back: hosts log in again by themselves, with their static names; no storm meanwhile."""
    net = make(lab)
    net.a.sections["host"]["connector"] = f"{net.connector_node.address}:4500"  # b asks DNS, which is the connector's own
    net.start()
    seen = capture.Capture(net.connector_node, "eth0", "tcp port 4500")
    getattr(net.connector, end)()
    for host in (net.a, net.b):
        labs.wait_until(lambda: host.login_state() != "logged-in", 10, "the host knows")
    # Some attempts, spaced out more and more.
    def attempts(node):
        return [p.time for p in seen.packets() if p.source == node.address and p.data[33] & 0x12 == 2]
    labs.wait_until(lambda: len(attempts(net.node_a)) >= 3 and attempts(net.node_b), 15, "three attempts")
    times = attempts(net.node_a)
    assert len(times) == 3 and times[1] - times[0] > 0.4 and times[2] - times[1] > 0.9, times
    net.connector.start()
    for host in (net.a, net.b):
        host.wait_login(15)
        assert host.status()["is_static"]
        assert ask(net, host.name)[1] == [("A", "0.0.0.1")]
    assert set(hosts(net)) == {net.a.name, net.b.name}
    net.a.call(net.b.name)
    assert net.node_a.run(["ping", "-c1", "-W5", net.a.peer(net.b.name)["address"]]).returncode == 0


def test_tunnels_outlive_the_connector(lab):
    """Two hosts that have a tunnel need no connector any more."""
    net = make(lab).start()
    net.a.call(net.b.name)
    address = net.a.peer(net.b.name)["address"]
    net.connector.kill()
    labs.wait_until(lambda: net.a.login_state() != "logged-in", 10, "the host knows")
    assert net.node_a.run(["ping", "-c2", "-i0.2", "-W5", address]).returncode == 0


def test_damaged_database(lab):
    """A database that cannot be read: the connector does not start, and says what is wrong, rather than forget all names."""
    net = make(lab)
    net.connector.start()
    net.connector.add(net.a)
    net.connector.stop()
    path = net.connector.dir / "hosts.db"
    good = path.read_bytes()
    path.write_bytes(b"this is no database\n" * 100)
    done = net.connector_node.run([programs.CONNECTOR, "-c", net.connector.config_path], check=False, timeout=10)
    assert done.returncode == 1 and str(path) in done.stderr and "refusing to start" in done.stderr
    path.write_bytes(good)
    net.connector.start()
    net.a.start()
    assert net.a.status()["is_static"]


def test_leases_and_silent_hosts(lab):
    """A session that is lost keeps its name until the lease ends, then it is gone; a log-out takes it away at once.

    One host is killed, one is frozen, one loses its network without a word; the last comes back by itself.
    """
    net = make(lab, lease="30s")
    cut = net.add_host("cut", net.net.east)
    left = net.add_host("left", net.net.east)
    net.start(hosts=[net.a, net.b, cut, left])
    names = [net.a.name, net.b.name, cut.name]
    left.stop()
    assert ask(net, left.name)[0] == "NXDOMAIN"
    net.a.kill()
    net.b.freeze()
    cut.node.ip("link set dev eth0 down")
    def published():
        return [n for n in names if programs.dig(net.resolver_node, n, server=net.connector_node.address)[1] == [("A", "0.0.0.1")]]
    assert published() == names
    labs.wait_until(lambda: not hosts(net)[net.a.name]["is_logged_in"], 5, "the killed host's session is lost")
    assert published() == names, "a lost session keeps its lease"
    labs.wait_until(lambda: published() == [], 40, lambda: f"the leases end: {published()}")
    cut.node.ip("link set dev eth0 up", f"route add default via {net.net.east.gateway}")
    net.b.thaw()
    labs.wait_until(lambda: published() == names[1:], 40, lambda: f"they come back: {published()}\n{net.connector.process.log}")
    net.a.start()
    assert published() == names
