"""Rows of scripts/interop that leave IKE out: manual SAs in a guest's kernel, and our data path (lab_esp_peer) with the same keys.

    ours (lab_esp_peer) ── west 198.51.100.0/24 ── net ── east 203.0.113.0/24 ── theirs (guest, `ip xfrm state add ... encap espinudp`)

Programs here know the far end as 10.77.0.2 and themselves as 10.77.0.1; in the SAs of BEET and tunnel mode stand 192.168.99.2
(ours) and 192.168.99.3, so that the guest's kernel, which verifies checksums in both, judges our translation as well.
"""
import os
import re
import subprocess

import interop
import ipsec
from lab import BUILD, LabError, wait_until

PROGRAM = BUILD / "tests/lab/lab_esp_peer"
OWN, PEER = "10.77.0.1", "10.77.0.2"
WIRE_OWN, WIRE_PEER = "192.168.99.2", "192.168.99.3"
PORT = 4500
SPI_TO_US, SPI_TO_THEM = 0x2002, 0x1001
BORDER = 1 << 32

# Our name, bytes of cipher key with salt or nonce, has an HMAC key of 32 bytes behind it, Linux's name.
SUITES = {
    "aes128-gcm": (20, False, "rfc4106(gcm(aes))"),
    "aes256-gcm": (36, False, "rfc4106(gcm(aes))"),
    "chacha20-poly1305": (36, False, "rfc7539esp(chacha20,poly1305)"),
    "aes128-cbc-sha256": (16, True, "cbc(aes)"),
    "aes256-cbc-sha256": (32, True, "cbc(aes)"),
    "aes128-ctr-sha256": (20, True, "rfc3686(ctr(aes))"),
    "aes256-ctr-sha256": (36, True, "rfc3686(ctr(aes))"),
}

ENCAP = """
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("0.0.0.0", %d))
s.setsockopt(socket.IPPROTO_UDP, 100, 2)  # UDP_ENCAP, UDP_ENCAP_ESPINUDP
time.sleep(3600)
"""


