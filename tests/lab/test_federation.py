"""Two zones that know nothing of each other but what DNS says: calls across them, and whom each host believes.

    a (one.example) ── LAN ── nata ── west 198.51.100.0/24 ── net ── east 203.0.113.0/24 ── natb ── LAN ── b (two.example)
                                      │                              │
                             connector one, resolver           connector two
"""
import base64

import lab as labs
import probes
import programs
import topologies

NAME_A, NAME_B = "a.one.example", "b.two.example"
QUICK = {"attempt_timeout": "1s"}
OPEN = {**QUICK, "allow": "*.one.example"}


def pins(host):
    return (host.dir / "state/pins").read_text()


def test_call_across_zones(lab):
    zones = topologies.Zones(lab, b=OPEN).start()
    web = programs.WebServer(zones.node_b, {"page": "across\n"})
    # By nothing but the name: the application's look-up brings it about.
    assert zones.node_a.run(f"curl -sS --max-time 15 http://{NAME_B}/page").stdout == "across\n"
    there, here = zones.a.peer(NAME_B), zones.b.peer(NAME_A)
    assert (there["direction"], here["direction"]) == ("out", "in")
    assert there["endpoint"].split(":")[0] == zones.nat_b.address and here["endpoint"].split(":")[0] == zones.nat_a.address

    # a is a guest at two, and has no name there; b has zone one's word for a's key without asking.
    assert "two.example: connected as a guest" in zones.a.process.log
    assert "one.example: connected as a guest" not in zones.b.process.log
    assert [h["name"] for h in zones.two.ask("host list")] == [NAME_B]
    for host, other, connector in ((zones.a, zones.b, zones.two), (zones.b, zones.a, zones.one)):
        text = pins(host)
        assert other.public_key in text and connector.public_key in text
    assert web.access_log()


def test_default_policy_refuses_foreign_callers_silently(lab):
    zones = topologies.Zones(lab, a=QUICK, b=QUICK).start()
    end = probes.refused_call(zones.a, NAME_B)
    assert end["step"] == "candidates" and "does not answer" in end["error"]
    seen = probes.refusal(zones.b, NAME_A)
    assert seen["key"] == zones.a.public_key and "[allow]" in seen["reason"]
    assert f"call of {NAME_A} refused" in zones.b.process.log
    # Not even asked about: nobody makes b contact zones of its choice.
    assert "one.example" not in zones.b.process.log.replace(f"call of {NAME_A} refused", "")
    assert zones.b.peer(NAME_A) is None
    text = zones.b.detec("status").stdout
    assert NAME_A in text and "[allow]" in text


def test_a_name_that_its_zone_gives_another_key(lab):
    """A host of zone one that says it is c.one.example, to whom zone one gives another key, or none."""
    zones = topologies.Zones(lab, a=QUICK, b=OPEN).start()
    # Its own connector gives a another name than the one it claims towards b: what b sees is the claim.
    zones.one.detec(["host", "remove", NAME_A])
    zones.one.detec(["host", "add", NAME_A, base64.b64encode(bytes(range(32))).decode()])
    end = probes.refused_call(zones.a, NAME_B)
    assert end["step"] == "candidates"
    labs.wait_until(lambda: zones.b.status()["refused"], 5, "b refuses")
    seen = zones.b.status()["refused"][0]
    assert seen["key"] == zones.a.public_key
    assert "zone" in seen["reason"], seen
    assert zones.b.peer(seen["name"]) is None and zones.a.public_key not in pins(zones.b)


def test_zone_without_srv(lab):
    """Found by the zone's own address, because the host's name has an IPSECKEY; without that key nothing is contacted."""
    key = base64.b64encode(bytes(32)).decode()
    def records(with_key):
        # Zone two, from a server that only knows addresses and keys: name, type 45, gateway none, algorithm 4.
        rows = ["--local=/two.example/", f"--host-record=two.example,{topologies_two}", "--address=/b.two.example/0.0.0.1"]
        return rows + ([f"--dns-rr={NAME_B},45,0a0004{base64.b64decode(key).hex()}"] if with_key else [])
    topologies_two = "203.0.113.10"
    zones = topologies.Zones(lab, a={**QUICK, "trust": {"connector-key": "two.example KEY"}}, b=OPEN, serve_two=False,
                             records=records(True))
    assert zones.node_two.address == topologies_two
    zones.b.sections["host"]["connector"] = f"{topologies_two}:4500"
    zones.a.sections["trust"]["connector-key"] = f"two.example {zones.two.public_key}"
    zones.start()
    steps = zones.a.call(NAME_B, check=False)
    assert any(s.get("step") == "name" for s in steps)
    labs.wait_until(lambda: "two.example: connected as a guest" in zones.a.process.log, 5,
                    lambda: f"a reaches the connector of two: {steps}\n{zones.a.process.log}")

    zones.a.stop()
    (zones.a.dir / "state" / "met").unlink()  # they would meet again without a connector
    zones.resolver.process.stop()
    zones.resolver = programs.Resolver(zones.resolver_node, {"one.example": zones.node_one.address}, options=records(False), cache=0)
    zones.a.start()
    end = probes.refused_call(zones.a, NAME_B)
    assert end["step"] == "name" and "names no connector" in end["error"]
    assert "two.example: connected as a guest" not in zones.a.process.log
    # An application gets the answer as it is, and its packets an ICMP error.
    assert programs.dig(zones.node_a, NAME_B)[1] == [("A", "0.0.0.1")]


def test_private_connector(lab):
    """A foreign zone's connector at a private address: only where the configuration says so."""
    records = ["--local=/two.example/", "--host-record=two.example,10.0.1.1", "--address=/b.two.example/0.0.0.1",
               "--srv-host=_detec._tcp.two.example,two.example,4500"]
    zones = topologies.Zones(lab, a=QUICK, serve_two=False, records=records)
    zones.one.start()
    zones.one.add(zones.a)
    zones.a.start()
    zones.nat_a.nft("table ip seen {\n counter syn { }\n chain c { type filter hook prerouting priority -300\n"
                    "ip daddr 10.0.1.1 tcp dport 4500 counter name syn\n}\n}\n")

    def count():
        return int(zones.nat_a.run("nft list counter ip seen syn").stdout.split("packets ")[1].split()[0])
    end = probes.refused_call(zones.a, NAME_B)
    assert end["step"] == "name" and "private-connector" in end["error"] and count() == 0
    # A look-up by any program does not do it either.
    assert programs.dig(zones.node_a, NAME_B)[1] == [("A", "0.0.0.1")]
    assert count() == 0
    zones.a.stop()
    zones.a.sections["trust"] = {"private-connector": "two.example"}
    zones.a.start()
    assert probes.refused_call(zones.a, NAME_B)["step"] == "connector"
    assert count() > 0


def test_replies_only_across_zones(lab):
    """a of zone one calls b of zone two: b's rules let a in, a's (the default) do not let b in through the same tunnel."""
    zones = topologies.Zones(lab, a=QUICK, b={**QUICK, "allow": "*.one.example tcp/80"}).start()
    there, here = probes.call(zones.a, zones.b)
    ports_a, ports_b = probes.Ports(zones.node_a, 80), probes.Ports(zones.node_b, 80, 81)
    assert probes.tcp(zones.node_a, there["address"], 80) == "open"
    assert probes.tcp(zones.node_a, there["address"], 81) == "silent"
    assert probes.tcp(zones.node_b, here["address"], 80) == "silent"
    ports_a.close(), ports_b.close()
