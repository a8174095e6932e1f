"""The rows of scripts/interop: one peer, one feature, one network each. A row that raises does not work."""
import dataclasses
import pathlib
import shutil
import signal
import time
import typing

import capture
import interop
import interop_ikev1
import interop_kernel
import interop_libreswan
import interop_static
import ipsec
import programs
import test_networks
from lab import LabError, command, wait_until


@dataclasses.dataclass
class Row:
    peer: str
    feature: str
    run: typing.Callable
    needs: typing.Callable = lambda: None
    known: str = None  # why it cannot work, where that is known and not ours

    def missing(self):
        return self.needs()


def need_charon():
    return None if ipsec.has_charon() else "strongSwan is not installed"


def need_guest():
    return need_charon() or (None if ipsec.has_guest() else "user-mode-linux is not installed")


def need(program):
    return lambda: need_charon() or (None if shutil.which(program) else f"{program} is not installed")


def basic(**options):
    """Up, data both ways, down."""
    def run(lab):
        pair = interop.Pair(lab, **options)
        peer = pair.call()
        pair.check_data()
        pair.hang_up()
        return peer["suite"]
    return run


def rekeys(by, what, **options):
    """Three rekeys under a flood of echo requests: none is lost."""
    def run(lab):
        ours = {"rekey": "2s"} if by == "ours" else {}
        pair = interop.Pair(lab, ours=ours, **options)
        pair.call()
        before = pair.ours.peer(interop.PEER)
        number = {"child": lambda: pair.ours.peer(interop.PEER)["spi_in"],
                  "ike": lambda: pair.ours.peer(interop.PEER)["ike_spis"]}[what]
        flood = pair.node_a.start("ping", "-i", "0.02", "-c", "300", pair.address())
        seen = {number()}
        deadline = time.monotonic() + 12
        while len(seen) < 4 and time.monotonic() < deadline:
            if by == "theirs":
                pair.peer.rekey(**({"child": "c"} if what == "child" else {"ike": "t"}))
            known = len(seen)
            try:
                wait_until(lambda: seen.add(number()) or len(seen) > known, 4)
            except LabError:
                pass
        flood.popen.wait(30)
        count = interop.received(flood.log)
        if len(seen) < 4:
            raise LabError(f"{len(seen) - 1} rekeys of 3; {before}")
        if count != 300:
            raise LabError(f"{count} of 300 echo requests answered while rekeying")
    return run


def both_rekey(lab):
    """Child and IKE SA, by the clocks of both sides: many meet on the way. No echo request is lost."""
    pair = interop.Pair(lab, ours={"rekey": "2s"}, theirs={"rekey_time": "3s", "rand_time": "0s", "over_time": "60s"},
                        child={"rekey_time": "2s", "rand_time": "0s", "life_time": "60s"})
    pair.call()
    before = pair.ours.peer(interop.PEER)
    flood = pair.node_a.start("ping", "-i", "0.02", "-c", "600", pair.address())
    children, sas = set(), set()

    def note_keys():
        peer = pair.ours.peer(interop.PEER)
        children.add(peer["spi_in"]), sas.add(peer["ike_spis"])
        return not flood.is_running
    wait_until(note_keys, 60, "the pings end", every=0.1)
    count = interop.received(flood.log)
    if count != 600:
        raise LabError(f"{count} of 600 echo requests answered; {len(children)} children, {len(sas)} IKE SAs; {before}")
    if len(children) < 6 or len(sas) < 4:
        raise LabError(f"only {len(children)} children, {len(sas)} IKE SAs")
    return f"{len(children)} children, {len(sas)} IKE SAs, 600 echo requests"


def both_call(lab):
    """At the same time, far from each other: one SA is left, and it stays."""
    pair = interop.Pair(lab, nats=0, theirs={"remote_addrs": "198.51.100.10"})
    for node in (pair.node_a, pair.node_b):
        node.run("tc qdisc add dev eth0 root netem delay 100ms", check=False)
    for _ in range(3):
        call = pair.node_a.start(programs.DETEC, "call", "theirs", "--timeout", "10", "--socket", pair.ours.socket_path)
        try:
            pair.peer.initiate()
        except LabError:
            pass  # of two SAs its own is the one that goes
        if call.popen.wait(20) != 0:
            raise LabError(f"detec call: {call.log}")
        wait_until(lambda: pair.peer.sas().count("ESTABLISHED") == 1, 8, lambda: f"one SA\n{pair.peer.sas()}")
        if pair.ping_there(5) != 5:
            raise LabError(f"no data\n{pair.state()}")
        peer = pair.ours.peer(interop.PEER)
        if {int(peer["spi_in"], 16), int(peer["spi_out"], 16)} != set(ipsec.spis(pair.peer.sas())):
            raise LabError(f"different children\n{pair.state()}")
        pair.ours.detec("hangup theirs")
        wait_until(lambda: not pair.peer.is_up(), 8, "closed")


