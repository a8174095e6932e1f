"""detecd and an IPsec peer that is not ours: the networks, configurations and checks that rows of scripts/interop and tests share.

    ours ── [LAN ── nata ──] west 198.51.100.0/24 ── net ── east 203.0.113.0/24 [── natb ── LAN] ── theirs

nats: how many of the two NATs stand there: none; one, before whoever calls; or both, the called side's with ports
forwarded to it (500 and 4500, or all UDP).
"""
import ipsec
import programs
from lab import LabError, wait_until

OUR_ID, THEIR_ID = "ours.example.org", "theirs.example.org"
OUR_TS, THEIR_TS = "192.168.10.1", "192.168.20.1"
OUR_TS6, THEIR_TS6 = "2001:db8:a10::1", "2001:db8:a20::1"
PSK = "a shared secret of a few words"
PEER = "theirs.peer.detec.internal"
OUR_NAME = "ours.peer.detec.internal"  # of two detecds, there


def proofs(kind, directory, key_kind="ed25519"):
    """(keys of [peer], charon's local, remote, secrets, files) for one way of proving who one is; both sides the same."""
    local, remote, secrets, files = {"id": THEIR_ID}, {"id": OUR_ID}, {}, {}
    ours = {"id": THEIR_ID, "local-id": OUR_ID}
    if kind == "psk":
        ours.update({"auth": "psk", "psk": f'"{PSK}"'})
        local["auth"] = remote["auth"] = "psk"
        secrets = {"ike-1": {"id-1": OUR_ID, "id-2": THEIR_ID, "secret": f'"{PSK}"'}}
        return ours, local, remote, secrets, files
    if kind == "null":
        local["auth"] = remote["auth"] = "null"
        return {"auth": "null", "local-id": OUR_ID}, local, remote, secrets, files
    our_key, their_key = ipsec.make_key(key_kind), ipsec.make_key(key_kind)
    key_file = directory / "our.key"
    key_file.write_bytes(ipsec.private_pem(our_key))
    key_file.chmod(0o600)
    files[("private", "theirs.pem")] = ipsec.private_pem(their_key)
    local["auth"] = remote["auth"] = "pubkey"
    ours["key"] = key_file
    if kind == "pubkey":
        (directory / "their.pub").write_bytes(ipsec.public_pem(their_key))
        ours.update({"auth": "pubkey", "peer-key": directory / "their.pub"})
        files[("pubkey", "ours.pub")], files[("pubkey", "theirs.pub")] = ipsec.public_pem(our_key), ipsec.public_pem(their_key)
        remote["pubkeys"], local["pubkeys"] = "ours.pub", "theirs.pub"
    elif kind in ("cert", "chain"): # of a CA, or of one below it, all RSA
        root = authority = ipsec.Authority(kind="ecdsa" if kind == "cert" else "rsa")
        (directory / "ca.crt").write_bytes(ipsec.certificate_pem(root.certificate))
        between = b""
        if kind == "chain":
            authority = ipsec.Authority("Test CA below", "rsa", parent=root)
            between = files[("x509ca", "between.crt")] = ipsec.certificate_pem(authority.certificate)
        (directory / "our.crt").write_bytes(ipsec.certificate_pem(authority.issue(our_key, OUR_ID)) + between)
        ours.update({"auth": "cert", "ca": directory / "ca.crt", "cert": directory / "our.crt"})
        files[("x509ca", "ca.crt")] = ipsec.certificate_pem(root.certificate)
        files[("x509", "theirs.crt")] = ipsec.certificate_pem(authority.issue(their_key, THEIR_ID))
        remote["cacerts"], local["certs"] = "ca.crt", "theirs.crt"
    return ours, local, remote, secrets, files


# Both ends of a conversation over TCP and UDP port 7: what comes goes back.
ECHO = """
import select, socket
u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); u.bind(("::", 7))
t = socket.socket(socket.AF_INET6); t.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); t.bind(("::", 7)); t.listen(4)
open_ones = [u, t]
while True:
    for s in select.select(open_ones, [], [])[0]:
        if s is t:
            open_ones.append(t.accept()[0])
        elif s is u:
            data, peer = u.recvfrom(65536); u.sendto(data, peer)
        else:
            data = s.recv(65536)
            s.sendall(data) if data else (open_ones.remove(s), s.close())
"""
TALK = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
u = socket.socket(family, socket.SOCK_DGRAM); u.settimeout(5); u.bind((sys.argv[2], 0)); u.connect((sys.argv[1], 7))
u.send(b"datagram" * 50); assert u.recv(1000) == b"datagram" * 50
t = socket.socket(family); t.settimeout(10); t.bind((sys.argv[2], 0)); t.connect((sys.argv[1], 7))
sent = bytes(range(256)) * 200; t.sendall(sent); got = b""
while len(got) < len(sent):
    part = t.recv(65536); assert part; got += part
