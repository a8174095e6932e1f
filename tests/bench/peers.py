"""Tunnels of others, as Debian packages them: each set up between the two nodes as its manual says, for two hosts that know each other.

Where a program has a choice it gets AES-128-GCM, and no compression. Each ends with its lab, by its process id.
"""
import json
import pathlib
import socket
import subprocess

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa, x25519

import ipsec
import lab as labs
from contestants import INNER, INNER_MTU, OUTER, Contestant, find

OTHER = {"a": "b", "b": "a"}


def x25519_pair():
    """(private, public), 32 bytes each."""
    key = x25519.X25519PrivateKey.generate()
    raw = serialization.Encoding.Raw
    return (key.private_bytes(raw, serialization.PrivateFormat.Raw, serialization.NoEncryption()),
            key.public_key().public_bytes(raw, serialization.PublicFormat.Raw))


class WireGuardGo(Contestant):
    name, package = "wireguard-go", "wireguard-go"
    needs = ("wireguard-go",)
    program = "wireguard-go"

    def prepare(self):
        keys = {side: x25519_pair() for side in "ab"}
        for side in "ab":
            process = self.start(side, self.program, "-f", "wg0", env={"WG_PROCESS_FOREGROUND": "1", "LOG_LEVEL": "error"})
            path = pathlib.Path(f"/proc/{process.pid}/root/run/wireguard/wg0.sock")
            labs.wait_until(path.exists, 10, lambda: f"wireguard-go's socket\n{process.log}")
            self.configure(path, f"private_key={keys[side][0].hex()}\nlisten_port=51820\npublic_key={keys[OTHER[side]][1].hex()}\n"
                           f"endpoint={OUTER[OTHER[side]]}:51820\nallowed_ip={INNER[OTHER[side]]}/32\n")
            self.set_up(side, "wg0", process)

    @staticmethod
    def configure(path, settings):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(str(path))
            sock.sendall(f"set=1\n{settings}\n".encode())
            answer = sock.recv(100).decode()
        if not answer.startswith("errno=0"):
            raise labs.LabError(f"wireguard-go: {answer}")


def wireguard_go(path):
    """Another build of it, e.g. the current source."""
    return type("OtherWireGuardGo", (WireGuardGo,), {"name": "wireguard-go, current", "package": None, "needs": (path,), "program": path})


class OpenVpn(Contestant):
    name, package, needs = "OpenVPN", "openvpn", ("openvpn",)
    options = ()

    def prepare(self):
        authority = ipsec.Authority()
        (self.dir / "ca").write_bytes(ipsec.certificate_pem(authority.certificate))
        for side in "ab":
            key = ipsec.make_key("ecdsa")
            (self.dir / f"{side}.key").write_bytes(ipsec.private_pem(key))
            (self.dir / f"{side}.crt").write_bytes(ipsec.certificate_pem(authority.issue(key, side)))
        self.launch("b").wait_log("UDPv4 link remote", 10)

    def connect(self):
        self.launch("a")

    def launch(self, side):
        role = ("--tls-client",) if side == "a" else ("--tls-server", "--dh", "none")
        return self.start(side, "openvpn", "--dev", "tun0", "--ifconfig", INNER[side], INNER[OTHER[side]], "--proto", "udp4",
                          "--local", OUTER[side], "--remote", OUTER[OTHER[side]], "--port", "1194", *role, "--ca", self.dir / "ca",
                          "--cert", self.dir / f"{side}.crt", "--key", self.dir / f"{side}.key", "--data-ciphers", "AES-128-GCM",
                          "--cipher", "AES-128-GCM", "--disable-dco", "--allow-compression", "no", "--verb", "3", *self.options)


class TunedOpenVpn(OpenVpn):
    name = "OpenVPN, tuned"
    options = ("--fast-io", "--sndbuf", "2097152", "--rcvbuf", "2097152", "--txqueuelen", "4000")