def other_address(lab):
    """It has two addresses, and says so; the first goes away."""
    pair = interop.Pair(lab, nats=0, ours={"dpd": "2s"})
    old = pair.their_address
    new = old.rsplit(".", 1)[0] + ".77"
    pair.node_b.ip(f"addr add {new}/24 dev eth0")
    pair.call()
    pair.check_data()
    age = pair.ours.peer(interop.PEER)["age_s"]
    gateway = pair.net.east.gateway
    pair.node_b.ip(f"addr del {old}/24 dev eth0", f"addr add {new}/24 dev eth0", f"route add default via {gateway}")
    begun = time.monotonic()
    wait_until(lambda: pair.ping_there(1) == 1, 20, lambda: f"data by its other address\n{pair.state()}")
    took = time.monotonic() - begun
    peer = pair.ours.peer(interop.PEER)
    if old in peer["path"] or peer["age_s"] < age:
        raise LabError(f"not moved: {peer}")
    pair.check_data()
    return f"after {took:.1f} s, to {peer['path'].split()[1]}"


def wrong_group(lab):
    """They take another group than the one we begin with: INVALID_KE_PAYLOAD."""
    pair = interop.Pair(lab, theirs={"proposals": "aes128gcm16-prfsha256-ecp256"})
    pair.call()
    pair.check_data()


def their_wrong_group(lab):
    """They begin with one that we do not take."""
    pair = interop.Pair(lab, we_call=False, theirs={"proposals": "aes128gcm16-prfsha256-modp2048-x25519"})
    pair.call()
    pair.check_data()


def cookies(lab):
    """It is being flooded, and wants to see its cookie again."""
    pair = interop.Pair(lab, charon={"cookie_threshold": 1, "cookie_threshold_ip": 1})
    stranger = lab.host("stranger", pair.net.east)
    begin = ("import hostile_ike, random, socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5);"
             f"[(s.sendto(hostile_ike.whole(random.Random(i)), ('{pair.their_outer}', 500)), s.recv(4096)) for i in range(3)]")
    stranger.run(["/usr/bin/python3", "-c", begin], env={"PYTHONPATH": str(pathlib.Path(__file__).parent)})
    pair.call()
    pair.check_data()
    if "COOKIE" not in pair.peer.log:
        raise LabError("charon has asked for no cookie")


def dead_peer(by):
    """One side is cut off: the other finds out."""
    def run(lab):
        pair = interop.Pair(lab, nats=0, ours={"dpd": "2s"}, theirs={"dpd_delay": "2s"})
        pair.call()
        pair.check_data()
        (pair.node_b if by == "ours" else pair.node_a).ip("link set dev eth0 down")
        if by == "ours":
            pair.ours.wait_peer(interop.PEER, "down", 60)
        else:
            wait_until(lambda: "INSTALLED" not in pair.peer.sas(), 30, "charon gives it up")
    return run


def moves(lab):
    """We get another address: MOBIKE."""
    pair = interop.Pair(lab)
    pair.call()
    pair.check_data()
    old = pair.node_a.address
    new = old.rsplit(".", 1)[0] + ".77"
    pair.node_a.ip(f"addr add {new}/24 dev eth0", f"addr del {old}/24 dev eth0", f"addr add {new}/24 dev eth0",
                   f"route add default via {pair.nat_a.lan.gateway}")
    wait_until(lambda: pair.ping_there(1) == 1, 8, lambda: f"data after the move\n{pair.peer.sas()}\n{pair.ours.process.log[-2000:]}")
    pair.check_data()


def they_move(lab):
    pair = interop.Pair(lab, we_call=False)
    pair.call()
    pair.check_data()
    old = pair.their_address
    new = old.rsplit(".", 1)[0] + ".77"
    pair.node_b.ip(f"addr add {new}/24 dev eth0", f"addr del {old}/24 dev eth0", f"addr add {new}/24 dev eth0",
                   f"route add default via {pair.nat_b.lan.gateway}")
    wait_until(lambda: pair.ping_there(1) == 1, 10, lambda: f"data after the move\n{pair.peer.sas()}\n{pair.ours.process.log[-2000:]}")
    pair.check_data()


