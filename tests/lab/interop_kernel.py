"""Rows of scripts/interop where detecd's own ESP is done by its kernel (`esp-offload`): detecd in a virtual machine.

    ours (machine.py: detecd, kernel ESP) ── [LAN ── nata ──] west ── net ── east ── theirs (charon, userspace or kernel ESP)
"""
import json
import re

import interop
import ipsec
import machine
import programs
from lab import LabError, wait_until

CONFIG, SOCKET = "/mnt/h/detecd.conf", "/run/detecd.sock"
ESP_LINK = "detec-esp0"


class Offloaded:
    """interop.Pair with detecd inside a machine."""

    def __init__(self, lab, mode="tunnel", esp=None, we_call=True, nats=1, guest=False, offload="kernel", rekey="1h"):
        self.lab, self.mode, self.we_call, self.is_echoing = lab, mode, we_call, False
        self.net = lab.internet()
        self.nat = lab.nat("nata", self.net.west, "port-restricted" if we_call else "full-cone", lan="10.0.1.0/24") if nats else None
        self.machine = machine.Machine(lab, "ours", self.nat.lan if self.nat else self.net.west)
        self.outer = self.nat.address if self.nat else self.machine.address
        if guest:
            self.guest = ipsec.Guest(lab, "theirs", self.net.east)
            self.peer, self.their_address = ipsec.GuestCharon(self.guest), self.guest.address
        else:
            self.guest, self.node = None, lab.host("theirs", self.net.east)
            self.peer, self.their_address = ipsec.NodeCharon(self.node), self.node.address
        directory = lab.dir / "proofs"
        directory.mkdir(mode=0o700)
        keys, local, remote, secrets, _ = interop.proofs("psk", directory)
        keys["mode"] = mode
        if mode != "transport":
            keys.update({"local-ts": interop.OUR_TS, "remote-ts": interop.THEIR_TS})
            self.their_run(f"ip addr add {interop.THEIR_TS}/32 dev lo")
        if we_call:
            keys["address"] = self.their_address
        if esp:
            keys["esp"] = esp[0]
        self.sections = {
            "host": {"key": "/run/detec/key", "state": "/run/detec/state", "socket": SOCKET, "dns": "off", "log": "debug",
                     "port-mapping": "off", "esp-offload": offload, "rekey": rekey},
            "allow": {"allow": ["*"]}, "peer theirs": keys}
        dynamic = mode == "transport"
        connection = {
            "version": 2, "local_addrs": self.their_address, "remote_addrs": "%any" if we_call else self.outer, "local": local,
            "remote": remote,
            "children": {"c": {"mode": mode, "local_ts": "dynamic" if dynamic else f"{interop.THEIR_TS}/32",
                               "remote_ts": "dynamic" if dynamic else f"{interop.OUR_TS}/32",
                               **({"esp_proposals": esp[1]} if esp else {})}}}
        self.peer.configure({"t": connection}, secrets)
        self.run(f"mkdir -p /run/detec && {programs.DETEC} genkey /run/detec/key")
        self.start()

    def run(self, script, timeout=120, check=True):
        """In the machine."""
        return self.machine.run(script, timeout, check)

    def their_run(self, script, timeout=30, check=True):
        if self.guest:
            return self.guest.run(script, timeout, check)
        return self.node.run(["sh", "-c", script], check=check, timeout=timeout).stdout

    def start(self):
        (self.machine.dir / "detecd.conf").write_text(programs.ini(self.sections))
        self.run(f"nohup {programs.DETECD} -c {CONFIG} >>/run/detecd.log 2>&1 </dev/null & echo $! > /run/detecd.pid\n"
                 f"for i in $(seq 100); do DETEC_SOCKET={SOCKET} {programs.DETEC} status >/dev/null 2>&1 && exit 0; sleep 0.2; "
                 "kill -0 $(cat /run/detecd.pid) || break; done; cat /run/detecd.log; exit 1")

    def log(self):
        return self.run("tail -n 60 /run/detecd.log", check=False)

    def detec(self, words, check=True, timeout=60):
        return self.run(f"DETEC_SOCKET={SOCKET} {programs.DETEC} {words}", timeout, check)

    def ask(self, words):
        return json.loads(self.detec(f"{words} --json").strip().splitlines()[-1])

    def status(self):
        answer = self.ask("status")
        return answer.get("status", answer)

    def report(self):
        answer = self.ask("peers")
        peers = answer.get("peers", answer) if isinstance(answer, dict) else answer
        return next((p for p in peers if p["name"] == interop.PEER), None)

    def wait_state(self, state, timeout=30):
        wait_until(lambda: (self.report() or {}).get("state") == state, timeout, lambda: f"{state}: {self.report()}\n{self.log()}")
        return self.report()

    def call(self):
        if self.we_call:
            text = self.detec("call theirs --timeout 30 2>&1", check=False)
            if "Error" in text or (self.report() or {}).get("state") != "up":
                raise LabError(f"detec call: {text}\n{self.log()}\n{self.peer.log[-3000:]}")
        else:
            self.peer.initiate()
        return self.wait_state("up")

    def is_in_kernel(self):
        report = self.report()
        return bool(report) and report.get("esp_offload", {}).get("is_active", False)

    def state(self):
        return (f"{self.report()}\n{self.status()['drops']}\n" + self.run(
            "ip -s xfrm state; ip -s xfrm policy; cat /proc/net/xfrm_stat | grep -v ' 0$'; ip -s link show dev detec-esp0; "
            "tc -s filter show dev detec0 egress; tc -s filter show dev detec-esp0 ingress; ip route show table 32589", check=False)
            + self.peer.sas() + self.log())

    @property
    def our_name_there(self):
        return interop.OUR_TS if self.mode != "transport" else self.outer

    def ping_there(self, count=3, interval=0.2, size=56):
        address = self.report()["address"]
        return interop.received(self.run(f"ping -c {count} -i {interval} -W3 -s {size} {address}", check=False))

    def ping_here(self, count=3, interval=0.2):
        source = f"-I {interop.THEIR_TS}" if self.mode != "transport" else ""
        return interop.received(self.their_run(f"ping -c {count} -i {interval} -W3 {source} {self.our_name_there}", check=False))

    def check_data(self):
        there, here = self.ping_there(), self.ping_here()
        if (there, here) != (3, 3):
            raise LabError(f"pings: {there} of 3 there, {here} of 3 here\n{self.state()}")
        if not self.is_in_kernel():
            raise LabError(f"not by the kernel: {self.report()}\n{self.log()}")
        self.talk()

    def talk(self):
        (self.machine.dir / "talk.py").write_text(interop.TALK)
        (self.machine.dir / "echo.py").write_text(interop.ECHO)
        if not self.is_echoing:
            self.run("nohup /usr/bin/python3 /mnt/h/echo.py >/run/echo.out 2>&1 </dev/null &")
            self.their_run(f"nohup /usr/bin/python3 {self.machine.dir}/echo.py >/dev/null 2>&1 </dev/null &")
            self.is_echoing = True
            wait_until(lambda: ":7 " in self.their_run("ss -Hlnt"), 10, "their echo server listens")
            wait_until(lambda: ":7 " in self.run("ss -Hlnt"), 20, "our echo server listens")
        text = self.run(f"/usr/bin/python3 /mnt/h/talk.py {self.report()['address']} 0.0.0.0 2>&1", check=False)
        if "talked" not in text:
            raise LabError(f"TCP and UDP there: {text.strip().splitlines()[-1:]}\n{self.state()}")
        source = interop.THEIR_TS if self.mode != "transport" else "0.0.0.0"
        text = self.their_run(f"/usr/bin/python3 {self.machine.dir}/talk.py {self.our_name_there} {source} 2>&1", check=False)
        if "talked" not in text:
            raise LabError(f"TCP and UDP here: {text.strip().splitlines()[-1:]}\n{self.state()}")

    def leftovers(self):
        """What detecd has in the kernel."""
        return self.run("ip xfrm state; ip xfrm policy; ip -br link | grep detec-esp", check=False).strip()


