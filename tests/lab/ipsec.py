"""IPsec peers that are not ours: strongSwan's charon in a node, and a Linux guest whose kernel does ESP.

A namespace's kernel here may have no ESP: charon then does it itself (kernel-libipsec: tunnel form only), or it runs in a
user-mode-linux guest, whose kernel has it all (transport, BEET, extended sequence numbers). Both end with their lab.
"""
import datetime
import ipaddress
import os
import pathlib
import re
import shlex
import shutil

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from lab import LabError, wait_until

CHARON = "/usr/lib/ipsec/charon"
UML, UML_MODULES = "/usr/bin/linux.uml", "/usr/lib/uml/modules"
PLUGINS = ("random nonce aes sha1 sha2 hmac kdf drbg pem pkcs1 pkcs8 x509 pubkey constraints revocation openssl gcm xcbc "
           "{kernel} socket-default vici updown counters")


def has_charon():
    return os.path.exists(CHARON) and shutil.which("swanctl") is not None


def has_guest():
    return os.path.exists(UML) and os.path.isdir(UML_MODULES)


# ---- keys and certificates ----

def make_key(kind):
    """kind: ed25519 | ecdsa (P-256) | ecdsa384 | rsa."""
    return {"ed25519": ed25519.Ed25519PrivateKey.generate, "ecdsa": lambda: ec.generate_private_key(ec.SECP256R1()),
            "ecdsa384": lambda: ec.generate_private_key(ec.SECP384R1()),
            "rsa": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048)}[kind]()


def private_pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def public_pem(key):
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


