"""Small questions that tests ask through sockets of their own: does a port open, does traffic pass, who gets what?"""
import socket
import struct

import lab as labs


def tcp(node, address, port, timeout=0.5):
    """What a connection attempt meets: "open", "refused" (a RST), "unreachable" (an ICMP error) or "silent"."""
    with node.socket(socket.SOCK_STREAM, timeout=timeout) as sock:
        try:
            sock.connect((address, port))
            return "open"
        except TimeoutError:
            return "silent"
        except ConnectionRefusedError:
            return "refused"
        except OSError:
            return "unreachable"


def udp(node, address, port, timeout=0.5):
    """What a datagram meets: "answered", "refused" (ICMP port unreachable) or "silent"."""
    with node.socket(timeout=timeout) as sock:
        sock.connect((address, port))
        sock.send(b"a question")
        try:
            return "answered" if sock.recv(100) else None
        except TimeoutError:
            return "silent"
        except ConnectionRefusedError:
            return "refused"


def ping(node, address, timeout=1):
    """Whether one echo request is answered."""
    return node.run(["ping", "-n", "-c1", f"-W{timeout}", address], check=False).returncode == 0


class Ports:
    """Listening TCP ports in a node; the kernel accepts, nobody answers."""

    def __init__(self, node, *ports):
        self.sockets = {}
        for port in ports:
            sock = node.socket(socket.SOCK_STREAM, bind=None)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("0.0.0.0", port))
            sock.listen(64)
            self.sockets[port] = sock

    def accept(self, port, client):
        """The connection that this client has opened; others before it are dropped."""
        while True:
            sock, peer = self.sockets[port].accept()
            if peer[1] == client.getsockname()[1]:
                sock.settimeout(2)
                return sock
            sock.close()

    def close(self):
        for sock in self.sockets.values():
            sock.close()


def call(caller, called):
    """Opens the tunnel and returns both sides' reports of it."""
    steps = caller.call(called.name)
    assert steps[-1]["up"], steps
    return caller.peer(called.name), called.wait_peer(caller.name)


def refused_call(caller, called_name):
    """A call that has to fail; its last report."""
    steps = caller.call(called_name, check=False)
    assert steps[-1].get("up") is False, steps
    return steps[-1]


def refusal(host, name):
    """What a host says about a caller that it has refused, once it does."""
    return labs.wait_until(lambda: next((r for r in host.status()["refused"] if r["name"] == name), None), 10,
                           lambda: f"{host.node.name} tells that it refused {name}: {host.status()['refused']}\n{host.process.log}")


def ip_header(source, destination, protocol, payload_len, ttl=64):
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + payload_len, 0, 0, ttl, protocol, 0,
                         socket.inet_aton(source), socket.inet_aton(destination))
    return header  # the kernel fills in the checksum of raw packets


class Spoofer:
    """Sends UDP datagrams with any source address from a node."""

    def __init__(self, node):
        with labs.in_namespace(node.namespace):
            self.sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)

    def send(self, source, destination, payload):
        """source, destination: (address, port)."""
        datagram = struct.pack("!HHHH", source[1], destination[1], 8 + len(payload), 0) + payload
        self.sock.sendto(ip_header(source[0], destination[0], 17, len(datagram)) + datagram, (destination[0], 0))

    def close(self):
        self.sock.close()