def basic(**options):
    """Up, data both ways, down; nothing is left."""
    def run(lab):
        pair = Offloaded(lab, **options)
        if pair.leftovers():
            raise LabError(f"the trial left something: {pair.leftovers()}")
        report = pair.call()
        pair.check_data()
        counted = pair.report()
        if not counted["packets_in"] or not counted["packets_out"]:
            raise LabError(f"nothing is counted: {counted}")
        if pair.we_call:
            pair.detec("hangup theirs")
        else:
            pair.peer.terminate()
        pair.wait_state("down")
        if pair.leftovers():
            raise LabError(f"left after the end: {pair.leftovers()}")
        return report["suite"]
    return run


def on_demand(lab):
    """The first packet calls, and is not lost; then what the path does not take."""
    pair = Offloaded(lab)
    address = pair.report()["address"]
    if interop.received(pair.run(f"ping -c 1 -W 15 {address}", check=False)) != 1 or not pair.is_in_kernel():
        raise LabError(f"the first packet\n{pair.state()}")
    mtu = pair.report()["mtu"]
    fits = interop.received(pair.run(f"ping -c 2 -i 0.2 -W3 -M do -s {mtu - 28} {address}", check=False))
    text = pair.run(f"ping -c 1 -W1 -M do -s {mtu - 27} {address} 2>&1", check=False)
    if fits != 2 or f"mtu={mtu}" not in text and f"mtu = {mtu}" not in text:
        raise LabError(f"{fits} of 2 packets of {mtu} bytes; one more: {text}\n{pair.state()}")