class Static:
    """Both ends, with the same SAs."""

    def __init__(self, lab, suite="aes128-gcm", mode="beet", esn=False, first=1, their_extra=""):
        net = lab.internet()
        self.lab, self.mode = lab, mode
        self.node, self.guest = lab.host("ours", net.west), ipsec.Guest(lab, "theirs", net.east)
        cipher, has_mac, _ = SUITES[suite]
        self.keys = {way: os.urandom(cipher + (32 if has_mac else 0)) for way in ("in", "out")}
        bare = mode == "transport"
        self.wire = (self.node.address, self.guest.address) if bare else (WIRE_OWN, WIRE_PEER)
        self.configure_guest(suite, esn, first, their_extra)
        self.node.sysctl("net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0")
        self.process = self.node.start(
            PROGRAM, "sa0", PORT, f"{self.guest.address}:{PORT}", f"esp-{suite}", mode, "esn" if esn else "short",
            hex(SPI_TO_US), self.keys["in"].hex(), hex(SPI_TO_THEM), self.keys["out"].hex(), OWN, PEER, *self.wire, first,
            stdin=subprocess.PIPE)
        self.process.wait_log("ready")
        self.node.ip("link set dev sa0 mtu 1300 up", f"addr add {OWN}/32 dev sa0", f"route add {PEER}/32 dev sa0 src {OWN}")

    def configure_guest(self, suite, esn, first, extra):
        ours, theirs = self.node.address, self.guest.address
        own, peer = self.wire
        here, there = (ours, theirs) if self.mode == "transport" else (f"{own}/32", f"{peer}/32")
        replay = ""
        if first > 1:
            seen, high = (first - 1) & 0xFFFFFFFF, (first - 1) >> 32
            replay = f"replay-seq {seen:#x} replay-seq-hi {high:#x}"
            sent = f"replay-oseq {seen:#x} replay-oseq-hi {high:#x}"
        else:
            sent = ""
        flags = "flag esn" if esn else ""

        def state(src, dst, spi, key, numbers, more):
            selector = f"sel src {own} dst {peer}" if src == ours else f"sel src {peer} dst {own}"
            return (f"ip xfrm state add src {src} dst {dst} proto esp spi {spi:#x} reqid 1 mode {self.mode} replay-window 64 {flags} "
                    f"{self.algorithms(suite, key)} encap espinudp {PORT} {PORT} 0.0.0.0 {numbers} {more} "
                    f"{selector if self.mode == 'beet' else ''}")

        def policy(src, dst, way, outer):
            return f"ip xfrm policy add src {src} dst {dst} dir {way} priority 9 tmpl src {outer[0]} dst {outer[1]} proto esp reqid 1 mode {self.mode}"

        (self.guest.dir / "encap.py").write_text(ENCAP % PORT)
        lines = ["set -e", f"nohup /usr/bin/python3 {self.guest.dir}/encap.py >/run/encap.out 2>&1 </dev/null &",
                 state(ours, theirs, SPI_TO_THEM, self.keys["out"], replay, ""),
                 state(theirs, ours, SPI_TO_US, self.keys["in"], sent, extra),
                 policy(here, there, "in", (ours, theirs)), policy(there, here, "out", (theirs, ours))]
        if self.mode == "transport":  # what carries the ESP goes past them
            lines += [f"ip xfrm policy add proto udp dport {PORT} dir in priority 1 action allow",
                      f"ip xfrm policy add proto udp sport {PORT} dir out priority 1 action allow"]
        else:
            lines += [f"ip addr add {peer}/32 dev lo", f"ip route add {own}/32 dev vec0 src {peer} via $(ip route show default | cut -d' ' -f3)"]
        lines += ["for i in $(seq 50); do ss -Hlnu | grep -q ':%d ' && break; sleep 0.05; done" % PORT]
        self.guest.run("\n".join(lines))

    @staticmethod
    def algorithms(suite, key):
        length, has_mac, name = SUITES[suite]
        if not has_mac:
            return f"aead '{name}' 0x{key.hex()} 128"
        return f"enc '{name}' 0x{key[:length].hex()} auth-trunc 'hmac(sha256)' 0x{key[length:].hex()} 128"

    def tell(self, line):
        """Has our end obey."""
        count = self.process.log.count(f"did {line}\n")
        self.process.popen.stdin.write(f"{line}\n".encode())
        self.process.popen.stdin.flush()
        wait_until(lambda: self.process.log.count(f"did {line}\n") > count, 5, lambda: f"{line}\n{self.process.log}")

    def stat(self):
        """What our end has carried and dropped."""
        self.tell("stat")
        last = [line for line in self.process.log.splitlines() if line.startswith("sent=")][-1]
        return {name: int(value) for name, value in re.findall(r"([a-z-]+)=(\d+)", last)}

    def their_counts(self):
        """What the guest's kernel has refused."""
        text = self.guest.run("cat /proc/net/xfrm_stat; ip -s xfrm state")
        counts = {name: int(value) for name, value in re.findall(r"^(Xfrm\w+)\s+(\d+)", text, re.M)}
        counts["replay"] = sum(int(n) for n in re.findall(r"replay (\d+) failed", text))
        counts["failed"] = sum(int(n) for n in re.findall(r"failed (\d+)", text))
        return counts

    def ping_there(self, count=3, size=56):
        done = self.node.run(["ping", "-c", str(count), "-i", "0.05", "-W2", "-s", str(size), PEER], check=False)
        return interop.received(done.stdout)

    def ping_here(self, count=3, size=56):
        source = f"-I {self.wire[1]}" if self.mode != "transport" else ""
        return interop.received(self.guest.run(f"ping -c {count} -i 0.05 -W2 -s {size} {source} {self.wire[0]}", check=False))

    def check_data(self, count=3):
        """Echo requests both ways of several sizes (so every length of padding), then TCP and UDP."""
        for size in (56, 57, 58, 59, 1000):
            there, here = self.ping_there(count, size), self.ping_here(count, size)
            if (there, here) != (count, count):
                raise LabError(f"pings of {size} bytes: {there} of {count} there, {here} here; {self.stat()}; {self.their_counts()}")
        (self.lab.dir / "echo.py").write_text(interop.ECHO)
        (self.lab.dir / "talk.py").write_text(interop.TALK)
        self.node.start("/usr/bin/python3", self.lab.dir / "echo.py")
        self.guest.run(f"nohup /usr/bin/python3 {self.lab.dir}/echo.py >/run/echo.out 2>&1 </dev/null &")
        wait_until(lambda: ":7 " in self.guest.run("ss -Hlnt"), 10, "their echo server listens")
        wait_until(lambda: ":7 " in self.node.run("ss -Hlnt").stdout, 10, "our echo server listens")
        done = self.node.run(["/usr/bin/python3", self.lab.dir / "talk.py", PEER, OWN], check=False)
        if "talked" not in done.stdout:
            raise LabError(f"TCP and UDP there: {done.stderr.strip().splitlines()[-1:]}; {self.stat()}; {self.their_counts()}")
        text = self.guest.run(f"/usr/bin/python3 {self.lab.dir}/talk.py {self.wire[0]} {self.wire[1]} 2>&1", check=False)
        if "talked" not in text:
            raise LabError(f"TCP and UDP here: {text.strip().splitlines()[-1:]}; {self.stat()}; {self.their_counts()}")


