"""Ways to the connector: port 4500, port 443, TLS, an HTTP proxy; and connectors that go, come back and move.

    a ── LAN ── nata (firewall) ── west 198.51.100.0/24 ── net ── east 203.0.113.0/24 ── b (public)
                                     │                              │
                                   proxy                   connector, resolver

Only what the test says leaves a's network; b is free. What a's firewall drops vanishes without a word.
"""
import time

import pytest

import capture
import lab as labs
import programs
import topologies

NAME_A, NAME_B = "a.detec.example.net", "b.detec.example.net"
QUICK = {"attempt_timeout": "1s"}
USER, PASSWORD, ENCODED = "ann", "s3cret", "s3cr%65t"
FOUND_S = 8
BACK_S = 8  # after a connector has come back that was away for a moment


def make(lab, a=None, **options):
    return topologies.Calls(lab, nat_b="none", a={**QUICK, **(a or {})}, b=QUICK, **options)


def firewall(calls, *allowed, verdict="drop"):
    """What leaves the LAN: answers, and what is allowed."""
    rules = "; ".join(f'iifname "lan" {rule} accept' for rule in allowed)
    calls.nat_a.nft(f"""table ip firewall {{
        chain forward {{ type filter hook forward priority 10; iifname "wan" accept; {rules + ";" if rules else ""} {verdict}
        }}
    }}""")


def no_firewall(calls):
    calls.nat_a.nft("delete table ip firewall")


DNS = "udp dport 53"


def start(calls):
    """Everybody but a."""
    calls.connector.start()
    calls.connector.add(calls.a), calls.connector.add(calls.b)
    calls.b.start()


def log_in(calls, within=FOUND_S):
    """a begins; returns how it is connected and how long that took."""
    calls.a.start(login=False)
    begin = time.monotonic()
    calls.a.wait_login(20)
    took = time.monotonic() - begin
    if "asan" not in str(labs.BUILD):
        assert took < within, (took, calls.a.process.log)
    return calls.a.status()["login"]["way"]


def check_call(calls):
    """A whole call, relayed as nothing else gets through, from either side."""
    calls.node_a.run(["ping", "-c2", "-W10", "-i0.2", NAME_B])
    assert calls.a.wait_peer(NAME_B)["path"] == "relay detec.example.net"
    calls.node_b.run(["ping", "-c1", "-W10", NAME_A])


def test_port_4500_where_it_is_open(lab):
    calls = make(lab)
    start(calls)
    assert log_in(calls, 3) == "tcp 4500"
    assert "(tcp 4500)" in calls.a.detec("status").stdout


def test_only_port_443_out(lab):
    calls = make(lab)
    firewall(calls, DNS, "tcp dport 443")
    start(calls)
    assert log_in(calls) == "tcp 443"
    check_call(calls)


@pytest.mark.parametrize("how", ["DROP", "REJECT --reject-with tcp-reset"])
def test_only_tls_on_port_443(lab, how):
    """A box that looks into port 443: what is not TLS is swallowed, or its connection is reset."""
    calls = make(lab)
    firewall(calls, DNS, "tcp dport 443")
    # On the way there "IKETCP", the first bytes of a plain stream, are seen.
    calls.nat_a.run(f"iptables -I FORWARD -i lan -p tcp --dport 443 -m string --algo bm --string IKETCP -j {how}")
    seen = capture.Capture(calls.net.node, "west", "tcp port 443")
    start(calls)
    assert log_in(calls) == "tls 443"
    check_call(calls)
    tls = [p for p in seen.stop() if p.payload and p.destination_port == 443]
    assert any(p.payload[:3] == b"\x16\x03\x01" for p in tls), "a ClientHello"
    assert not any(NAME_A.encode() in p.payload for p in tls), "a's name travels in clear"
    answer = calls.connector.ask("status")
    assert answer.get("status", answer)["in_tls"] == 1


