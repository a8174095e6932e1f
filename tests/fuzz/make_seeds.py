#!/usr/bin/python3
"""Writes the seeds of the fuzzers of codecs (seeds/NAME/…), one file a case, from tests/vectors and from what stands here.
Run it in this folder; seeds that are there already and not named here stay."""
import base64
import ipaddress
import pathlib
import struct

HERE = pathlib.Path(__file__).resolve().parent
VECTORS = HERE.parent / "vectors"


def save(fuzzer, name, data):
    folder = HERE / "seeds" / fuzzer
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def cases(file):
    case = {}
    for line in (VECTORS / file).read_text().splitlines() + [""]:
        if " = " in line:
            name, value = line.split(" = ", 1)
            case[name] = value
        elif not line and case:
            yield case
            case = {}


def slug(text):
    return "-".join("".join(c if c.isalnum() else " " for c in text.lower()).split())[:40]


# ---- PCP ----

PCP_NONCE = bytes.fromhex("569192f2fe6327230a234900")


def pcp(opcode=1, result=0, lifetime=600, epoch=30, body=b""):
    return struct.pack(">BBBBII12x", 2, 0x80 | opcode, 0, result, lifetime, epoch) + body


def make_pcp():
    body = (PCP_NONCE + struct.pack(">B3xHH", 17, 32589, 41000) + bytes(10) + b"\xff\xff"
            + ipaddress.ip_address("198.51.101.7").packed)
    save("pcp", "map", pcp(body=body))
    save("pcp", "map-with-option", pcp(body=body + struct.pack(">BBH", 2, 0, 0)))
    save("pcp", "refused", pcp(result=2, body=body))
    save("pcp", "refused-bare", pcp(result=4))
    save("pcp", "announce", pcp(opcode=0))
    save("pcp", "other-version", bytes([1]) + pcp(result=1)[1:])
    save("pcp", "legacy-only", bytes.fromhex("0081000100000009"))
    save("pcp", "legacy-address", bytes.fromhex("0080000000000100c6336507"))
    save("pcp", "legacy-map", bytes.fromhex("00810000000000057f4da02800000064"))


# ---- IP ----

def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip4(protocol, payload, src="0.0.0.2", dst="0.0.0.86", flags=0x4000, options=b""):
    words = 5 + len(options) // 4
    head = struct.pack(">BBHHHBBH", 0x40 | words, 0, words * 4 + len(payload), 0, flags, 64, protocol, 0)
    head += ipaddress.ip_address(src).packed + ipaddress.ip_address(dst).packed + options
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def ip6(next_header, payload, src="2001:20::1", dst="2001:20::2"):
    return (struct.pack(">IHBB", 6 << 28, len(payload), next_header, 64)
            + ipaddress.ip_address(src).packed + ipaddress.ip_address(dst).packed + payload)


def make_ip():
    echo = bytes.fromhex("08004d5a00010001") + b"abcdefgh"
    tcp = struct.pack(">HHIIBBHHH", 40000, 22, 1, 0, 0x50, 2, 65535, 0x1234, 0)
    udp = struct.pack(">HHHH", 5353, 53, 12, 0) + b"data"
    save("ip", "icmp", ip4(1, echo))
    save("ip", "tcp", ip4(6, tcp))
    save("ip", "udp-without-checksum", ip4(17, udp))
    save("ip", "first-fragment", ip4(17, udp, flags=0x2000))
    save("ip", "last-fragment", ip4(17, b"tail", flags=0x0002))
    save("ip", "source-route", ip4(1, echo, options=bytes([0x83, 7, 4, 10, 0, 0, 1, 0])))
    save("ip", "icmp-error", ip4(1, bytes([3, 3, 0, 0, 0, 0, 0, 0]) + ip4(17, udp)))
    save("ip", "ipip", ip4(4, ip4(1, echo)))
    save("ip", "ipv6-udp", ip6(17, udp))
    save("ip", "ipv6-options-and-fragment",
         ip6(0, bytes([44, 0, 1, 4, 0, 0, 0, 0]) + bytes([17, 0, 0, 1, 0, 0, 0, 9]) + udp))
    save("ip", "ipv6-routing", ip6(43, bytes([17, 2, 0, 1, 0, 0, 0, 0]) + bytes(16) + udp))
    save("ip", "ipv6-icmp-error", ip6(58, bytes([1, 4, 0, 0, 0, 0, 0, 0]) + ip6(17, udp)))