def carried(**options):
    """All sizes, both ways; nothing is refused by either."""
    def run(lab):
        static = Static(lab, **options)
        static.check_data()
        stat, counts = static.stat(), static.their_counts()
        refused = {name: stat[name] for name in ("replay", "not-authentic", "malformed", "length") if stat[name]}
        refused.update({name: n for name, n in counts.items() if n and name.startswith("XfrmIn")})
        if refused:
            raise LabError(f"refused: {refused}")
    return run


def over_the_border(lab):
    """Extended numbers, both directions beginning just below 2^32."""
    static = Static(lab, suite="aes256-gcm", esn=True, first=BORDER - 20)
    if static.stat()["number"] >= BORDER:
        raise LabError("it began above the border")
    for _ in range(4):
        if static.ping_there(10) != 10 or static.ping_here(10) != 10:
            raise LabError(f"over the border: {static.stat()}; {static.their_counts()}")
    stat = static.stat()
    if stat["number"] <= BORDER or stat["highest"] <= BORDER:
        raise LabError(f"the border was not crossed: {stat}")
    numbers = static.guest.run("ip -d xfrm state")
    if len(re.findall(r"seq-hi 0x1\b", numbers)) < 1 or len(re.findall(r"oseq-hi 0x1\b", numbers)) < 1:
        raise LabError(f"the guest's numbers: {numbers}")
    static.tell("resend")  # from above the border
    wait_until(lambda: static.their_counts()["replay"] == 1, 5, lambda: f"a replay is dropped there {static.their_counts()}")


def ends_at_the_border(lab):
    """Numbers of 32 bits: the last one is sent, and then nothing more, as the standard has it."""
    static = Static(lab, first=BORDER - 8)
    if not 0 < static.ping_there(16) < 16:
        raise LabError(f"numbers of 32 bits: {static.stat()}")
    stat = static.stat()
    if stat["exhausted"] == 0 or stat["sent"] != 8:
        raise LabError(f"the sender went on: {stat}")


def refused(lab):
    """Replayed, old and altered packets, and dummies, both ways."""
    static = Static(lab)
    static.tell("keep")
    if static.ping_there() != 3:
        raise LabError("no data at all")
    before = static.stat()
    static.tell("again")
    static.tell("flip")
    after = static.stat()
    if after["replay"] != before["replay"] + 2 or after["received"] != before["received"]:
        raise LabError(f"a replay here: {after}")  # the flipped one too: its number says enough
    if static.ping_there(100) != 100:  # past the window of 64
        raise LabError("pings are lost")
    before = static.stat()
    static.tell("again")
    after = static.stat()
    if after["replay"] != before["replay"] + 1 or after["received"] != before["received"]:
        raise LabError(f"an old packet here: {after}")
    static.tell("resend")
    wait_until(lambda: static.their_counts()["replay"] == 1, 5, lambda: f"a replay is dropped there {static.their_counts()}")
    failed = static.their_counts()
    static.tell("dummy")
    wait_until(lambda: static.their_counts() != failed, 5, "a dummy packet is dropped there")
    if static.ping_there() != 3 or static.ping_here() != 3:
        raise LabError(f"no data any more: {static.stat()}; {static.their_counts()}")