class Fastd(Contestant):
    package, needs, method = "fastd", ("fastd",), None

    def prepare(self):
        self.keys = {side: self.generate() for side in "ab"}
        self.launch("b", "")

    def connect(self):
        self.launch("a", f"remote {OUTER['b']}:7000;")

    @staticmethod
    def generate():
        done = subprocess.run([find("fastd"), "--generate-key", "--machine-readable"], capture_output=True, text=True)
        secret = done.stdout.strip()
        public = subprocess.run([find("fastd"), "--config", "-", "--show-key", "--machine-readable"], input=f'secret "{secret}";\n',
                                capture_output=True, text=True)
        if done.returncode or public.returncode:
            raise labs.LabError(f"fastd makes no keys: {done.stderr}{public.stderr}")
        return secret, public.stdout.strip()

    def launch(self, side, remote):
        config = self.dir / f"{side}.conf"
        config.write_text(f'log level warn; mode tun; interface "fd0"; method "{self.method}"; mtu {INNER_MTU};\n'
                          f'bind {OUTER[side]}:7000; secret "{self.keys[side][0]}";\n'
                          f'peer "other" {{ key "{self.keys[OTHER[side]][1]}"; {remote} }}\n')
        self.set_up(side, "fd0", self.start(side, "fastd", "--config", config))


def fastd(method, encrypts=True):
    return type("Fastd", (Fastd,), {"name": f"fastd {method}" if encrypts else "fastd, no crypto", "method": method, "encrypts": encrypts})


class Tinc(Contestant):
    name, package, needs = "tinc", "tinc", ("tincd",)

    def prepare(self):
        for side in "ab":
            config = self.dir / side
            (config / "hosts").mkdir(parents=True)
            # Its search for the path's MTU takes half a minute, and until then packets go by TCP.
            (config / "tinc.conf").write_text(f"Name = {side}\nInterface = tinc0\nMode = router\nPMTUDiscovery = no\n"
                                              + ("ConnectTo = b\n" if side == "a" else ""))
            key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            private = config / "rsa_key.priv"
            private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL,
                                                  serialization.NoEncryption()))
            private.chmod(0o600)
            public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1).decode()
            (self.dir / f"{side}.host").write_text(f"Address = {OUTER[side]}\nSubnet = {INNER[side]}/32\n{public}")
        for side in "ab":
            for other in "ab":
                (self.dir / side / "hosts" / other).write_text((self.dir / f"{other}.host").read_text())
        self.launch("b")

    def connect(self):
        self.launch("a")

    def launch(self, side):
        process = self.start(side, "tincd", "-c", self.dir / side, "-D", f"--pidfile={self.dir / side / 'pid'}")
        self.set_up(side, "tinc0", process)


class Nebula(Contestant):
    name, package, needs = "nebula", "nebula", ("nebula", "nebula-cert")

    def prepare(self):
        self.make(["ca", "-name", "bench", "-out-crt", "ca.crt", "-out-key", "ca.key"])
        anything = [{"port": "any", "proto": "any", "host": "any"}]
        for side in "ab":
            self.make(["sign", "-ca-crt", "ca.crt", "-ca-key", "ca.key", "-name", side, "-ip", f"{INNER[side]}/24",
                       "-out-crt", f"{side}.crt", "-out-key", f"{side}.key"])
            config = self.dir / f"{side}.json"  # which is YAML, too
            config.write_text(json.dumps({
                "pki": {"ca": str(self.dir / "ca.crt"), "cert": str(self.dir / f"{side}.crt"), "key": str(self.dir / f"{side}.key")},
                "static_host_map": {INNER[OTHER[side]]: [f"{OUTER[OTHER[side]]}:4242"]},
                "lighthouse": {"am_lighthouse": False, "hosts": []}, "listen": {"host": OUTER[side], "port": 4242}, "cipher": "aes",
                "tun": {"dev": "neb0", "mtu": INNER_MTU}, "logging": {"level": "warning", "format": "text"},
                "firewall": {"outbound": anything, "inbound": anything}}))
            self.wait_interface(self.start(side, "nebula", "-config", config), "neb0")
        labs.wait_until(lambda: all(INNER[side] in self.nodes[side].run("ip -4 addr show dev neb0").stdout for side in "ab"), 5)

    def make(self, words):
        done = subprocess.run([find("nebula-cert"), *words], cwd=self.dir, capture_output=True, text=True)
        if done.returncode:
            raise labs.LabError(f"nebula-cert: {done.stdout}{done.stderr}")