# ---- DNS ----

def dns_name(text):
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".") if label) + b"\0"


def record(owner, kind, ttl, rdata, klass=1):
    return owner + struct.pack(">HHIH", kind, klass, ttl, len(rdata)) + rdata


def message(flags, question, answers=(), authority=(), additional=()):
    name, kind = question
    head = struct.pack(">HHHHHH", 0x4242, flags, 1, len(answers), len(authority), len(additional))
    return head + dns_name(name) + struct.pack(">HH", kind, 1) + b"".join([*answers, *authority, *additional])


def make_dns():
    here = b"\xc0\x0c"  # the question's name
    opt = b"\0" + struct.pack(">HHIH", 41, 1232, 0x8000, 0)
    soa = (dns_name("detec.example.net") + b"\x0ahostmaster" + b"\xc0\x0c"
           + struct.pack(">IIIII", 1, 3600, 600, 86400, 5))
    host = "home-pc.detec.example.net"
    ipseckey = bytes([10, 0, 4]) + bytes(range(32))
    save("dns", "query", message(0x0100, (host, 1), additional=[opt]))
    save("dns", "answer", message(0x8180, (host, 1), [record(here, 1, 5, bytes([0, 0, 0, 1]))], additional=[opt]))
    save("dns", "cname", message(0x8180, ("www.example.com", 1), [
        record(here, 5, 60, dns_name(host)), record(dns_name(host), 1, 5, bytes([0, 0, 0, 1]))]))
    save("dns", "ipseckey", message(0x8180, (host, 45), [record(here, 45, 5, ipseckey)]))
    save("dns", "ipseckey-with-gateway", message(0x8180, (host, 45), [
        record(here, 45, 5, bytes([10, 1, 4, 192, 0, 2, 1]) + bytes(32)),
        record(here, 45, 5, bytes([10, 3, 4]) + dns_name("gw.example.net") + bytes(32))]))
    save("dns", "srv", message(0x8180, ("_detec._tcp.detec.example.net", 33), [
        record(here, 33, 60, struct.pack(">HHH", 0, 0, 4500) + dns_name("detec.example.net"))]))
    save("dns", "nodata", message(0x8180, ("detec.example.net", 16), authority=[record(here, 6, 5, soa)]))
    save("dns", "aaaa-and-unknown", message(0x8180, (host, 255), [
        record(here, 28, 5, ipaddress.ip_address("2001:db8::1").packed), record(here, 65280, 5, b"what?")]))


# ---- IKE ----

def payload(following, body):
    return struct.pack(">BBH", following, 0, 4 + len(body)) + body


def ike(exchange, flags, first, payloads, message_id=0):
    out = b""
    for i, (_, body) in enumerate(payloads):
        out += payload(payloads[i + 1][0] if i + 1 < len(payloads) else 0, body)
    return struct.pack(">QQBBBBII", 0x1122334455667788, 0, first, 0x20, exchange, flags, message_id, 28 + len(out)) + out


def transform(last, kind, number, bits=0):
    attribute = struct.pack(">HH", 0x800E, bits) if bits else b""
    return struct.pack(">BBHBBH", 0 if last else 3, 0, 8 + len(attribute), kind, 0, number) + attribute


def proposal(protocol, spi, transforms):
    body = b"".join(transforms)
    return struct.pack(">BBHBBBB", 0, 0, 8 + len(spi) + len(body), 1, protocol, len(spi), len(transforms)) + spi + body


def selectors(*addresses):
    out = bytes([len(addresses), 0, 0, 0])
    for text in addresses:
        a = ipaddress.ip_address(text)
        out += struct.pack(">BBHHH", 7 if a.version == 4 else 8, 0, 8 + 2 * len(a.packed), 0, 65535) + 2 * a.packed
    return out