def on_demand(lab):
    """The first packet calls."""
    pair = interop.Pair(lab)
    if pair.ping_there(1) != 1:
        raise LabError("the first packet was not answered")


def always(lab):
    pair = interop.Pair(lab, ours={"start": "always"})
    pair.ours.wait_peer(interop.PEER, "up", 10)
    pair.check_data()
    pair.peer.terminate()
    wait_until(lambda: (pair.ours.peer(interop.PEER) or {}).get("state") == "up" and pair.peer.is_up(), 15, "up again")


def fragments(lab):
    """IKE_AUTH with certificates of RSA keys is longer than a packet: both sides send it in fragments (RFC 7383)."""
    pair = interop.Pair(lab, auth="cert", key_kind="rsa", charon={"fragment_size": 576})
    pair.call()
    pair.check_data()
    log = pair.peer.log
    if "into" not in log or "fragment" not in log.split("splitting IKE message")[-1]:
        raise LabError("charon has sent no fragments")


def loaded_anew(lab):
    """SIGHUP: what has not changed goes on, what has begins anew, what is gone is down."""
    pair = interop.Pair(lab)
    before = pair.call()
    pair.ours.process.send_signal(signal.SIGHUP)
    pair.ours.process.wait_log("reloaded")
    if pair.ours.peer(interop.PEER)["spi_in"] != before["spi_in"] or pair.ping_there() != 3:
        raise LabError("a reload of the same configuration has touched the tunnel")
    pair.ours.sections["peer theirs"]["rekey"] = "100s"
    pair.ours.write_config()
    pair.ours.process.send_signal(signal.SIGHUP)
    pair.ours.wait_peer(interop.PEER, "down")
    wait_until(lambda: not pair.peer.is_up(), 5, "charon was told")
    if pair.ping_there(1) != 1:
        raise LabError("the changed peer cannot be called")
    del pair.ours.sections["peer theirs"]
    pair.ours.sections["host"]["name"] = "ours.detec.example.net"
    pair.ours.write_config()
    pair.ours.process.send_signal(signal.SIGHUP)
    wait_until(lambda: not pair.ours.peer(interop.PEER), 5, "the peer is forgotten")


def extended(lab):
    """Extended sequence numbers, and the first 2^32 of them are not ours to wait for."""
    pair = interop.Pair(lab, guest=True, mode="transport", esp=("aes128-gcm", "aes128gcm16-esn"))
    peer = pair.call()
    pair.check_data()
    if not peer["is_extended"]:
        raise LabError("extended sequence numbers were not negotiated")


def rebinding(lab):
    """Their NAT forgets them: data comes from another port, and the way back follows."""
    pair = interop.Pair(lab, we_call=False, guest=True, mode="transport")
    pair.call()
    pair.check_data()
    before = pair.ours.peer(interop.PEER)["path"]
    pair.nat_b.nft("flush chain ip nat postrouting\n"
                   "add rule ip nat postrouting oifname wan meta l4proto udp masquerade to :20000-30000 fully-random\n"
                   "add rule ip nat postrouting oifname wan masquerade")
    pair.nat_b.run("conntrack -F")
    flood = pair.guest.begin(f"ping -c 40 -i 0.2 -W1 {pair.our_name_there}")
    wait_until(lambda: pair.ours.peer(interop.PEER)["path"] != before, 10, lambda: f"the path moves\n{pair.ours.process.log[-1500:]}")
    pair.guest.wait(flood, 30, check=False)
    pair.check_data()


def two_behind_one_nat(lab):
    """Two clients in transport mode behind one NAT, both at once."""
    first = interop.Pair(lab, we_call=False, guest=True, mode="transport")
    guest = ipsec.Guest(lab, "second", first.nat_b.lan)
    second = ipsec.GuestCharon(guest)
    local = {"auth": "psk", "id": "second.example.org"}
    connection = {**first.connection, "local_addrs": guest.address, "local": local}
    second.configure({"t": connection}, {"ike-1": {"id-1": interop.OUR_ID, "id-2": "second.example.org", "secret": f'"{interop.PSK}"'}})
    first.ours.sections["peer second"] = {**first.ours.sections["peer theirs"], "id": "second.example.org"}
    first.ours.write_config()
    first.ours.process.send_signal(signal.SIGHUP)
    first.ours.process.wait_log("reloaded")
    first.call()
    second.initiate()
    first.ours.wait_peer("second.peer.detec.internal")
    for _ in range(2):
        first.check_data()
        count = interop.received(guest.run(f"ping -c 3 -i 0.2 -W2 {first.our_outer}", check=False))
        other = first.ours.peer("second.peer.detec.internal")["address"]
        back = interop.received(first.node_a.run(["ping", "-c3", "-i0.2", "-W2", other], check=False).stdout)
        if (count, back) != (3, 3):
            raise LabError(f"the second client: {count} of 3 pings here, {back} of 3 there")