class N2n(Contestant):
    """Its frames are Ethernet's: with 1400 bytes inside they fit, and one datagram of 1400 takes two."""

    name, package, needs = "n2n", "n2n", ("edge", "supernode")

    def prepare(self):
        self.processes_beside = self.start("b", "supernode", "-l", "7654")
        self.processes.remove(self.processes_beside)  # only brings the two together
        self.launch("b")

    def connect(self):
        self.launch("a")

    def launch(self, side):
        process = self.start(side, "edge", "-d", "n2n0", "-a", INNER[side], "-c", "bench", "-k", "a key of some words", "-l", f"{OUTER['b']}:7654",
                             "-p", "7001", "-m", f"02:00:00:00:00:0{side}", "-M", "1400", "-u", "0", "-g", "0")
        self.set_up(side, "n2n0", process, 1400)


class Vtun(Contestant):
    name, package, needs, encrypts = "vtun, no crypto", "vtun", ("vtund",), False

    def prepare(self):
        for side in "ab":
            (self.dir / f"{side}.conf").write_text(
                "options { port 5000; timeout 10; ip /usr/sbin/ip; }\n"
                "bench { passwd bench; type tun; device vt0; proto udp; encrypt no; compress no; keepalive no; stat no; speed 0;\n"
                f'  up {{\n    ip "link set %% mtu {INNER_MTU} up";\n    ip "addr add {INNER[side]}/24 dev %%";\n  }};\n}}\n')
        self.start("b", "vtund", "-n", "-s", "-f", self.dir / "b.conf")
        labs.wait_until(lambda: ":5000 " in self.b.run("ss -Hlnt").stdout, 10, "vtund listens")

    def connect(self):
        self.start("a", "vtund", "-n", "-f", self.dir / "a.conf", "bench", OUTER["b"])


class QuickTun(Contestant):
    name, package, needs = "quicktun", "quicktun", ("quicktun",)

    def prepare(self):
        self.keys = {side: x25519_pair() for side in "ab"}
        self.launch("b")

    def connect(self):
        self.launch("a")

    def launch(self, side):
        settings = {"TUN_MODE": "1", "PROTOCOL": "nacltai", "PRIVATE_KEY": self.keys[side][0].hex(),
                    "PUBLIC_KEY": self.keys[OTHER[side]][1].hex(), "LOCAL_ADDRESS": OUTER[side], "LOCAL_PORT": "2998",
                    "REMOTE_ADDRESS": OUTER[OTHER[side]], "REMOTE_PORT": "2998"}
        process = self.start(side, "quicktun", env={"IFACE": "qt0", **{f"IF_QT_{name}": value for name, value in settings.items()}})
        self.set_up(side, "qt0", process)


class StrongSwan(Contestant):
    """ESP in user space (kernel-libipsec). Its device reads no more than the 1400 bytes that it was made with."""

    package, needs, proposal = "strongswan-charon, strongswan-swanctl", (ipsec.CHARON, "swanctl"), None

    def prepare(self):
        self.charons = {side: ipsec.NodeCharon(self.nodes[side]) for side in "ab"}
        self.processes = [charon.process for charon in self.charons.values()]
        for side, charon in self.charons.items():
            other = OTHER[side]
            self.nodes[side].ip(f"addr add {INNER[side]}/32 dev lo")
            charon.configure({"t": {
                "version": 2, "local_addrs": OUTER[side], "remote_addrs": OUTER[other], "encap": "yes", "mobike": "no",
                "proposals": "aes128-sha256-curve25519", "local": {"auth": "psk", "id": side}, "remote": {"auth": "psk", "id": other},
                "children": {"c": {"local_ts": f"{INNER[side]}/32", "remote_ts": f"{INNER[other]}/32", "esp_proposals": self.proposal}}}},
                {"ike-1": {"secret": '"a secret of some words"'}})

    def connect(self):
        self.charons["a"].initiate()


def strongswan(proposal, label):
    return type("StrongSwan", (StrongSwan,), {"name": f"strongSwan userspace ESP, {label}", "proposal": proposal})


StrongSwanCtr = strongswan("aes128ctr-sha256", "CTR + HMAC-SHA-256")
PEERS = [WireGuardGo, OpenVpn, TunedOpenVpn, fastd("aes128-gcm"), fastd("salsa2012+umac"), fastd("null", encrypts=False), Tinc, Nebula,
         N2n, Vtun, QuickTun, strongswan("aes128gcm16", "GCM"), StrongSwanCtr]