def rekeyed(lab):
    """Keys renewed by both sides, several times, under a flood of echo requests: none is lost."""
    pair = Offloaded(lab, rekey="3s")
    before = pair.call()
    pair.check_data()
    flood = pair.machine.begin(f"ping -i 0.05 -c 300 {before['address']} > /run/flood 2>&1 &\n"
                               "for i in 1 2 3 4; do sleep 3; "
                               f"DETEC_SOCKET={SOCKET} {programs.DETEC} peers --json; done; wait; cat /run/flood")
    pair.peer.rekey(child="c")
    text = pair.machine.wait(flood, 90)
    spis = set(re.findall(r'"spi_in": ?"([0-9a-f]{8})"', text))
    if interop.received(text) != 300:
        raise LabError(f"{interop.received(text)} of 300 echo requests answered while rekeying\n{pair.state()}")
    if len(spis) < 3 or not pair.is_in_kernel():
        raise LabError(f"rekeyed in the kernel: {spis}\n{pair.state()}")
    sas = pair.run("ip xfrm state").count("proto esp")
    if sas > 6:
        raise LabError(f"{sas} SAs are there: old ones do not go\n{pair.state()}")


def killed(lab):
    """kill -9: nothing leaves in the clear, what is left dies by itself, and the next start removes it, or --cleanup."""
    pair = Offloaded(lab, rekey="60s")
    report = pair.call()
    pair.check_data()
    pair.run("kill -9 $(cat /run/detecd.pid); sleep 1")
    left = pair.leftovers()
    lifetimes = re.findall(r"expire add: soft 0\(sec\), hard (\d+)\(sec\)", pair.run("ip -s xfrm state"))
    if lifetimes and not all(0 < int(n) <= 180 for n in lifetimes):
        raise LabError(f"SAs that never end: {lifetimes}\n{left}")
    wire = pair.nat.start("tcpdump", "-l", "-n", "-i", "wan", f"icmp and icmp[0] != icmp-unreach or host {report['address']} or host {interop.THEIR_TS}")
    wire.wait_log("listening")
    for target in (report["address"], f"-I eth0 {report['address']}"):
        if interop.received(pair.run(f"ping -c 3 -i 0.3 -W1 {target} 2>&1", check=False)):
            raise LabError("answered after kill -9")
    pair.their_run(f"ping -c 3 -i 0.3 -W1 -I {interop.THEIR_TS} {interop.OUR_TS}", check=False)
    wire.stop()
    if re.search(r"^\d\d:", wire.log, re.M):
        raise LabError(f"in the clear: {wire.log}")
    pair.start()
    if pair.leftovers():
        raise LabError(f"not removed by the next start: {pair.leftovers()}")
    pair.call()
    pair.check_data()
    pair.run(f"kill -9 $(cat /run/detecd.pid); sleep 1; {programs.DETECD} -c {CONFIG} --cleanup")
    if pair.leftovers():
        raise LabError(f"not removed by --cleanup: {pair.leftovers()}")


