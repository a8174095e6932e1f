"""A virtual machine with a distribution's own kernel and this machine's files, read-only: for detecd where the kernel has what
user-mode-linux lacks (nf_tables for IPv4, XFRM interfaces).

Its kernel is that of an unpacked package (`apt-get download linux-image-VERSION && dpkg -x linux-image*.deb DIR`); KERNEL in the
environment says where. Without KVM it boots in about 10 s.
"""
import ipaddress
import os
import pathlib
import shutil

import ipsec
from lab import command

BOOT = ("virtio_pci", "virtio_net", "9p", "9pnet_virtio")

_FIRST = """#!/bin/sh
mount -t proc proc /proc
for m in /m/*.ko; do insmod $m; done
mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=262144 root /new
exec switch_root /new {dir}/init
"""

_INIT = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /mnt
exec </dev/console >/dev/console 2>&1
mkdir -p /dev/shm /mnt/h; mount -t tmpfs tmpfs /dev/shm
mount -t 9p -o trans=virtio,version=9p2000.L,cache=none,msize=262144 work /mnt/h
echo {dir}/modprobe > /proc/sys/kernel/modprobe
modprobe -d {modules} tun
ip link set lo up
ip addr add {address}/{bits} dev eth0; ip link set eth0 up; ip route add default via {gateway}
""" + ipsec.GUEST_SERVES


def missing():
    """Why there can be none; None: there can."""
    for program in ("qemu-system-x86_64", "busybox", "cpio", "depmod"):
        if not shutil.which(program):
            return f"{program} is not installed"
    tree = os.environ.get("KERNEL")
    return None if tree and list(pathlib.Path(tree).glob("boot/vmlinuz-*")) else "KERNEL does not say where a kernel is unpacked"


class Machine(ipsec.Guest):
    """As ipsec.Guest; /mnt/h inside is self.dir here."""

    def __init__(self, lab, name, segment, address=None):
        self.lab, self.name, self._number = lab, name, 0
        ipsec.Guest._taps += 1
        tap = f"tap{ipsec.Guest._taps}"
        number = segment.next_host()
        self.address = str(ipaddress.ip_address(address) if address else segment.network[number])
        self.dir = lab.dir / f"machine-{name}"
        self.dir.mkdir(mode=0o755)
        tree = pathlib.Path(os.environ["KERNEL"])
        kernel = next(tree.glob("boot/vmlinuz-*"))
        version = kernel.name.removeprefix("vmlinuz-")
        self.modules = lab.dir / f"modules-{name}"
        (self.modules / "lib/modules" / version).mkdir(parents=True)
        for entry in (tree / "lib/modules" / version).iterdir():
            if not entry.name.startswith("modules.") or entry.name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
                (self.modules / "lib/modules" / version / entry.name).symlink_to(entry)
        command("depmod", "-b", self.modules, version)
        self._write("modprobe", f'#!/bin/sh\nexec /sbin/modprobe -d {self.modules} "$@"\n', 0o755)
        self._write("init", _INIT.format(dir=self.dir, modules=self.modules, address=self.address, bits=segment.network.prefixlen, gateway=segment.gateway),
                    0o755)
        segment.node.ip(f"tuntap add {tap} mode tap", f"link set dev {tap} up", f"link set dev {tap} master {segment.bridge}")
        mac = "02:00:00:%02x:%02x:%02x" % tuple(ipaddress.ip_address(self.address).packed[1:])
        self.process = segment.node.start(
            "nice", "-n", "5", "qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-cpu", "max", "-m", "384", "-smp", "1",
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-kernel", kernel, "-initrd", self._initrd(version),
            "-append", "console=ttyS0 quiet panic=-1", "-serial", "stdio",
            "-fsdev", "local,id=r,path=/,security_model=none,readonly=on,multidevs=remap",
            "-device", "virtio-9p-pci,fsdev=r,mount_tag=root",
            "-fsdev", f"local,id=w,path={self.dir},security_model=none,multidevs=remap",
            "-device", "virtio-9p-pci,fsdev=w,mount_tag=work",
            "-netdev", f"tap,id=n0,ifname={tap},script=no,downscript=no",
            "-device", f"virtio-net-pci,netdev=n0,mac={mac},romfile=", name="machine")
        self.process.wait_log("GUEST-READY", 120)

    def _initrd(self, version):
        root = self.dir / "initrd"
        for folder in ("bin", "m", "proc", "new"):
            (root / folder).mkdir(parents=True)
        shutil.copy(shutil.which("busybox"), root / "bin/busybox")
        for name in ("sh", "mount", "insmod", "switch_root"):
            (root / "bin" / name).symlink_to("busybox")
        files = []
        for module in BOOT:
            shown = command("modprobe", "-d", self.modules, "-S", version, "--show-depends", module).stdout
            files += [line.split()[1] for line in shown.splitlines() if line.startswith("insmod")]
        for number, file in enumerate(dict.fromkeys(files)):
            shutil.copy(file, root / f"m/{number:02}.ko")
        (root / "init").write_text(_FIRST.format(dir=self.dir))
        (root / "init").chmod(0o755)
        names = "\n".join(str(p.relative_to(root)) for p in root.rglob("*"))
        archive = command("sh", "-c", f"cd {root} && cpio -o -H newc --quiet > ../initrd.cpio", text=names)
        assert archive.returncode == 0
        return self.dir / "initrd.cpio"