def judged_by_tshark(esp):
    """A capture of both ways, read with the exported keys: every packet authentic, none malformed."""
    def run(lab):
        export = lab.dir / "keys"
        pair = interop.Pair(lab, esp=(esp, SUITES[esp] + "-noesn"), options=("--export-keys", export))
        captured = capture.Capture(pair.net.node, "east", "udp port 4500 or udp port 500")
        pair.call()
        pair.check_data()
        captured.stop()
        path = captured.path
        tables = [word for row in (lab.dir / "keys.esp_sa").read_text().splitlines() for word in ("-o", f"uat:esp_sa:{row}")]
        fields = ["-T", "fields", "-e", "frame.protocols", "-e", "esp.icv_good", "-e", "esp.icv_bad", "-e", "_ws.malformed"]
        done = command("tshark", "-r", str(path), "-o", "esp.enable_encryption_decode:TRUE",
                       "-o", "esp.enable_authentication_check:TRUE", *tables, "-Y", "esp", *fields, timeout=60)
        rows = [line.split("\t") for line in done.stdout.splitlines()]
        if len(rows) < 12:
            raise LabError(f"only {len(rows)} ESP packets captured")
        spoilt = [row for row in rows if ":esp:ip:" not in row[0] or row[1] != "1" or row[2] == "1" or row[3]]
        if spoilt:
            raise LabError(f"tshark: {len(spoilt)} of {len(rows)} ESP packets are not right: {spoilt[0]}")
        ike = command("tshark", "-r", str(path), "-Y", "isakmp && _ws.malformed", timeout=60).stdout
        if ike.strip():
            raise LabError(f"tshark: malformed IKE: {ike.splitlines()[0]}")
        return f"{len(rows)} packets"
    return run


def hostile(lab):
    """Some 1500 hostile messages to each port: nothing changes, nothing ends."""
    pair = interop.Pair(lab, nats=0, we_call=False)
    pair.call()
    pair.check_data()
    before = pair.ours.memory_kib()
    ike = pair.ours.peer(interop.PEER)["ike_spis"]
    script = pathlib.Path(__file__).with_name("hostile_ike.py")
    stranger = lab.host("stranger", pair.net.east)
    for where in ("500", "4500/marker", "32589/marker"):
        stranger.run(["/usr/bin/python3", script, pair.our_outer, where, "1"], timeout=120)
        pair.check_data()
    after = pair.ours.peer(interop.PEER)
    if after["ike_spis"] != ike:
        raise LabError("the IKE SA is another one")
    grown = pair.ours.memory_kib() - before
    if grown > 8192:
        raise LabError(f"memory has grown by {grown} KiB")
    pair.hang_up()
    pair.call()
    pair.check_data()


def scanned(lab):
    """ike-scan, which offers what it offers: it must understand our answer."""
    pair = interop.Pair(lab, nats=0, we_call=False)
    stranger = lab.host("stranger", pair.net.east)
    done = stranger.run(["ike-scan", "--ikev2", "--sport=0", "--retry=2", "--timeout=1000", pair.our_outer], check=False, timeout=60)
    if "1 returned notify" not in done.stdout and "1 returned handshake" not in done.stdout:
        raise LabError(f"ike-scan: {done.stdout}")
    return done.stdout.split(pair.our_outer)[1].strip().splitlines()[0][:60]


SUITES = {"aes128-gcm": "aes128gcm16", "aes256-gcm": "aes256gcm16", "chacha20-poly1305": "chacha20poly1305",
          "aes128-cbc-sha256": "aes128-sha256", "aes256-cbc-sha256": "aes256-sha256", "aes128-ctr-sha256": "aes128ctr-sha256"}
KEYS = {"Ed25519": "ed25519", "ECDSA P-256": "ecdsa", "ECDSA P-384": "ecdsa384", "RSA-PSS": "rsa"}

_USER = "charon 5.9.8, userspace ESP"
_KERNEL = "charon 5.9.8, Linux 6.1 ESP"

ROWS = [Row(_USER, f"PSK, tunnel, {'we call' if ours else 'it calls'}, {nats} NATs", basic(we_call=ours, nats=nats), need_charon)
        for ours in (True, False) for nats in (0, 1, 2)]