def test_tcp_accepted_and_swallowed_everywhere_but_tls(lab):
    """Something in between accepts any connection to ports 4500 and says nothing."""
    calls = make(lab)
    firewall(calls, DNS, "tcp dport 443")
    calls.nat_a.run("iptables -I FORWARD -i lan -p tcp --dport 443 -m string --algo bm --string IKETCP -j DROP")
    sink = calls.nat_a.socket(kind=1, bind=("0.0.0.0", 4500))
    sink.listen(16)
    calls.nat_a.nft('table ip sink { chain pre { type nat hook prerouting priority -150; iifname "lan" tcp dport 4500 redirect; }\n}')
    start(calls)
    assert log_in(calls) == "tls 443"
    sink.close()


def start_proxy(lab, calls, port=3128, credentials=True, connect_port=443):
    """tinyproxy as most offices have it: CONNECT to one port alone."""
    node = lab.host("proxy", calls.net.west)
    node.use_resolver(calls.resolver.addresses[0], options="timeout:3")
    config = lab.dir / "tinyproxy.conf"
    auth = f"BasicAuth {USER} {PASSWORD}\n" if credentials else ""
    config.write_text(f"User root\nGroup root\nPort {port}\nListen {node.address}\nTimeout 600\nMaxClients 50\nLogLevel Connect\n"
                      f"{auth}ConnectPort {connect_port}\n")
    node.process = node.start("tinyproxy", "-d", "-c", config)
    labs.wait_until(lambda: programs.is_listening(node, port), 10, lambda: node.process.log)
    return node


def test_a_proxy_as_the_only_way_out(lab):
    """Found by itself, with user and password, and no DNS but that of the proxy: the connector is asked for by its name."""
    calls = make(lab)
    proxy = start_proxy(lab, calls)
    calls.a.sections["host"]["proxy"] = f"http://{USER}:{ENCODED}@{proxy.address}:3128"
    firewall(calls, f"ip daddr {proxy.address} tcp dport 3128", DNS)
    start(calls)
    assert log_in(calls) == f"tls 443 via http://{proxy.address}:3128"
    check_call(calls)
    said = calls.a.process.log + calls.a.detec("status --json").stdout + calls.a.detec("status").stdout
    assert PASSWORD not in said and ENCODED not in said and "YW5u" not in said


def test_a_proxy_without_dns(lab):
    """The proxy is given by the environment; names of the outside are its business."""
    calls = make(lab, a={"dns": "off"})
    proxy = start_proxy(lab, calls, credentials=False)
    firewall(calls, f"ip daddr {proxy.address} tcp dport 3128")
    start(calls)
    calls.a.sections["trust"] = {"connector_key": f"{calls.connector.zone} {calls.connector.public_key}"}
    calls.a.start(login=False, env={"https_proxy": f"http://{proxy.address}:3128/"})
    begin = time.monotonic()
    calls.a.wait_login(20)
    assert time.monotonic() - begin < FOUND_S or "asan" in str(labs.BUILD)
    assert calls.a.status()["login"]["way"] == f"tls 443 via http://{proxy.address}:3128"


@pytest.mark.parametrize("case, said", [("wrong password", "a user and a password"), ("no password", "a user and a password"),
                                        ("port not allowed", "it refuses (403)"), ("nobody there", "connection refused")])
def test_a_proxy_that_refuses(lab, case, said):
    """`detec status` says what the proxy says."""
    calls = make(lab)
    proxy = start_proxy(lab, calls, credentials="password" in case, connect_port=8443 if case == "port not allowed" else 443)
    if case == "nobody there":
        proxy.process.stop()
    user = f"{USER}:wrong@" if case == "wrong password" else ""
    calls.a.sections["host"]["proxy"] = f"http://{user}{proxy.address}:3128"
    firewall(calls, f"ip daddr {proxy.address} tcp dport 3128", DNS, verdict="reject")
    start(calls)
    calls.a.start(login=False)
    labs.wait_until(lambda: "by the proxy: " in str(calls.a.status()["login"]["error"]), 15, lambda: calls.a.process.log)
    assert said in calls.a.status()["login"]["error"].split("by the proxy: ")[1]
    assert said in calls.a.detec("status").stdout and "wrong" not in calls.a.detec("status").stdout