assert got == sent
print("talked")
"""


class Pair:
    """detecd at one end, charon at the other, configured for each other and running; nobody has called yet."""

    def __init__(self, lab, we_call=True, nats=1, auth="psk", key_kind="ed25519", mode="tunnel", esp=None, ike=None, guest=False,
                 ours=None, theirs=None, child=None, charon=None, options=(), inner=4, outer=4):
        """inner, outer: IP versions (an outer 6 without NATs). ours, theirs, child: more keys of [peer], of charon's connection, of its child. charon: of strongswan.conf. options: of detecd's
        command line."""
        self.lab, self.net, self.we_call, self.mode = lab, lab.internet(), we_call, mode
        self.inner = inner if mode != "transport" else outer
        self.our_ts, self.their_ts = (OUR_TS6, THEIR_TS6) if inner == 6 else (OUR_TS, THEIR_TS)
        nats = nats if outer == 4 else 0
        self.is_echoing = False
        self.nat_a = self.nat_b = None
        if nats == 2 or nats == 1 and we_call:
            self.nat_a = lab.nat("nata", self.net.west, "full-cone" if nats == 2 and not we_call else "port-restricted",
                                 lan="10.0.1.0/24")
        if nats == 2 or nats == 1 and not we_call:
            self.nat_b = lab.nat("natb", self.net.east, "full-cone" if nats == 2 and we_call else "port-restricted",
                                 lan="10.0.2.0/24")
        self.node_a = lab.host("ours", self.nat_a.lan if self.nat_a else self.net.west)
        their_segment = self.nat_b.lan if self.nat_b else self.net.east
        if guest:
            self.guest = ipsec.Guest(lab, "theirs", their_segment)
            self.peer, self.node_b, self.their_address = self.guest_peer(self.guest, charon), None, self.guest.address
        else:
            self.guest = None
            self.node_b = lab.host("theirs", their_segment)
            self.peer, self.their_address = ipsec.NodeCharon(self.node_b, charon), self.node_b.address
        if outer == 6 and guest:
            self.their_address = str(their_segment.network6[0x99])
            self.guest.run(f"ip -6 addr add {self.their_address}/64 dev vec0 nodad; ip -6 route add default via {their_segment.gateway6}")
        elif outer == 6:
            self.their_address = self.node_b.address6
        self.our_outer = self.nat_a.address if self.nat_a else self.node_a.address6 if outer == 6 else self.node_a.address
        self.their_outer = self.nat_b.address if self.nat_b else self.their_address
        directory = lab.dir / "proofs"
        directory.mkdir(mode=0o700)
        keys, local, remote, secrets, files = proofs(auth, directory, key_kind)
        keys["mode"] = mode
        if mode != "transport":
            keys.update({"local-ts": self.our_ts, "remote-ts": self.their_ts})
            self.their_run(f"ip addr add {self.their_ts} dev lo")
        if we_call:
            keys["address"] = self.their_outer
        keys.update({k: v for k, v in (("esp", esp and esp[0]), ("ike", ike and ike[0])) if v})
        keys.update(ours or {})
        self.ours = programs.Host(self.node_a, allow=["*"])
        self.ours.sections["host"]["log"] = "debug"
        self.ours.options = [str(o) for o in options]
        self.ours.sections["peer theirs"] = keys
        for (folder, name), data in files.items():
            self.peer.put(folder, name, data)
        dynamic = mode == "transport"
        self.connection = {
            "version": 2, "local_addrs": self.their_address, "remote_addrs": "%any" if we_call else self.our_outer,
            "local": local, "remote": remote, **(theirs or {}),
            "children": {"c": {"mode": mode, "local_ts": "dynamic" if dynamic else self.their_ts,
                               "remote_ts": "dynamic" if dynamic else self.our_ts, **(child or {})}}}
        if ike:
            self.connection["proposals"] = ike[1]
        if esp:
            self.connection["children"]["c"]["esp_proposals"] = esp[1]
        self.peer.configure({"t": self.connection}, secrets)
        self.ours.start(login=False)

    guest_peer = staticmethod(ipsec.GuestCharon)

    def their_run(self, command, check=True, timeout=30):
        if self.guest:
            return self.guest.run(command, timeout, check)
        return self.node_b.run(["sh", "-c", command], check=check, timeout=timeout).stdout

    @property
    def our_name_there(self):
        """What their programs call us."""
        return self.our_ts if self.mode != "transport" else self.our_outer

    def call(self):
        if self.we_call:
            done = self.ours.detec(["call", "theirs", "--timeout", "20"], check=False)
            if done.returncode:
                raise LabError(f"detec call: {done.stdout}{done.stderr}\n{self.ours.process.log[-3000:]}\n{self.peer.log[-6000:]}")
        else:
            self.peer.initiate()
        return self.ours.wait_peer(PEER)

    @property
    def _any(self):
        return "::" if self.inner == 6 else "0.0.0.0"

    def address(self):
        """Of the peer, here."""
        return self.ours.peer(PEER)["address_ipv6" if self.inner == 6 else "address"]

    def ping_there(self, count=3, interval=0.2, size=56):
        """From here to them: how many were answered."""
        done = self.node_a.run(["ping", "-c", str(count), "-i", str(interval), "-W2", "-s", str(size), self.address()], check=False)
        return received(done.stdout)

    def ping_here(self, count=3, interval=0.2):
        """From them to here."""
        source = f"-I {self.their_ts}" if self.mode != "transport" else ""
        return received(self.their_run(f"ping -c {count} -i {interval} -W2 {source} {self.our_name_there}", check=False))

    def check_data(self):
        """Both ways: echo requests, and TCP with more than one packet."""
        for way, count in (("there", self.ping_there()), ("here", self.ping_here())):
            if count != 3:
                raise LabError(f"pings {way}: {count} of 3 answered\n{self.state()}")
        self.talk()

    def state(self):
        return f"{self.ours.peer(PEER)}\n{self.ours.status()['drops']}\n{self.peer.sas()}\n{self.ours.process.log[-2000:]}"

    def talk(self):
        """TCP and UDP with real content, both ways."""
        if not self.is_echoing:
            script = self.lab.dir / "echo.py"
            script.write_text(ECHO)
            (self.lab.dir / "talk.py").write_text(TALK)
            self.node_a.start("/usr/bin/python3", script)
            if self.guest:
                self.guest.run(f"nohup /usr/bin/python3 {script} >/run/echo.out 2>&1 </dev/null &")
            else:
                self.node_b.start("/usr/bin/python3", script)
            self.is_echoing = True
            wait_until(lambda: programs.is_listening(self.node_a, 7), 5, "our echo server listens")
            wait_until(lambda: ":7 " in self.their_run("ss -Hlnt"), 10, "their echo server listens")
        talk = f"/usr/bin/python3 {self.lab.dir}/talk.py"
        done = self.node_a.run([*talk.split(), self.address(), self._any], check=False)
        if "talked" not in done.stdout:
            raise LabError(f"TCP and UDP there: {done.stderr.strip().splitlines()[-1:]}\n{self.state()}")
        text = self.their_run(f"{talk} {self.our_name_there} {self.their_ts if self.mode != 'transport' else self._any} 2>&1", check=False)
        if "talked" not in text:
            raise LabError(f"TCP and UDP here: {text.strip().splitlines()[-1:]}\n{self.state()}")

    def hang_up(self):
        if self.we_call:
            self.ours.detec("hangup theirs")
        else:
            self.peer.terminate()
        self.ours.wait_peer(PEER, "down")
        wait_until(lambda: not self.peer.is_up(), 5, lambda: f"charon has closed\n{self.peer.sas()}")


class Two:
    """Two detecds that know each other as [peer]s."""

    def __init__(self, lab, ours=None, theirs=None, has_nat=True, quality=None):
        net = lab.internet()
        self.nat = lab.nat("nata", net.west, "port-restricted", lan="10.0.1.0/24") if has_nat else None
        self.node_a = lab.host("ours", self.nat.lan if has_nat else net.west, quality=quality)
        self.node_b = lab.host("theirs", net.east)
        common = {"auth": "psk", "psk": f'"{PSK}"', "dpd": "2s"}
        self.ours = self._host(self.node_a, "theirs", {**common, "address": self.node_b.address, "id": THEIR_ID,
                                                       "local-id": OUR_ID, "local-ts": OUR_TS,
                                                       "remote-ts": THEIR_TS, **(ours or {})})
        self.theirs = self._host(self.node_b, "ours", {**common, "id": OUR_ID, "local-id": THEIR_ID,
                                                       "local-ts": THEIR_TS, "remote-ts": OUR_TS,
                                                        **({} if has_nat else {"address": self.node_a.address}), **(theirs or {})})

    @staticmethod
    def _host(node, peer, keys):
        host = programs.Host(node, allow=["*"])
        host.sections["host"]["log"] = "debug"
        host.sections[f"peer {peer}"] = keys
        return host.start(login=False)

    def ping(self, count, interval=0.1, start=False):
        line = ["ping", "-c", str(count), "-i", str(interval), "-W3", self.ours.peer(PEER)["address"]]
        return self.node_a.start(*line) if start else received(self.node_a.run(line, check=False).stdout)


def received(ping):
    return int(ping.split(" received")[0].split()[-1]) if " received" in ping else 0