def make_ike():
    sa = proposal(1, b"", [transform(False, 1, 20, 256), transform(False, 1, 28), transform(False, 2, 5),
                           transform(True, 4, 31)])
    save("ike_message", "sa-init", ike(34, 0x08, 33, [
        (33, sa), (34, struct.pack(">HH", 31, 0) + bytes(range(32))), (40, bytes(range(32))),
        (41, bytes([0, 0]) + struct.pack(">H", 16388) + bytes(20)),
        (41, bytes([0, 0]) + struct.pack(">HH", 16431, 5))]))
    child = proposal(201, bytes([1, 2, 3, 4]), [transform(False, 1, 1026), transform(True, 1, 1025)])
    save("ike_message", "inside-of-auth", ike(35, 0x08, 35, [
        (35, bytes([2, 0, 0, 0]) + b"laptop.detec.example.net"), (37, bytes([15]) + bytes(44)),
        (39, bytes([14, 0, 0, 0]) + bytes.fromhex("07300506032b6570") + bytes(64)),
        (33, child), (44, selectors("0.0.0.2")), (45, selectors("0.0.0.86", "2001:20::1"))], 1))
    save("ike_message", "delete", ike(37, 0x08, 42, [(42, bytes([201, 4, 0, 2]) + bytes(8)), (42, bytes([1, 0, 0, 0]))]))
    save("ike_message", "sealed", struct.pack(">QQBBBBII", 1, 2, 46, 0x20, 37, 0x08, 2, 28 + 4 + 8 + 17)
         + payload(0, bytes(8 + 17)))
    # RFC 7383: the second of three fragments, the first one (which names what is inside), numbers that cannot be
    for name, first, number, total in (("fragment", 0, 2, 3), ("fragment-first", 35, 1, 3), ("fragment-wrong", 0, 4, 3)):
        body = struct.pack(">HH", number, total) + bytes(8 + 17)
        save("ike_message", name, struct.pack(">QQBBBBII", 1, 2, 53, 0x20, 35, 0x08, 1, 28 + 4 + len(body)) + payload(first, body))


def chain(first, *payloads):
    """The type of the first payload, then all of them: (type, body) each."""
    out = b""
    for i, (_, body) in enumerate(payloads):
        out += payload(payloads[i + 1][0] if i + 1 < len(payloads) else 0, body)
    return bytes([first]) + out


def make_engine():
    """Stage and variant (fuzz_ike.c), then a message, or what is sealed in one."""
    public = bytes([9]) + bytes(31)
    nonce = (40, bytes(range(32)))
    ke = (34, struct.pack(">HH", 31, 0) + public)
    rekey = (41, bytes([201, 4]) + struct.pack(">HI", 16393, 0x01020304))
    ends = [(44, selectors("0.0.0.2")), (45, selectors("0.0.0.86"))]
    child = (33, proposal(201, bytes([1, 2, 3, 4]), [transform(True, 1, 1025)]))
    child_ke = (33, proposal(201, bytes([1, 2, 3, 4]), [transform(False, 1, 1025), transform(True, 4, 31)]))
    ike_sa = (33, proposal(1, b"", [transform(False, 1, 20, 256), transform(False, 2, 5), transform(True, 4, 31)]))
    ike_rekey = (33, proposal(1, bytes(range(1, 9)), [transform(False, 1, 28), transform(False, 2, 5), transform(True, 4, 31)]))
    hashes = (41, bytes([0, 0]) + struct.pack(">HH", 16431, 5))
    proof = (39, bytes([14, 0, 0, 0]) + bytes.fromhex("07300506032b6570") + bytes(64))
    cert = (37, bytes([15]) + bytes.fromhex("302a300506032b6570032100") + public)

    def put(name, stage, variant, data):
        save("ike", name, bytes([stage, variant]) + data)

    put("stranger-init", 0, 0, ike(34, 0x08, 33, [ike_sa, ke, nonce, hashes]))
    put("stranger-version", 0, 0, struct.pack(">QQBBBBII", 1, 0, 33, 0x30, 34, 8, 0, 28))
    put("init-answer", 1, 0, chain(33, ike_sa, ke, nonce, hashes))
    put("init-cookie", 1, 0, chain(41, (41, bytes([0, 0]) + struct.pack(">H", 16390) + b"cookie")))
    put("auth-request", 2, 0, chain(35, (35, bytes([2, 0, 0, 0]) + b"a.example.net"), cert, proof, child, *ends))
    put("auth-answer", 3, 0, chain(36, (36, bytes([11, 0, 0, 0]) + public), cert, proof, child, *ends))
    put("auth-refused", 3, 0, chain(41, (41, bytes([0, 0, 0, 24]))))
    put("rekey-child", 4, 1, chain(41, rekey, child_ke, nonce, ke, *ends))
    put("rekey-ike", 4, 1, chain(33, ike_rekey, nonce, ke))
    put("delete", 4, 2, chain(42, (42, bytes([201, 4, 0, 1, 1, 2, 3, 4])), (42, bytes([1, 0, 0, 0]))))
    put("notify", 4, 2, chain(41, (41, bytes([0, 0]) + struct.pack(">H", 56800) + b"data")))
    put("unknown", 4, 3, chain(200, (200, b"what")))
    put("rekey-child-answer", 5, 0, chain(33, child_ke, nonce, ke, *ends))
    put("rekey-ike-answer", 5, 1, chain(33, ike_rekey, nonce, ke))
    put("rekey-refused", 5, 0, chain(41, (41, bytes([0, 0, 0, 43]))))