def test_the_way_that_worked_goes_first(lab):
    """A session that is cut comes back by the way that worked, at once; in another network the best one is tried again."""
    calls = make(lab)
    firewall(calls, DNS, "tcp dport 443")
    start(calls)
    assert log_in(calls) == "tcp 443"
    before = calls.a.status()["login"]["since_s"]
    seen = capture.Capture(calls.nat_a, "lan", "tcp dst port 4500 or tcp dst port 443")
    begin = time.monotonic()
    calls.connector.kill()
    calls.connector.start()
    labs.wait_until(lambda: calls.a.login_state() == "logged-in" and calls.a.status()["login"]["since_s"] < time.monotonic() - begin, 15,
                    lambda: calls.a.process.log)
    assert calls.a.status()["login"]["way"] == "tcp 443"
    first = next(p for p in seen.stop() if p.destination_port in (443, 4500))
    assert first.destination_port == 443 and before is not None


def count_round_trips(packets, host):
    """Round trips of each connection of this host, from its first SYN: how often the turn to speak came to the host."""
    connections = {}
    for p in packets:
        if p.protocol == 6 and host in (p.source, p.destination):
            key = p.source_port if p.source == host else p.destination_port
            connections.setdefault(key, []).append(p)
    counts = []
    for packets in connections.values():
        turns, last = 1, None  # 1: TCP's own
        for p in packets:
            if p.payload:
                turns += p.source == host and last != host
                last = p.source
        counts.append((turns, packets))
    return counts


def connector_status(calls):
    answer = calls.connector.ask("status")
    return answer.get("status", answer)


def test_a_restarted_connector_is_resumed(lab):
    """Its hosts come back by tickets, in three round trips instead of four, however often they found nobody there meanwhile;
    after the ticket keys are lost, in full."""
    calls = make(lab)
    start(calls)
    seen = capture.Capture(calls.net.node, "east", f"tcp port 4500 and host {calls.nat_a.address}")
    log_in(calls)
    def logged_in_again():
        return calls.a.login_state() == "logged-in" and connector_status(calls)["sessions"] == 2
    def turns():
        """NAME comes right behind the answer to IKE_AUTH, or to LOGIN: the last of these is the empty answer to it."""
        counts = count_round_trips(seen.stop(), calls.nat_a.address)
        return [t for t, packets in counts if any(p.payload[:6] == b"IKETCP" for p in packets if p.payload)]
    calls.connector_node.nft("table ip seen { counter syn { }\n chain c { type filter hook prerouting priority -300\n"
                             "tcp flags & (syn | ack) == syn tcp dport 4500 counter name syn\n}\n}")
    def tries():
        return int(calls.connector_node.run("nft list counter ip seen syn").stdout.split("packets ")[1].split()[0])
    assert connector_status(calls)["resumed"] == 0
    assert turns() == [1 + 4]
    for lost, resumed in ((False, 2), (True, 0)):
        calls.connector.kill()
        before = tries()
        labs.wait_until(lambda: tries() >= before + 2 * 2, 10, lambda: f"{before} {tries()} {calls.a.process.log}")
        if lost:
            (calls.connector.dir / "hosts.db.tickets").unlink()
        seen = capture.Capture(calls.net.node, "east", f"tcp port 4500 and host {calls.nat_a.address}")
        calls.connector.start()
        labs.wait_until(logged_in_again, 20 if lost else BACK_S, lambda: f"{connector_status(calls)} {calls.a.process.log}")
        assert connector_status(calls)["resumed"] == resumed, connector_status(calls)
        assert turns()[-1] == 1 + (5 if lost else 3)
    assert calls.a.status()["login"]["way"] == "tcp 4500"