ROWS += [Row(_USER, f"raw key {name}, {'we call' if ours else 'it calls'}",
             basic(auth="pubkey", key_kind=kind, we_call=ours), need_charon)
         for name, kind in KEYS.items() for ours in (True, False)]
ROWS += [Row(_USER, f"certificate {name}, {'we call' if ours else 'it calls'}",
             basic(auth="cert", key_kind=kind, we_call=ours), need_charon)
         for name, kind in KEYS.items() for ours in (True, False)]
ROWS += [Row(_USER, f"suite {name}", basic(esp=(name, theirs)), need_charon) for name, theirs in SUITES.items()]
ROWS += [
    Row(_USER, "first packet calls", on_demand, need_charon),
    Row(_USER, "start = always", always, need_charon),
    Row(_USER, "rekey of the child by us, no loss", rekeys("ours", "child"), need_charon),
    Row(_USER, "rekey of the child by it, no loss", rekeys("theirs", "child"), need_charon),
    Row(_USER, "rekey of the IKE SA by us, no loss", rekeys("ours", "ike"), need_charon),
    Row(_USER, "rekey of the IKE SA by it, no loss", rekeys("theirs", "ike"), need_charon),
    Row(_USER, "rekeys of both by both at once, no loss", both_rekey, need_charon),
    Row(_USER, "both call at once", both_call, need_charon),
    Row(_USER, "wrong group, we call", wrong_group, need_charon),
    Row(_USER, "wrong group, it calls", their_wrong_group, need_charon),
    Row(_USER, "cookies", cookies, need_charon),
    Row(_USER, "dead peer, found by us", dead_peer("ours"), need_charon),
    Row(_USER, "dead peer, found by it", dead_peer("theirs"), need_charon),
    Row(_USER, "MOBIKE, we move", moves, need_charon),
    Row(_USER, "MOBIKE, it moves", they_move, need_charon),
    Row(_USER, "MOBIKE, its other address", other_address, need_charon),
    Row(_USER, "IKE fragments both ways", fragments, need_charon),
    Row(_USER, "reload by SIGHUP", loaded_anew, need_charon),
]
ROWS += [Row(_KERNEL, f"{mode}, {'we call' if ours else 'it calls'}, {nats} NATs",
             basic(we_call=ours, nats=nats, mode=mode, guest=True), need_guest)
         for mode in ("transport", "beet", "tunnel") for ours in (True, False) for nats in ((0, 1, 2) if mode == "transport" else (1,))]
ROWS += [
    Row(_KERNEL, "extended sequence numbers", extended, need_guest),
    Row(_KERNEL, "its NAT gives it another port", rebinding, need_guest),
    Row(_KERNEL, "two clients behind one NAT, transport", two_behind_one_nat, need_guest),
]
ROWS += [Row(peer, f"{mode}, IPv{inner} over IPv{outer}, {'we call' if ours else 'it calls'}",
             basic(we_call=ours, inner=inner, outer=outer, mode=mode, guest=peer is _KERNEL), needs)
         for peer, needs, modes in ((_USER, need_charon, [("tunnel", 6, 4), ("tunnel", 4, 6), ("tunnel", 6, 6)]),
                                    (_KERNEL, need_guest, [("transport", 6, 6), ("beet", 6, 4), ("beet", 4, 6), ("tunnel", 6, 4)]))
         for mode, inner, outer in modes for ours in (True, False)]
ROWS += [Row(_USER, "networks behind both, of both families, several selectors", test_networks.both_ways, need_charon),
         Row(_USER, "networks narrowed by either side", test_networks.narrowed, need_charon)]
ROWS += [Row("tshark 4.0", f"{esp}: all decrypted, no malformed packet", judged_by_tshark(esp), need("tshark"))
         for esp in ("aes256-gcm", "chacha20-poly1305", "aes128-cbc-sha256", "aes128-ctr-sha256")]
ROWS[-3].known = "this tshark has no ChaCha20-Poly1305 for ESP"
ROWS += [
    Row("scapy 2.5", "hostile messages", hostile, need_charon),
    Row("ike-scan 1.9.5", "a correct responder", scanned, need("ike-scan")),
]
ROWS += interop_ikev1.rows(Row, _USER, _KERNEL, need_charon, need_guest)
ROWS += interop_static.rows(Row, need_guest)
ROWS += interop_libreswan.rows(Row, need_guest)
ROWS += interop_kernel.rows(Row, need_charon, need_guest)