class Authority:
    """A certification authority, or one below another."""

    def __init__(self, name="Test CA", kind="ecdsa", parent=None):
        self.key, self.name = make_key(kind), name
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._sign(subject, self.key.public_key(), parent or self, True, [])

    def _sign(self, subject, public_key, issuer, is_ca, names, days=(-1, 30)):
        now = datetime.datetime.utcnow()
        builder = (x509.CertificateBuilder().subject_name(subject).public_key(public_key)
                   .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer.name)]))
                   .serial_number(x509.random_serial_number())
                   .not_valid_before(now + datetime.timedelta(days=days[0]))
                   .not_valid_after(now + datetime.timedelta(days=days[1]))
                   .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
                   .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False))
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
        if is_ca:
            builder = builder.add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False),
                                            critical=True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False)
        algorithm = None if isinstance(issuer.key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        return builder.sign(issuer.key, algorithm)

    def issue(self, key, name, days=(-1, 30)):
        """A certificate for this key whose subject and alternative name are `name`."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return self._sign(subject, key.public_key(), self, False, [name], days)


def certificate_pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


# ---- charon ----

def swanctl_conf(value, depth=0):
    """Nested dictionaries as strongSwan writes them."""
    lines, indent = [], "  " * depth
    for name, entry in value.items():
        if isinstance(entry, dict):
            lines += [f"{indent}{name} {{", swanctl_conf(entry, depth + 1), f"{indent}}}"]
        else:
            lines.append(f"{indent}{name} = {entry}")
    return "\n".join(lines)


class Charon:
    """strongSwan's daemon. Where it runs, and who does its ESP, is the subclasses' business."""

    kernel = None  # plugin
    directory_inside = None

    def __init__(self, directory, log, socket, settings=None):
        self.dir, self.log_path, self.socket = pathlib.Path(directory), log, socket
        for sub in ("private", "pubkey", "x509", "x509ca"):
            (self.dir / "swanctl" / sub).mkdir(parents=True, exist_ok=True)
        levels = {"path": self.log_path, "flush_line": "yes", "default": 1, "ike": 2, "cfg": 2, "knl": 2, "net": 1, "enc": 1}
        plugins = {"vici": {"socket": f"unix://{self.socket}"}}
        if self.kernel == "kernel-libipsec":
            plugins["kernel-libipsec"] = {"load": "yes", "allow_peer_ts": "yes"}
        charon = {"load_modular": "no", "load": PLUGINS.format(kernel=f"{self.kernel} kernel-netlink".replace(
                      "kernel-netlink kernel-netlink", "kernel-netlink")),
                  "fragment_size": 1280, "keep_alive": "5s", "retransmit_timeout": "0.6", "retransmit_tries": 3,
                  "install_virtual_ip": "no", **(settings or {}), "filelog": {"log": levels}, "plugins": plugins}
        (self.dir / "strongswan.conf").write_text(swanctl_conf(
            {"charon": charon, "swanctl": {"socket": f"unix://{self.socket}"}}) + "\n")

    @property
    def environment(self):
        return {"STRONGSWAN_CONF": str(self.dir / "strongswan.conf"), "SWANCTL_DIR": str(self.dir / "swanctl")}

    def put(self, folder, name, data):
        (self.dir / "swanctl" / folder / name).write_bytes(data)

    def configure(self, connections, secrets=None):
        """Loads these connections and secrets in place of all others."""
        text = swanctl_conf({"connections": connections, "secrets": secrets or {}})
        (self.dir / "swanctl" / "swanctl.conf").write_text(text + "\n")
        done = self.swanctl("--load-all --clear")
        if "successfully loaded" not in done:
            raise LabError(f"charon does not take its configuration:\n{done}\n{text}")

    def swanctl(self, words, check=True, timeout=40):
        """swanctl's output, without its complaints about plugins."""
        raise NotImplementedError

    def initiate(self, child="c", ike="t", timeout=15):
        return self.swanctl(f"--initiate --child {child} --ike {ike} --timeout {timeout}", timeout=timeout + 10)

    def terminate(self, ike="t"):
        return self.swanctl(f"--terminate --ike {ike} --timeout 5 --force", check=False)

    def rekey(self, child=None, ike=None):
        return self.swanctl(f"--rekey --child {child}" if child else f"--rekey --ike {ike}")

    def sas(self):
        return self.swanctl("--list-sas")

    def is_up(self):
        return "INSTALLED" in self.sas()

    @property
    def log(self):
        raise NotImplementedError


def _clean(text):
    return "\n".join(line for line in text.splitlines() if not line.startswith(("plugin ", "opening directory ")))


class NodeCharon(Charon):
    """charon in a node, ESP by itself (tunnel form)."""

    kernel = "kernel-libipsec"

    def __init__(self, node, settings=None):
        self.node = node
        directory = node.lab.dir / f"{node.name}-charon"
        directory.mkdir(mode=0o755)
        super().__init__(directory, directory / "charon.log", directory / "vici", settings)
        node.sysctl("net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0")
        # Its pid file is at a fixed place in /run: a view of its own for each.
        self.process = node.start("unshare", "-m", "sh", "-c",
                                  f"mount --make-rprivate / && mount -t tmpfs tmpfs /run && exec {CHARON}",
                                  name="charon", env=self.environment)
        wait_until(self._answers, 10, lambda: f"charon answers\n{self.process.log}\n{self.log}")

    def _answers(self):
        if not self.process.is_running:
            raise LabError(f"charon ended:\n{self.process.log}\n{self.log}")
        return os.path.exists(self.socket)

    def swanctl(self, words, check=True, timeout=40):
        done = self.node.run(["swanctl", *shlex.split(words)], check=False, timeout=timeout, env=self.environment)
        text = _clean(done.stdout + done.stderr)
        if check and done.returncode:
            raise LabError(f"{self.node.name}: swanctl {words}: exit {done.returncode}\n{text}\n{self.log[-6000:]}")
        return text

    @property
    def log(self):
        path = self.dir / "charon.log"
        return path.read_text(errors="replace") if path.exists() else ""


# ---- a guest with a kernel of its own ----

# What a guest does once it is up: the commands that Guest.run() writes down, in turn.
GUEST_SERVES = """echo GUEST-READY
n=1
while :; do
  if [ -e /mnt/h/cmd.$n ]; then
    sh /mnt/h/cmd.$n >/mnt/h/out.$n 2>&1; echo $? >/mnt/h/rc.tmp; mv /mnt/h/rc.tmp /mnt/h/rc.$n; n=$((n+1))
  else
    sleep 0.05
  fi
done
"""

_GUEST_INIT = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /mnt
mkdir -p /mnt/lib/modules /mnt/h; mount -t hostfs -o {modules} none /mnt/lib/modules
mount -t hostfs -o {dir} none /mnt/h
mount -t tmpfs tmpfs /dev/shm 2>/dev/null
echo {dir}/modprobe > /proc/sys/kernel/modprobe
for m in af_key xfrm_user esp4 xfrm_algo seqiv echainiv gcm ctr cbc hmac sha256_generic aes_generic ghash-generic chacha20poly1305 tun sch_netem; do
  modprobe -d /mnt -q $m
done
ip link set lo up
ip addr add {address}/{bits} dev vec0; ip link set vec0 up; ip route add default via {gateway}
""" + GUEST_SERVES


class Guest:
    """A user-mode-linux kernel with the machine's files read-only, on a segment. Boots in about 3 s."""

    _taps = 0

    def __init__(self, lab, name, segment, address=None):
        self.lab, self.name = lab, name
        Guest._taps += 1
        tap = f"tap{Guest._taps}"
        number = segment.next_host()
        self.gateway = segment.gateway
        self.address = str(ipaddress.ip_address(address) if address else segment.network[number])
        self.dir = lab.dir / f"guest-{name}"
        self.dir.mkdir(mode=0o755)
        self._number = 0
        segment.node.ip(f"tuntap add {tap} mode tap", f"link set dev {tap} up", f"link set dev {tap} master {segment.bridge}")
        self._write("modprobe", '#!/bin/sh\nexec /sbin/modprobe -d /mnt "$@"\n', 0o755)
        self._write("init", _GUEST_INIT.format(modules=UML_MODULES, dir=self.dir, address=self.address,
                                               bits=segment.network.prefixlen, gateway=segment.gateway), 0o755)
        # A MAC address of its own choice: else neighbours keep the one of the guest before for seconds.
        mac = "02:00:00:%02x:%02x:%02x" % tuple(ipaddress.ip_address(self.address).packed[1:])
        self.process = segment.node.start(
            "nice", "-n", "5", UML, f"umid={name}", f"uml_dir={self.dir}/", "mem=256M", "root=/dev/root", "rootfstype=hostfs",
            "rootflags=/", "ro", f"init={self.dir}/init", "con=null", "con0=null,fd:1",
            f"vec0:transport=tap,ifname={tap},depth=128,gro=0,mac={mac}", name="guest", env={"TMPDIR": str(self.dir)},
            cwd=str(self.dir))
        self.process.wait_log("GUEST-READY", 60)

    def _write(self, name, text, mode=0o644):
        path = self.dir / name
        path.write_text(text)
        path.chmod(mode)

    def begin(self, script):
        """Hands the guest a shell script; wait() for it. One after another."""
        self._number += 1
        self._write(".cmd", script + "\n")
        os.rename(self.dir / ".cmd", self.dir / f"cmd.{self._number}")
        return self._number

    def wait(self, number, timeout=30, check=True):
        status = self.dir / f"rc.{number}"
        def is_done():
            if not self.process.is_running:
                raise LabError(f"guest {self.name} ended:\n{self.process.log[-3000:]}")
            return status.exists()
        wait_until(is_done, timeout, lambda: f"guest {self.name}: {(self.dir / f'cmd.{number}').read_text()}")
        output = (self.dir / f"out.{number}").read_text(errors="replace")
        if check and int(status.read_text()):
            raise LabError(f"guest {self.name}: {(self.dir / f'cmd.{number}').read_text()}\nexit {status.read_text()}{output}")
        return output

    def run(self, script, timeout=30, check=True):
        """The output of a shell script in the guest."""
        return self.wait(self.begin(script), timeout, check)


class GuestCharon(Charon):
    """charon in a guest, ESP by the guest's kernel."""

    kernel = "kernel-netlink"

    def __init__(self, guest, settings=None):
        self.guest = guest
        directory = guest.dir / "charon"
        directory.mkdir(mode=0o755)
        super().__init__(directory, "/run/charon.log", "/run/charon.vici", settings)
        self._environment = " ".join(f"{k}={shlex.quote(v)}" for k, v in self.environment.items())
        guest.run(f"{self._environment} nohup {CHARON} >/run/charon.out 2>&1 </dev/null &\n"
                  f"for i in $(seq 100); do {self._environment} swanctl --stats >/dev/null 2>&1 && exit 0; sleep 0.1; done\n"
                  "cat /run/charon.out; exit 1")

    def swanctl(self, words, check=True, timeout=40):
        return _clean(self.guest.run(f"{self._environment} swanctl {words} 2>&1", timeout, check))

    @property
    def log(self):
        return self.guest.run("cat /run/charon.log", check=False)


def spis(sas):
    """(in, out) of the first child in swanctl's list."""
    found = [re.search(rf"^\s+{way}\s+([0-9a-f]{{8}})", sas, re.M) for way in ("in", "out")]
    return tuple(int(f.group(1), 16) for f in found)