def test_black_holed_and_moved(lab):
    """The connector's address is a black hole now, and DNS names another one: found while the old one is still being tried."""
    calls = make(lab, a={"lease": "30s"})  # whose connection is asked about each 10 s
    start(calls)
    log_in(calls)
    second = lab.host("second", calls.net.east)
    calls.net.node.nft(f"table ip hole {{ chain f {{ type filter hook forward priority 0; ip daddr {calls.connector_node.address} drop; "
                       f"ip saddr {calls.connector_node.address} drop; }}; }}")
    moved = programs.Connector(second, calls.connector.zone)
    moved.sections["connector"].update(key=calls.connector.key_path, database=calls.connector.dir / "hosts.db")
    moved.start()
    calls.resolver.process.stop()
    calls.resolver = programs.Resolver(calls.resolver_node, {calls.connector.zone: second.address}, cache=0)
    begin = time.monotonic()
    labs.wait_until(lambda: calls.a.login_state() == "logged-in" and calls.a.status()["login"]["connector"] == f"{second.address}:4500", 60,
                    lambda: f"{calls.a.status()['login']} {calls.a.process.log}")
    print("moved after", time.monotonic() - begin)


NOTICED_S = 10  # while tunnels are in use; 9 s by the constants


def test_black_hole_under_an_open_session(lab):
    """The connector vanishes without a word: noticed within seconds while a tunnel carries data, which goes on."""
    calls = make(lab)
    start(calls)
    log_in(calls)
    check_direct = calls.node_a.run(["ping", "-c1", "-W10", NAME_B])
    assert " 0% packet loss" in check_direct.stdout
    address = calls.a.wait_peer(NAME_B)["address"]
    ping = calls.node_a.start("ping", "-n", "-i0.2", "-c100", "-q", address)
    labs.wait_until(lambda: calls.a.peer(NAME_B)["packets_out"] > 10, 10, "the tunnel is in use")
    calls.net.node.nft(f"table ip hole {{ chain f {{ type filter hook forward priority 0; ip daddr {calls.connector_node.address} drop; "
                       f"ip saddr {calls.connector_node.address} drop; }}; }}")
    begin = time.monotonic()
    labs.wait_until(lambda: calls.a.login_state() != "logged-in", 30, lambda: str(calls.a.status()["login"]))
    noticed = time.monotonic() - begin
    print("noticed after", noticed)
    assert noticed < NOTICED_S, calls.a.process.log
    calls.net.node.nft("delete table ip hole")
    calls.a.wait_login(30)
    print("back after", time.monotonic() - begin)
    ping.popen.wait(30)
    assert " 0% packet loss" in ping.log, ping.log


def test_one_of_two_addresses_is_a_black_hole(lab):
    """DNS names two connectors' addresses, the first swallows everything: the other one is used, at the first log-in and later."""
    calls = make(lab)
    second = lab.host("second", calls.net.east)
    hole = lab.host("hole", calls.net.east)
    calls.net.node.nft(f"table ip hole {{ counter syn {{ }}; chain f {{ type filter hook forward priority 0; "
                       f"ip daddr {hole.address} counter name syn drop; }}; }}")
    start(calls)
    calls.resolver.process.stop()
    zone = calls.connector.zone
    calls.resolver = programs.Resolver(calls.resolver_node, {}, cache=0, options=[
        f"--srv-host=_detec._tcp.{zone},hole.{zone},4500,1", f"--srv-host=_detec._tcp.{zone},second.{zone},4500,2",
        f"--host-record=hole.{zone},{hole.address}", f"--host-record=second.{zone},{second.address}", f"--local=/{zone}/"])
    calls.connector.stop()
    twin = programs.Connector(second, zone)
    twin.sections["connector"].update(key=calls.connector.key_path, database=calls.connector.dir / "hosts.db")
    twin.start()
    calls.a.sections["trust"] = {"connector_key": f"{zone} {calls.connector.public_key}"}
    assert log_in(calls) == "tcp 4500"
    assert calls.a.status()["login"]["connector"] == f"{second.address}:4500"
    assert "packets 0" not in calls.net.node.run("nft list counter ip hole syn").stdout, "the first one was not tried"