def rebound(lab):
    """Our NAT gives us another port: their kernel follows, ours goes on."""
    pair = Offloaded(lab, mode="transport", guest=True)
    report = pair.call()
    pair.check_data()
    pair.nat.nft("flush chain ip nat postrouting\n"
                 "add rule ip nat postrouting oifname wan meta l4proto udp masquerade to :20000-30000 fully-random\n"
                 "add rule ip nat postrouting oifname wan masquerade")
    pair.nat.run("conntrack -F")
    pair.run(f"ping -c 10 -i 0.3 -W1 {report['address']}", check=False)
    if pair.ping_there() != 3:
        raise LabError(f"no answers after the NAT has changed\n{pair.state()}")
    pair.check_data()


def moved(lab):
    """Our own address changes (MOBIKE): new keys for the new path."""
    pair = Offloaded(lab, nats=0)
    before = pair.call()
    pair.check_data()
    address = str(pair.net.west.network[pair.net.west.next_host()])
    bits = pair.net.west.network.prefixlen
    pair.run(f"sysctl -qw net.ipv4.conf.eth0.promote_secondaries=1 && ip addr add {address}/{bits} dev eth0 && ip addr del {pair.machine.address}/{bits} dev eth0 && "
             f"ip route replace default via {pair.net.west.gateway} src {address}")
    wait_until(lambda: pair.is_in_kernel() and pair.report()["spi_in"] != before["spi_in"] and
               f"src {address}" in pair.run("ip xfrm state"), 40, lambda: f"new keys\n{pair.state()}")
    pair.check_data()


def rows(row, need_charon, need_guest):
    """row: the class of interop_rows."""
    def user():
        return need_charon() or machine.missing()

    def kernel():
        return need_guest() or machine.missing()

    def side(we_call):
        return "we call" if we_call else "it calls"
    theirs, both = "charon 5.9.8, userspace ESP; ours in Linux 6.1", "charon 5.9.8, Linux 6.1 ESP; ours in Linux 6.1"
    found = [row(theirs, f"esp-offload, tunnel, {side(ours)}, {nats} NATs", basic(we_call=ours, nats=nats), user)
             for ours, nats in ((True, 0), (True, 1), (False, 1))]
    found += [row(theirs, f"esp-offload, {ours}", basic(esp=(ours, their)), user) for ours, their in (
        ("chacha20-poly1305", "chacha20poly1305"), ("aes256-cbc-sha256", "aes256-sha256"), ("aes128-ctr-sha256", "aes128ctr-sha256"))]
    found += [row(both, f"esp-offload, {mode}, {side(ours)}, 1 NATs", basic(we_call=ours, mode=mode, guest=True), kernel)
              for mode, ours in (("transport", True), ("transport", False), ("beet", True))]
    found += [row(both, "esp-offload, extended numbers", basic(guest=True, esp=("aes256-gcm", "aes256gcm16-esn")), kernel),
              row(theirs, "esp-offload, first packet calls", on_demand, user),
              row(theirs, "esp-offload, keys renewed by both, no loss", rekeyed, user),
              row(theirs, "esp-offload, kill -9 of detecd", killed, user),
              row(both, "esp-offload, our NAT gives us another port", rebound, kernel),
              row(theirs, "esp-offload, MOBIKE, we move", moved, user)]
    return found