def altered(lab):
    """One bit of the ICV, both ways. Their window has not seen the number: the ICV alone stands in the way."""
    static = Static(lab)
    if static.ping_there() != 3:
        raise LabError("no data at all")
    node, guest = static.node, static.guest
    node.run("iptables -A OUTPUT -p udp --dport 4500 -j DROP")
    node.run(["ping", "-c", "1", "-W1", PEER], check=False)  # sealed, and never sent
    node.run("iptables -D OUTPUT -p udp --dport 4500 -j DROP")
    before = static.their_counts()
    static.tell("bad")
    wait_until(lambda: static.their_counts()["failed"] == before["failed"] + 1, 5, lambda: f"dropped there: {static.their_counts()}")
    static.tell("resend")  # as it was: its number was not used up
    wait_until(lambda: static.stat()["received"] >= 4, 5, lambda: f"the packet itself is answered: {static.stat()}")
    guest.run("tc qdisc add dev vec0 root netem corrupt 100%")
    ours = static.stat()
    guest.run(f"ping -c 5 -i 0.05 -W1 -s 1000 -I {WIRE_PEER} {WIRE_OWN}", check=False)
    wait_until(lambda: sum(static.stat()[n] for n in ("not-authentic", "no-tunnel", "no-child")) > 0, 5,
               lambda: f"dropped here: {static.stat()}")
    if static.stat()["received"] != ours["received"]:
        raise LabError(f"an altered packet was taken: {static.stat()}")
    guest.run("tc qdisc del dev vec0 root")
    if static.ping_there() != 3:
        raise LabError(f"no data any more: {static.stat()}; {static.their_counts()}")


def padded(lab):
    """TFC padding of the guest's kernel: all its packets look alike long, and none says so inside."""
    static = Static(lab, mode="tunnel", their_extra="tfcpad 900")
    capture = static.node.start("tcpdump", "-n", "-i", "eth0", "-c", "3", f"src {static.guest.address} and udp port {PORT}")
    capture.wait_log("listening")
    if static.ping_here(3, 10) != 3 or static.ping_there(3, 10) != 3:
        raise LabError(f"padded packets: {static.stat()}; {static.their_counts()}")
    capture.popen.wait(10)
    lengths = [int(n) for n in re.findall(r"length (\d+)", capture.log)]
    if not lengths or min(lengths) < 900:
        raise LabError(f"the guest did not pad: {capture.log}")
    static.check_data()


def rows(row, need_guest):
    """row: the class of interop_rows."""
    peer = "Linux 6.1, static SAs"
    found = [row(peer, f"{suite}, BEET", carried(suite=suite), need_guest) for suite in SUITES]
    found += [row(peer, f"aes256-gcm, {mode}", carried(suite="aes256-gcm", mode=mode), need_guest) for mode in ("transport", "tunnel")]
    found += [row(peer, f"{suite}, extended numbers", carried(suite=suite, esn=True), need_guest)
              for suite in ("chacha20-poly1305", "aes128-cbc-sha256", "aes256-ctr-sha256")]
    found += [row(peer, "extended numbers over 2^32, both ways", over_the_border, need_guest),
              row(peer, "numbers of 32 bits end there", ends_at_the_border, need_guest),
              row(peer, "replayed, old and dummy packets are dropped", refused, need_guest),
              row(peer, "one bit of the ICV, both ways", altered, need_guest),
              row(peer, "TFC padding", padded, need_guest)]
    return found