def test_another_address_of_a_connector_that_vanishes(lab):
    """Of two addresses the one in use swallows everything from now on: the other one has been tried before the old one is given up."""
    calls = make(lab)
    start(calls)
    zone, first = calls.connector.zone, calls.connector_node.address
    twin = programs.Connector(lab.host("second", calls.net.east), zone)
    twin.sections["connector"].update(key=calls.connector.key_path, database=calls.connector.dir / "hosts.db")
    twin.start()
    second = twin.node.address
    calls.resolver.process.stop()
    calls.resolver = programs.Resolver(calls.resolver_node, {}, cache=0, options=[
        f"--srv-host=_detec._tcp.{zone},one.{zone},4500,1", f"--srv-host=_detec._tcp.{zone},two.{zone},4500,2",
        f"--host-record=one.{zone},{first}", f"--host-record=two.{zone},{second}", f"--host-record={NAME_B},0.0.0.1",
        f"--local=/{zone}/"])
    calls.a.sections["trust"] = {"connector_key": f"{zone} {calls.connector.public_key}"}
    log_in(calls)
    assert calls.a.status()["login"]["connector"] == f"{first}:4500"
    end = calls.a.call(NAME_B)[-1]
    assert end["up"], end
    address = calls.a.peer(NAME_B)["address"]
    ping = calls.node_a.start("ping", "-n", "-i0.2", "-c100", "-q", address)
    calls.net.node.nft(f"table ip hole {{ chain f {{ type filter hook forward priority 0; ip daddr {first} drop; ip saddr {first} drop; }}; }}")
    begin = time.monotonic()
    labs.wait_until(lambda: calls.a.login_state() == "logged-in" and calls.a.status()["login"]["connector"] == f"{second}:4500", 30,
                    lambda: f"{calls.a.status()['login']} {calls.a.process.log}")
    took = time.monotonic() - begin
    print("at the other address after", took)
    assert took < NOTICED_S
    assert "does not answer; trying it anew meanwhile" in calls.a.process.log
    ping.stop()


def test_relayed_while_strangers_flood(lab):
    """Connections without end to both ports, from many addresses, while two hosts talk through the connector: nothing gets lost,
    and one more host gets in."""
    calls = make(lab, connector_settings={"sessions": 60, "sessions_per_address": 40})
    firewall(calls, DNS, "tcp dport 443")
    start(calls)
    log_in(calls)
    check_call(calls)
    strangers = [lab.host(f"stranger{i}", calls.net.west) for i in range(4)]
    before = calls.connector.memory_kib()
    ping = calls.node_a.start("ping", "-c", "30", "-i", "0.1", "-W", "5", NAME_B, name="pings")
    openings = [b"", b"\x16\x03\x01\x02\x00\x01", b"IKETCP", b"GET / HTTP/1.1\r\n\r\n", b"IKETCP\x0f\xff" + bytes(900)]
    held, count = [], 0
    while "packets transmitted" not in ping.log:
        sock = strangers[count % 4].socket(kind=1, timeout=5)
        sock.connect((calls.connector_node.address, (443, 4500)[count // 4 % 2]))
        sock.send(openings[count % len(openings)])
        held.append(sock)
        count += 1
        if len(held) > 200:
            held.pop(0).close()
        if count == 200:
            c = calls.add_host("c", calls.net.east, **QUICK)
            calls.connector.add(c)
            c.start()
    assert count > 300 and connector_status(calls)["connections"] <= 60
    assert "30 received" in ping.log or "asan" in str(labs.BUILD), ping.log
    assert calls.a.peer(NAME_B)["path"] == "relay detec.example.net"
    for sock in held:
        sock.close()
    assert calls.connector.memory_kib() - before < 8192
    assert all(host.login_state() == "logged-in" for host in (calls.a, calls.b, c))