def make_streams():
    def frame(data):
        return struct.pack(">H", 2 + len(data)) + data
    stream = b"IKETCP" + frame(bytes(4) + b"message one") + frame(b"\xff") + frame(b"") + frame(b"\1\2\3\4sealed")
    save("ike_stream", "frames", bytes([2]) + stream + frame(bytes(4) + b"m" * 100))
    save("ike_stream", "too-long", bytes([9]) + stream + frame(bytes(600)))
    save("ike_stream", "another-protocol", bytes([0]) + b"GET / HTTP/1.1")
    save("ike_stream", "length-of-one", bytes([3]) + stream + b"\0\1")


def make_names():
    for seed in (HERE / "seeds" / "dns").iterdir():
        save("names", seed.name, seed.read_bytes())
    save("names", "ptr", message(0x0100, ("2.0.0.0.in-addr.arpa", 12)))
    save("names", "zone-soa", message(0x0100, ("Detec.example.net", 6)))
    save("names", "zone-ns", message(0x0100, ("detec.example.net", 2)))
    save("names", "zone-srv", message(0x0100, ("_detec._tcp.detec.example.net", 33)))
    save("names", "zone-ipseckey", message(0x0100, ("home-pc.detec.example.net", 45)))
    save("names", "zone-nothing", message(0x0100, ("b.detec.example.net", 255)))
    save("names", "state-pool", b"detec-pool 1 10.0.0.0/8\n10.1.2.3 home-pc.detec.example.net used 1700000400\n"
         b"end 1 97365140335b736a\n")
    save("names", "state-trust", b"detec-trust 1\nconnector detec.example.net "
         b"qgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= first-contact 1700000400\nend 1 88b07385332a43c4\n")


def make_texts():
    save("config", "host", b"""; comment
[host]
text = /var/lib/detec  ; with comment
name = home-pc.detec.example.net
flag = yes
port = 32589
[trust]
time = 10m
endpoint = [2001:db8::1]:4500
address = 192.0.2.1
address = 2001:db8::1
prefix = 0.0.0.0/8
""")
    save("config", "wrong", b"[host]\nflag = maybe\nwhat = 1\nport = 0\n[none]\na = b\nname\n = x\n[host\n")
    save("config", "long", b"[host]\ntext = " + b"a" * 200 + b"\nname = " + b"b." * 90 + b"\n")
    for i, text in enumerate(["home-pc.detec.example.net.", "_detec._tcp.example.net", "192.0.2.1:4500",
                              "[2001:db8::1]:4500", "2001:db8::ffff:192.0.2.1", "0.0.0.0/8", "2001:20::/28", "1h", "250ms",
                              "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", "0011aaff"]):
        save("text", f"text-{i:02}", text.encode())
    save("text", "spki", bytes.fromhex("302a300506032b6570032100") + bytes(range(32)))
    save("text", "pem", b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
         b"-----END PRIVATE KEY-----\n")


