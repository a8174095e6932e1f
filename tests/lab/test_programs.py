"""The ordinary programs of the lab work without Detec: what fails later is not theirs.

    a ── LAN ── nata ── west ── net ── east ── b (web, ssh, iperf3), resolver
"""
import capture
import lab as labs
import programs


def make(lab):
    net = lab.internet()
    a = lab.host("a", lab.nat("nata", net.west).lan)
    b, resolver_node = lab.host("b", net.east), lab.host("resolver", net.east)
    return a, b, resolver_node


def test_web_ssh_rsync_and_iperf(lab, tmp_path):
    a, b, _ = make(lab)
    web = programs.WebServer(b, {"page": "some words\n"})
    assert a.run(f"curl -sS http://{b.address}/page").stdout == "some words\n"
    assert "GET /page" in web.access_log()
    ssh = programs.SecureShell(b)
    assert ssh.command(a, b.address, "echo from $((40 + 2))").stdout == "from 42\n"
    source = tmp_path / "source"
    source.write_bytes(b"x" * 100000)
    ssh.rsync(a, source, b.address, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == source.read_bytes()
    report = programs.Iperf(b).measure(a, b.address, "-t", "1")
    assert report["end"]["sum_sent"]["bytes"] >= 1 << 20 and report["end"]["sum_received"]["bytes"] >= 1 << 20


def test_resolver_and_dig(lab):
    a, b, resolver_node = make(lab)
    server = programs.Resolver(b, {}, {"host.zone.test": "192.0.2.7"})
    resolver = programs.Resolver(resolver_node, {"zone.test": b.address}, {"plain.test": "192.0.2.8"})
    a.use_resolver(resolver.addresses[0])
    assert programs.dig(a, "host.zone.test")[:2] == ("NOERROR", [("A", "192.0.2.7")])
    assert programs.dig(a, "plain.test", "A", "+tcp")[1] == [("A", "192.0.2.8")]
    assert a.run("getent ahostsv4 host.zone.test").stdout.split()[0] == "192.0.2.7"
    assert "host.zone.test" in server.queries() and "plain.test" not in server.queries()
    b.use_resolver(resolver_node.address6)
    assert programs.dig(b, "plain.test")[1] == [("A", "192.0.2.8")]
    assert programs.dig(a, "plain.test", server="192.0.2.99")[0] == "no answer"


def test_rebind_protection_takes_the_address_away(lab):
    """What millions of home routers do with 0.0.0.1 (dnsmasq --stop-dns-rebind); without it the address passes."""
    a, b, resolver_node = make(lab)
    programs.Resolver(b, {}, {"host.zone.test": "0.0.0.1"})
    plain = programs.Resolver(resolver_node, {"zone.test": b.address})
    protecting = programs.Resolver(lab.host("r2", resolver_node.interfaces["eth0"]), {"zone.test": b.address}, rebind_protection=True)
    assert programs.dig(a, "host.zone.test", server=plain.addresses[0])[1] == [("A", "0.0.0.1")]
    assert programs.dig(a, "host.zone.test", server=protecting.addresses[0])[:2] == ("NOERROR", [])


def test_plain_text_is_seen_where_nothing_hides_it(lab):
    """The leak tests' own proof: a capture between the NATs sees the words of an ordinary connection."""
    a, b, _ = make(lab)
    seen = capture.Capture(b.interfaces["eth0"].node, "west")
    programs.WebServer(b, {"page": "some words\n"})
    a.run(f"curl -sS http://{b.address}/page")
    assert seen.wait_for(lambda p: b"some words" in p.data)
    labs.wait_until(lambda: any(p.protocol == 6 for p in seen.packets()))