# ---- IKEv1 ----

def attribute(kind, value):
    return struct.pack(">HH", 0x8000 | kind, value)


def v1_sa(protocol, spi, identifier, attributes):
    transform_body = bytes([1, identifier, 0, 0]) + b"".join(attribute(k, v) for k, v in attributes)
    transforms = payload(0, transform_body)
    return struct.pack(">II", 1, 1) + payload(0, bytes([1, protocol, len(spi), 1]) + spi + transforms)


def v1_chain(payloads):
    """The type of the first, then all."""
    out = bytes([payloads[0][0]])
    for i, (_, body) in enumerate(payloads):
        out += payload(payloads[i + 1][0] if i + 1 < len(payloads) else 0, body)
    return out


def make_ikev1():
    """Stage and variant (fuzz_ikev1.c), then a message, or payloads behind the type of the first."""
    natt = (13, bytes.fromhex("4a131c81070358455c5728f20e95452f"))
    dpd = (13, bytes.fromhex("afcad71368a1f1c96b8696fc77570100"))
    phase_1 = (1, v1_sa(1, b"", 1, [(1, 7), (14, 256), (2, 4), (4, 31), (3, 1), (11, 1), (12, 28800)]))
    old = (1, v1_sa(1, b"", 1, [(1, 5), (2, 2), (4, 2), (3, 1)]))
    phase_2 = (1, v1_sa(3, bytes([0xc0, 1, 2, 3]), 20, [(4, 3), (6, 256), (1, 1), (2, 3600)]))
    phase_2_pfs = (1, v1_sa(3, bytes([0xc0, 1, 2, 3]), 20, [(4, 3), (6, 256), (3, 31)]))
    ke, nonce, nat_d = (4, bytes([9]) + bytes(31)), (10, bytes(range(32))), (20, bytes(32))
    ends = [(5, bytes([4, 0, 0, 0]) + bytes(8)), (5, bytes([4, 0, 0, 0]) + bytes(8))]
    cookies = bytes(16)

    def put(name, stage, payloads, variant=0):
        save("ikev1", name, bytes([stage, variant]) + v1_chain(payloads))

    def stranger(name, exchange, payloads):
        chain = v1_chain(payloads)
        save("ikev1", name, bytes([0, 0]) + struct.pack(">QQBBBBII", 0x1122334455667788, 0, chain[0], 0x10, exchange, 0, 0,
                                                        27 + len(chain)) + chain[1:])

    stranger("stranger-main", 2, [phase_1, natt, dpd])
    stranger("stranger-old", 2, [old, natt])
    stranger("stranger-aggressive", 4, [phase_1, ke, nonce, (5, bytes([2, 0, 0, 0]) + b"x")])
    put("message-2", 1, [phase_1, natt, dpd])
    put("message-3", 2, [ke, nonce, nat_d, nat_d])
    put("message-4", 3, [ke, nonce, nat_d, nat_d])
    put("proof", 4, [(5, bytes([2, 0, 0, 0]) + b"x"), (8, bytes(32))])
    put("quick", 5, [phase_2, nonce] + ends)
    put("quick-pfs", 5, [phase_2_pfs, nonce, ke] + ends)
    put("quick-nat-oa", 5, [phase_2, nonce] + ends + [(21, bytes([1, 0, 0, 0, 10, 0, 0, 1]))] * 2)
    put("quick-answer", 6, [phase_2, nonce] + ends)
    lines = (HERE.parent / "pki/p256.pem").read_text().split("-----")[2]
    cert, stub = (6, b"\x04" + base64.b64decode(lines)), (6, b"\x04\x30\x03\x02\x01\x01")
    name, sign = (5, bytes([2, 0, 0, 0]) + b"gate.example.net"), (9, bytes(range(1, 65)))
    request = (7, b"\x04" + bytes.fromhex("300d310b300906035504030c024341"))
    put("signed-keys", 8, [ke, nonce, request, (7, b"\x04"), nat_d, nat_d])
    put("signed-proof", 9, [name, cert, sign])
    put("signed-proof-chain", 9, [name] + [stub] * 6 + [request, sign])
    put("signed-proof-short", 9, [name, (6, b""), (6, b"\x07"), (9, b"")])
    put("signed-proof-key", 9, [name, sign])
    put("signed-answer", 10, [name, sign])
    put("signed-answer-cert", 10, [name, stub, stub, sign, (11, struct.pack(">IBBH", 1, 1, 16, 24578) + cookies)])
    put("delete-child", 7, [(12, struct.pack(">IBBH", 1, 3, 4, 1) + bytes(4))])
    put("delete-phase", 7, [(12, struct.pack(">IBBH", 1, 1, 16, 1) + cookies)])
    put("liveness", 7, [(11, struct.pack(">IBBH", 1, 1, 16, 36136) + cookies + bytes(4))])
    put("error", 7, [(11, struct.pack(">IBBH", 1, 3, 4, 14) + bytes(4))])
    put("initial-contact", 7, [(11, struct.pack(">IBBH", 1, 1, 16, 24578) + cookies)])


def main():
    make_ip()
    make_pcp()
    make_dns()
    make_names()
    make_ike()
    make_ikev1()
    make_engine()
    make_streams()
    make_texts()
    for case in cases("notify.txt"):
        save("notify", slug(case["name"]), struct.pack(">H", int(case["type"])) + bytes.fromhex(case["data"]))
    for case in cases("stun.txt"):
        save("stun", slug(case["name"]), bytes.fromhex(case["message"]))
    error = bytes.fromhex("000904") + bytes([20]) + b"what"
    padding = struct.pack(">HH", 0x26, 96) + bytes(96)
    for name, attributes in (("change", struct.pack(">HHI", 3, 4, 6) + padding),
                             ("ticket", struct.pack(">HH", 0xDE7F, 0) + padding),
                             ("response_port", struct.pack(">HHHHHH", 0x27, 4, 5555, 0, 0xDE7F, 20) + bytes(20))):
        save("stun", name, struct.pack(">HHI", 1, len(attributes), 0x2112A442) + bytes(12) + attributes)
    save("stun", "error", struct.pack(">HHI", 0x0111, 20, 0x2112A442) + bytes(12)
         + struct.pack(">HH", 9, 8) + error[2:4].rjust(4, b"\0") + b"what" + struct.pack(">HHHH", 10, 2, 0x7777, 0))
    for file in ("sput-paper.txt", "sput-aead.txt"):
        for case in cases(file):
            if "message" in case:
                save("sput", slug(case["name"]), bytes.fromhex(case["message"]))


if __name__ == "__main__":
    main()

# ---- ESP: form, next header, outer DSCP and ECN, what is sealed ----

def ipv4(source, destination, protocol, payload, flags=0x4000):
    return struct.pack(">BBHHHBBH", 0x45, 2, 20 + len(payload), 1, flags, 64, protocol, 0) + \
        ipaddress.ip_address(source).packed + ipaddress.ip_address(destination).packed + payload


ESP_UDP = struct.pack(">HHHH", 1000, 53, 12, 0x1234) + b"text"
ESP_ICMP = struct.pack(">BBHI", 3, 3, 0xABCD, 0) + ipv4("10.0.0.77", "10.0.0.5", 17, ESP_UDP)
for form in range(4):
    save("esp", f"udp-{form}", bytes([form, 17, 0]) + ESP_UDP)
    save("esp", f"icmp-error-{form}", bytes([form, 1, 3]) + ESP_ICMP)
    save("esp", f"whole-{form}", bytes([form, 4, 1]) + ipv4("10.0.0.5", "10.0.0.77", 17, ESP_UDP))
    save("esp", f"network-{form}", bytes([form, 4, 0]) + ipv4("10.1.0.5", "10.1.7.7", 17, ESP_UDP) + bytes(9))
    save("esp", f"fragment-{form}", bytes([form, 4, 0]) + ipv4("10.0.0.5", "10.0.0.77", 17, ESP_UDP, 0x2001))
    save("esp", f"command-{form}", bytes([form, 253, 0, 3, 0, 0, 0, 1, 2, 3, 4]))
    save("esp", f"dummy-{form}", bytes([form, 59, 0]))
