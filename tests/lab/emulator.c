/*
 * A box of a bad or odd network for the lab: delay, jitter, loss, reordering, duplication and
 * corruption per direction, and the NAT kinds that the kernel lacks (RFC 4787). It owns all frames
 * of its interfaces through AF_PACKET sockets; the namespace's own kernel has no address on them
 * and stays silent. Interfaces must have their offloads switched off (lab.py does). Everything
 * random comes from --seed, so a run can be repeated.
 *
 *   lab_emulator bridge [--seed N] IF[,key=value…] IF[,key=value…] …
 *   lab_emulator nat    [--seed N] [nat options] --lan IF=ADDR/LEN[,key=value…] … --wan
 * IF=ADDR/LEN[,key=value…]
 *
 * NAT options: --mapping, --filtering ei|ad|apd, --ports preserve|sequential|random, --step N (of
 * sequential ports), --traffic N (ports a second that other hosts take), --public A (one more
 * address), --arbitrary (which of them a mapping gets), --hairpin, --lifetime MS, --reject,
 * --outbound-refresh-only, --gateway A.
 *
 * Keys of an interface concern what comes in there: delay, jitter, reorder-by (ms), loss, reorder,
 * duplicate, corrupt (0…1). Jitter alone keeps the order. Commands on standard input, one a line:
 * `stats`, `flush` (a NAT that was switched off and on), `address A` (a new public address), `set
 * IF,key=value…`; its end ends the box.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PORTS_MAX      8
#define QUEUE_MAX      20000 /* frames under way; more are lost, as in any full queue */
#define FRAME_MAX      9018
#define ETHER_LEN      14
#define MAPPINGS_MAX   4096
#define PEERS_MAX      4096 /* remembered destinations of one mapping */
#define NEIGHBOURS_MAX 64
#define PENDING_MAX    16 /* packets that wait for one neighbour's address */
#define FRAGMENTS_MAX  64
#define TIMESTAMP_OPT  68 /* RFC 791 */

enum scope { SCOPE_ANY, SCOPE_ADDRESS, SCOPE_ADDRESS_PORT }; /* what a mapping or filter looks at */
enum allocation { PORTS_PRESERVE, PORTS_SEQUENTIAL, PORTS_RANDOM };

struct link {
    double loss, reorder, duplicate, corrupt;
    uint64_t delay_us, jitter_us, reorder_by_us;
    uint64_t random;     /* state of this direction's generator */
    uint64_t background; /* of the one for the kernels' own housekeeping */
    uint64_t last_due;   /* jitter never overtakes: due times of ordinary frames do not go back */
    uint64_t received, lost, reordered, duplicated, corrupted;
};

struct port {
    char name[IFNAMSIZ];
    int fd;
    uint8_t mac[6];
    uint32_t address, mask;
    struct link link;
};

struct frame {
    uint64_t due, order;
    int port;
    size_t len;
    uint8_t data[];
};

struct peer {
    uint32_t address;
    uint16_t port;
    uint64_t expires;
};

struct mapping {
    uint8_t protocol;
    uint32_t inner, outer;
    uint16_t inner_port, outer_port;
    uint32_t to; /* with address-dependent mapping */
    uint16_t to_port;
    uint64_t expires;
    struct peer *peers;
    int peer_count, peer_next;
};

struct neighbour {
    uint32_t address;
    uint8_t mac[6];
    bool is_known;
    uint64_t asked;
    struct {
        size_t len;
        uint8_t *data;
    } pending[PENDING_MAX];
    int pending_count;
};

struct fragment {
    uint32_t source, destination;
    uint16_t id, source_port, destination_port;
};

struct nat {
    enum scope mapping, filtering;
    enum allocation allocation;
    bool hairpin, inbound_refreshes, rejects, pools_arbitrarily;
    int step;       /* sequential: from one port to the next */
    double traffic; /* sequential: ports that other hosts take in a second */
    uint64_t traffic_at;
    uint64_t lifetime_us;
    uint32_t gateway;
    uint32_t publics[4];
    int public_count;
    uint16_t next_port;
    uint64_t random;
    struct mapping *mappings[MAPPINGS_MAX];
    int mapping_count;
    struct fragment fragments[FRAGMENTS_MAX];
    int fragment_next;
    uint64_t filtered, unmapped, hairpinned, translated;
};

struct box {
    struct port ports[PORTS_MAX];
    int port_count;
    int wan; /* index of the WAN port; -1 in a bridge */
    struct nat nat;
    struct neighbour neighbours[NEIGHBOURS_MAX];
    int neighbour_count;
    struct frame *heap[QUEUE_MAX];
    int heap_count;
    uint64_t order, overflows;
    uint64_t now; /* µs */
    uint64_t seed;
};

/* An IPv4 packet taken apart in place. */
struct ip {
    uint8_t *data, *payload;
    size_t len, header_len, payload_len;
    uint8_t protocol;
    uint32_t source, destination;
    bool is_fragment, is_first;
};

__attribute__((format(printf, 1, 2), noreturn)) static void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("lab_emulator: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

/* ---- bytes, checksums, chance ---- */

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, (uint16_t)(v >> 16));
    put16(p + 2, (uint16_t)v);
}

static uint16_t checksum(const uint8_t *p, size_t len)
{
    uint32_t sum = 0;
    for (size_t i = 0; i + 1 < len; i += 2)
        sum += get16(p + i);
    if (len % 2)
        sum += (uint32_t)p[len - 1] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* Replaces a 16-bit word and corrects the checksum that covers it (RFC 1624, equation 3). */
static void replace16(uint8_t *p, uint16_t v, uint8_t *sum_at)
{
    if (sum_at) {
        uint32_t sum = (uint16_t)~get16(sum_at) + (uint32_t)(uint16_t)~get16(p) + v;
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        put16(sum_at, (uint16_t)~sum);
    }
    put16(p, v);
}

static uint64_t random_next(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u); /* splitmix64 */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static bool chance(uint64_t *state, double probability)
{
    return (double)(random_next(state) >> 11) / 9007199254740992.0 < probability;
}

static uint64_t clock_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- frames under way: a heap by due time ---- */

static bool frame_before(const struct frame *a, const struct frame *b)
{
    return a->due != b->due ? a->due < b->due : a->order < b->order;
}

static void heap_push(struct box *box, struct frame *frame)
{
    int i = box->heap_count++;
    for (; i > 0 && frame_before(frame, box->heap[(i - 1) / 2]); i = (i - 1) / 2)
        box->heap[i] = box->heap[(i - 1) / 2];
    box->heap[i] = frame;
}

static struct frame *heap_pop(struct box *box)
{
    struct frame *top = box->heap[0], *last = box->heap[--box->heap_count];
    int i = 0;
    for (int child; (child = 2 * i + 1) < box->heap_count; i = child) {
        if (child + 1 < box->heap_count && frame_before(box->heap[child + 1], box->heap[child]))
            child++;
        if (!frame_before(box->heap[child], last))
            break;
        box->heap[i] = box->heap[child];
    }
    box->heap[i] = last;
    return top;
}

static void frame_queue(struct box *box, int port, const uint8_t *data, size_t len, uint64_t due,
                        uint64_t *corrupt_by)
{
    if (box->heap_count == QUEUE_MAX) {
        box->overflows++;
        return;
    }
    struct frame *frame = malloc(sizeof(*frame) + len);
    if (!frame)
        fail("out of memory");
    *frame = (struct frame){.due = due, .order = box->order++, .port = port, .len = len};
    memcpy(frame->data, data, len);
    if (corrupt_by && len > ETHER_LEN) {
        uint64_t r = random_next(corrupt_by);
        frame->data[ETHER_LEN + (r >> 3) % (len - ETHER_LEN)] ^= (uint8_t)(1u << (r & 7));
    }
    heap_push(box, frame);
}

/* What kernels send by themselves, at times of their own: address resolution, router and neighbour
 * discovery (RFC 4861), multicast listener reports (RFC 3810). */
static bool is_housekeeping(const uint8_t *data, size_t len)
{
    if (get16(data + 12) == ETHERTYPE_IP)
        return false;
    if (get16(data + 12) != ETHERTYPE_IPV6 || len < ETHER_LEN + 41)
        return true;
    const uint8_t *ip = data + ETHER_LEN;
    return ip[24] == 0xff || (ip[6] == IPPROTO_ICMPV6 && ip[40] >= 133 && ip[40] <= 137);
}

/* What the link does to one frame. Every chance is drawn for every frame, so that changing one
 * probability leaves the others' decisions as they were; housekeeping has a generator of its own,
 * so that the fate of what a test sends never depends on it. Address resolution is delayed only. */
static void link_pass(struct box *box, int port, const uint8_t *data, size_t len)
{
    struct link *link = &box->ports[port].link;
    uint64_t *random = is_housekeeping(data, len) ? &link->background : &link->random;
    bool is_ip = get16(data + 12) == ETHERTYPE_IP || get16(data + 12) == ETHERTYPE_IPV6;
    bool lose = chance(random, link->loss) && is_ip;
    bool duplicate = chance(random, link->duplicate) && is_ip;
    bool corrupt = chance(random, link->corrupt) && is_ip;
    bool reorder = chance(random, link->reorder) && is_ip;
    uint64_t jitter = random_next(random) % (link->jitter_us + 1);

    link->received++;
    if (lose) {
        link->lost++;
        return;
    }
    uint64_t due = box->now + link->delay_us + jitter;
    if (due < link->last_due)
        due = link->last_due;
    if (reorder) {
        link->reordered++;
        due += link->reorder_by_us;
    } else {
        link->last_due = due;
    }
    link->corrupted += corrupt;
    link->duplicated += duplicate;
    frame_queue(box, port, data, len, due, corrupt ? random : NULL);
    if (duplicate)
        frame_queue(box, port, data, len, due, NULL);
}

static void port_send(struct port *port, const uint8_t *data, size_t len)
{
    if (send(port->fd, data, len, 0) < 0 && errno != ENOBUFS && errno != ENETDOWN &&
        errno != EMSGSIZE)
        fail("%s: send: %s", port->name, strerror(errno));
}

/* ---- Ethernet and ARP of the NAT box ---- */

static bool is_own_address(const struct box *box, int port, uint32_t address)
{
    if (port != box->wan)
        return address == box->ports[port].address;
    for (int i = 0; i < box->nat.public_count; i++)
        if (box->nat.publics[i] == address)
            return true;
    return false;
}

static struct neighbour *neighbour_find(struct box *box, uint32_t address)
{
    for (int i = 0; i < box->neighbour_count; i++)
        if (box->neighbours[i].address == address)
            return &box->neighbours[i];
    if (box->neighbour_count == NEIGHBOURS_MAX)
        return NULL;
    struct neighbour *n = &box->neighbours[box->neighbour_count++];
    *n = (struct neighbour){.address = address};
    return n;
}

static void arp_send(struct port *port, uint16_t op, uint32_t from, const uint8_t *to_mac,
                     uint32_t to)
{
    static const uint8_t broadcast[6] = {255, 255, 255, 255, 255, 255};
    uint8_t f[ETHER_LEN + 28] = {0};
    memcpy(f, op == 1 ? broadcast : to_mac, 6);
    memcpy(f + 6, port->mac, 6);
    put16(f + 12, ETHERTYPE_ARP);
    put16(f + 14, 1);
    put16(f + 16, ETHERTYPE_IP);
    f[18] = 6;
    f[19] = 4;
    put16(f + 20, op);
    memcpy(f + 22, port->mac, 6);
    put32(f + 28, from);
    if (op == 2)
        memcpy(f + 32, to_mac, 6);
    put32(f + 38, to);
    port_send(port, f, sizeof(f));
}

static void ether_send(struct port *port, const uint8_t *to_mac, const uint8_t *packet, size_t len)
{
    uint8_t f[FRAME_MAX];
    memcpy(f, to_mac, 6);
    memcpy(f + 6, port->mac, 6);
    put16(f + 12, ETHERTYPE_IP);
    memcpy(f + ETHER_LEN, packet, len);
    port_send(port, f, ETHER_LEN + len);
}

static void arp_receive(struct box *box, int port, const uint8_t *f, size_t len)
{
    struct port *p = &box->ports[port];
    if (len < ETHER_LEN + 28 || get16(f + 14) != 1 || get16(f + 16) != ETHERTYPE_IP)
        return;
    uint32_t sender = get32(f + 28), target = get32(f + 38);
    if ((sender & p->mask) != (p->address & p->mask) && port != box->wan)
        return;
    bool is_for_us = is_own_address(box, port, target);
    if (is_for_us && get16(f + 20) == 1)
        arp_send(p, 2, target, f + 22, sender);
    struct neighbour *n = is_for_us && sender ? neighbour_find(box, sender) : NULL;
    if (!n)
        return;
    memcpy(n->mac, f + 22, 6);
    n->is_known = true;
    for (int i = 0; i < n->pending_count; i++) {
        ether_send(p, n->mac, n->pending[i].data, n->pending[i].len);
        free(n->pending[i].data);
    }
    n->pending_count = 0;
}

static int route(const struct box *box, uint32_t to)
{
    for (int i = 0; i < box->port_count; i++)
        if (i != box->wan &&
            (to & box->ports[i].mask) == (box->ports[i].address & box->ports[i].mask))
            return i;
    return box->wan;
}

static void ip_send(struct box *box, const uint8_t *packet, size_t len)
{
    uint32_t to = get32(packet + 16);
    struct port *out = &box->ports[route(box, to)];
    if (out == &box->ports[box->wan] && box->nat.gateway &&
        (to & out->mask) != (out->address & out->mask))
        to = box->nat.gateway;
    struct neighbour *n = neighbour_find(box, to);
    if (!n)
        return;
    if (n->is_known) {
        ether_send(out, n->mac, packet, len);
        return;
    }
    if (n->pending_count < PENDING_MAX) {
        uint8_t *copy = malloc(len);
        if (!copy)
            fail("out of memory");
        memcpy(copy, packet, len);
        n->pending[n->pending_count].data = copy;
        n->pending[n->pending_count++].len = len;
    }
    if (!n->asked || box->now - n->asked > 200000) {
        n->asked = box->now;
        arp_send(out, 1, out == &box->ports[box->wan] ? box->nat.publics[0] : out->address, NULL,
                 to);
    }
}

/* ---- IPv4 ---- */

static bool ip_take_apart(struct ip *ip, uint8_t *data, size_t len)
{
    if (len < 20 || data[0] >> 4 != 4)
        return false;
    size_t header_len = (size_t)(data[0] & 15) * 4, total = get16(data + 2);
    if (header_len < 20 || total < header_len || total > len)
        return false;
    uint16_t fragment = get16(data + 6);
    *ip = (struct ip){.data = data,
                      .payload = data + header_len,
                      .len = total,
                      .header_len = header_len,
                      .payload_len = total - header_len,
                      .protocol = data[9],
                      .source = get32(data + 12),
                      .destination = get32(data + 16),
                      .is_fragment = fragment & 0x3fff,
                      .is_first = !(fragment & 0x1fff)};
    return true;
}

/* Where the transport checksum stands that covers the addresses too; NULL: none in this packet. */
static uint8_t *transport_sum(const struct ip *ip, bool has_first)
{
    if (!has_first)
        return NULL;
    if (ip->protocol == IPPROTO_TCP && ip->payload_len >= 18)
        return ip->payload + 16;
    if (ip->protocol == IPPROTO_UDP && ip->payload_len >= 8 && get16(ip->payload + 6))
        return ip->payload + 6;
    return NULL;
}

/* Puts another address and port in; side 0 is the source, 1 the destination. */
static void rewrite(struct ip *ip, int side, uint32_t address, uint16_t port)
{
    uint8_t *at = ip->data + (side ? 16 : 12), *sum = transport_sum(ip, ip->is_first);
    for (int half = 0; half < 2; half++) {
        uint16_t v = (uint16_t)(half ? address : address >> 16);
        if (sum) {
            uint8_t copy[2] = {at[2 * half], at[2 * half + 1]};
            replace16(copy, v, sum);
        }
        replace16(at + 2 * half, v, ip->data + 10);
    }
    if (ip->is_first && ip->protocol == IPPROTO_ICMP && ip->payload_len >= 8)
        replace16(ip->payload + 4, port, ip->payload + 2);
    else if (ip->is_first && ip->protocol != IPPROTO_ICMP && ip->payload_len >= 4)
        replace16(ip->payload + 2 * side, port, sum);
    if (sum && ip->protocol == IPPROTO_UDP && !get16(sum))
        put16(sum, 0xffff);
    if (side)
        ip->destination = address;
    else
        ip->source = address;
}

static void icmp_error(struct box *box, int port, const struct ip *about, uint8_t type,
                       uint8_t code, uint8_t pointer)
{
    if (about->protocol == IPPROTO_ICMP && about->is_first && about->payload_len >= 1 &&
        about->payload[0] != 8)
        return; /* never an error about an error (RFC 1122, 3.2.2) */
    uint8_t p[20 + 8 + 128] = {0x45};
    size_t quoted = about->len < 128 ? about->len : 128;
    put16(p + 2, (uint16_t)(28 + quoted));
    p[8] = 64;
    p[9] = IPPROTO_ICMP;
    put32(p + 12, port == box->wan ? box->nat.publics[0] : box->ports[port].address);
    put32(p + 16, about->source);
    put16(p + 10, checksum(p, 20));
    p[20] = type;
    p[21] = code;
    p[24] = pointer;
    memcpy(p + 28, about->data, quoted);
    put16(p + 22, checksum(p + 20, 8 + quoted));
    ip_send(box, p, 28 + quoted);
}

/* What every router does: TTL, and the timestamp option's count of routers that found no room (RFC
 * 791). */
static bool ip_forward_begin(struct box *box, int port, struct ip *ip)
{
    if (ip->data[8] <= 1) {
        icmp_error(box, port, ip, 11, 0, 0);
        return false;
    }
    ip->data[8]--;
    for (size_t i = 20; i < ip->header_len && ip->data[i];) {
        size_t len = ip->data[i] == 1 ? 1 : i + 1 < ip->header_len ? ip->data[i + 1] : 0;
        if (!len || i + len > ip->header_len)
            return false;
        if (ip->data[i] == TIMESTAMP_OPT && len >= 4 && ip->data[i + 2] > len) {
            if (ip->data[i + 3] >> 4 == 15) {
                icmp_error(box, port, ip, 12, 0, (uint8_t)(i + 3));
                return false;
            }
            ip->data[i + 3] = (uint8_t)(ip->data[i + 3] + 0x10);
        }
        i += len;
    }
    put16(ip->data + 10, 0);
    put16(ip->data + 10, checksum(ip->data, ip->header_len));
    return true;
}

/* The ports of a packet; an echo has its identifier in both places. Later fragments take the first
 * one's. */
static bool ports_find(struct nat *nat, const struct ip *ip, uint16_t *ret_source,
                       uint16_t *ret_destination)
{
    uint16_t id = get16(ip->data + 4);
    if (!ip->is_first) {
        for (int i = 0; i < FRAGMENTS_MAX; i++) {
            const struct fragment *f = &nat->fragments[i];
            if (f->source == ip->source && f->destination == ip->destination && f->id == id) {
                *ret_source = f->source_port;
                *ret_destination = f->destination_port;
                return true;
            }
        }
        return false;
    }
    if (ip->payload_len < 8)
        return false;
    if (ip->protocol == IPPROTO_ICMP) {
        if (ip->payload[0] != 0 && ip->payload[0] != 8)
            return false;
        *ret_source = *ret_destination = get16(ip->payload + 4);
    } else if (ip->protocol == IPPROTO_TCP || ip->protocol == IPPROTO_UDP) {
        *ret_source = get16(ip->payload);
        *ret_destination = get16(ip->payload + 2);
    } else {
        return false;
    }
    if (ip->is_fragment)
        nat->fragments[nat->fragment_next++ % FRAGMENTS_MAX] =
            (struct fragment){ip->source, ip->destination, id, *ret_source, *ret_destination};
    return true;
}

/* ---- mappings ---- */

static void mappings_expire(struct nat *nat, uint64_t now)
{
    for (int i = 0; i < nat->mapping_count;) {
        if (nat->mappings[i]->expires > now) {
            i++;
            continue;
        }
        free(nat->mappings[i]->peers);
        free(nat->mappings[i]);
        nat->mappings[i] = nat->mappings[--nat->mapping_count];
    }
}

static struct mapping *mapping_find_outer(struct nat *nat, uint8_t protocol, uint32_t outer,
                                          uint16_t port)
{
    for (int i = 0; i < nat->mapping_count; i++) {
        struct mapping *m = nat->mappings[i];
        if (m->protocol == protocol && m->outer == outer && m->outer_port == port)
            return m;
    }
    return NULL;
}

static struct mapping *mapping_find_inner(struct nat *nat, const struct mapping *wanted)
{
    for (int i = 0; i < nat->mapping_count; i++) {
        struct mapping *m = nat->mappings[i];
        if (m->protocol != wanted->protocol || m->inner != wanted->inner ||
            m->inner_port != wanted->inner_port)
            continue;
        if (nat->mapping != SCOPE_ANY && m->to != wanted->to)
            continue;
        if (nat->mapping == SCOPE_ADDRESS_PORT && m->to_port != wanted->to_port)
            continue;
        return m;
    }
    return NULL;
}

/* Ports that hosts which are not here have taken since the last one was given out. */
static void others_take_ports(struct nat *nat, uint64_t now)
{
    if (nat->traffic <= 0)
        return;
    const double ports = (double)(now - nat->traffic_at) / 1e6 * nat->traffic;
    const uint64_t count = (uint64_t)ports + chance(&nat->random, ports - (double)(uint64_t)ports);
    nat->next_port = (uint16_t)(nat->next_port + (count % 65536) * (uint64_t)nat->step);
    nat->traffic_at = now;
}

static bool port_allocate(struct nat *nat, const struct mapping *m, uint16_t *ret_port,
                          uint64_t now)
{
    others_take_ports(nat, now);
    uint16_t port = m->inner_port;
    for (int tries = 0; tries < 60000; tries++) {
        if (nat->allocation == PORTS_RANDOM)
            port = (uint16_t)(1024 + random_next(&nat->random) % 64512);
        else if (nat->allocation == PORTS_SEQUENTIAL) {
            port = nat->next_port;
            nat->next_port = (uint16_t)(nat->next_port + nat->step);
        } else if (tries)
            port++; /* taken: the next one */
        if (nat->next_port < 1024)
            nat->next_port = nat->step > 0 ? 1024 : 65535;
        if (port && !mapping_find_outer(nat, m->protocol, m->outer, port)) {
            *ret_port = port;
            return true;
        }
    }
    return false;
}

/* Where this mapping remembers that destination: a new place, or the oldest one's. */
static struct peer *peer_slot(struct mapping *m, uint32_t address, uint16_t port)
{
    for (int i = 0; i < m->peer_count; i++)
        if (m->peers[i].address == address && m->peers[i].port == port)
            return &m->peers[i];
    if (m->peer_count == PEERS_MAX)
        return &m->peers[m->peer_next++ % PEERS_MAX];
    if (!(m->peer_count & (m->peer_count - 1))) { /* grows at powers of two */
        int cap = m->peer_count ? 2 * m->peer_count : 1;
        struct peer *grown = realloc(m->peers, (size_t)cap * sizeof(*grown));
        if (!grown)
            fail("out of memory");
        m->peers = grown;
    }
    return &m->peers[m->peer_count++];
}

/* The mapping for a packet that goes out, made where there is none, and kept alive. */
static struct mapping *mapping_outbound(struct nat *nat, const struct ip *ip, uint16_t source_port,
                                        uint16_t destination_port, uint64_t now)
{
    struct mapping wanted = {.protocol = ip->protocol,
                             .inner = ip->source,
                             .inner_port = source_port,
                             .to = ip->destination,
                             .to_port = ip->protocol == IPPROTO_ICMP ? 0 : destination_port};
    /* One inner host keeps one public address: "paired" pooling (RFC 4787, REQ-2); or each mapping
     * has another one: "arbitrary". */
    wanted.outer = nat->publics[(int)(ip->source % (uint32_t)nat->public_count)];
    uint64_t lifetime = ip->protocol == IPPROTO_TCP ? 7200000000u : nat->lifetime_us;
    struct mapping *m = mapping_find_inner(nat, &wanted);
    if (!m) {
        if (nat->pools_arbitrarily)
            wanted.outer = nat->publics[random_next(&nat->random) % (uint64_t)nat->public_count];
        if (nat->mapping_count == MAPPINGS_MAX ||
            !port_allocate(nat, &wanted, &wanted.outer_port, now))
            return NULL;
        m = malloc(sizeof(*m));
        if (!m)
            fail("out of memory");
        *m = wanted;
        nat->mappings[nat->mapping_count++] = m;
    }
    m->expires = now + lifetime;
    *peer_slot(m, wanted.to, wanted.to_port) =
        (struct peer){wanted.to, wanted.to_port, now + lifetime};
    return m;
}

static bool mapping_admits(const struct nat *nat, const struct mapping *m, uint32_t from,
                           uint16_t port, uint64_t now)
{
    if (nat->filtering == SCOPE_ANY)
        return true;
    for (int i = 0; i < m->peer_count; i++) {
        const struct peer *p = &m->peers[i];
        if (p->expires > now && p->address == from &&
            (nat->filtering == SCOPE_ADDRESS || p->port == port))
            return true;
    }
    return false;
}

/* ---- the NAT's two directions ---- */

/* An ICMP error carries the start of a packet that this NAT translated the other way: that is put
 * right too. */
static void nat_icmp_error(struct box *box, struct ip *ip, bool is_inbound)
{
    struct ip inner;
    uint16_t source_port, destination_port;
    if (ip->payload_len < 8 + 28 || checksum(ip->payload, ip->payload_len))
        return;
    uint8_t *quoted = ip->payload + 8;
    size_t header_len = (size_t)(quoted[0] & 15) * 4, left = ip->payload_len - 8;
    uint16_t total = get16(quoted + 2);
    if (left < header_len + 8)
        return;
    put16(quoted + 2, (uint16_t)left); /* the quotation may be shorter than the packet was */
    bool is_valid = ip_take_apart(&inner, quoted, left) &&
                    ports_find(&box->nat, &inner, &source_port, &destination_port);
    put16(quoted + 2, total);
    if (!is_valid)
        return;
    struct mapping *m = NULL;
    if (is_inbound) {
        m = mapping_find_outer(&box->nat, inner.protocol, inner.source, source_port);
    } else {
        for (int i = 0; i < box->nat.mapping_count && !m; i++) {
            struct mapping *c = box->nat.mappings[i];
            if (c->protocol == inner.protocol && c->inner == inner.destination &&
                c->inner_port == destination_port)
                m = c;
        }
    }
    if (!m)
        return;
    rewrite(&inner, is_inbound ? 0 : 1, is_inbound ? m->inner : m->outer,
            is_inbound ? m->inner_port : m->outer_port);
    put32(ip->data + (is_inbound ? 16 : 12), is_inbound ? m->inner : m->outer);
    put16(ip->payload + 2, 0);
    put16(ip->payload + 2, checksum(ip->payload, ip->payload_len));
    put16(ip->data + 10, 0);
    put16(ip->data + 10, checksum(ip->data, ip->header_len));
    ip_send(box, ip->data, ip->len);
}

static void nat_inbound(struct box *box, int port, struct ip *ip)
{
    struct nat *nat = &box->nat;
    uint16_t source_port, destination_port;
    if (ip->protocol == IPPROTO_ICMP && ip->is_first && ip->payload_len && ip->payload[0] != 0 &&
        ip->payload[0] != 8) {
        nat_icmp_error(box, ip, true);
        return;
    }
    if (!ports_find(nat, ip, &source_port, &destination_port))
        return;
    struct mapping *m = mapping_find_outer(nat, ip->protocol, ip->destination, destination_port);
    if (ip->protocol == IPPROTO_ICMP)
        source_port = 0;
    if (!m || !mapping_admits(nat, m, ip->source, source_port, box->now)) {
        nat->unmapped += !m;
        nat->filtered += m != NULL;
        if (nat->rejects && ip->protocol == IPPROTO_UDP)
            icmp_error(box, port, ip, 3, 3, 0);
        return;
    }
    if (nat->inbound_refreshes) {
        uint64_t expires =
            box->now + (ip->protocol == IPPROTO_TCP ? 7200000000u : nat->lifetime_us);
        m->expires = expires;
        for (int i = 0; i < m->peer_count; i++)
            if (m->peers[i].address == ip->source && m->peers[i].port == source_port)
                m->peers[i].expires = expires;
    }
    rewrite(ip, 1, m->inner, m->inner_port);
    nat->translated++;
    ip_send(box, ip->data, ip->len);
}

static void nat_outbound(struct box *box, int port, struct ip *ip)
{
    struct nat *nat = &box->nat;
    uint16_t source_port, destination_port;
    bool is_hairpin = is_own_address(box, box->wan, ip->destination);
    if (ip->protocol == IPPROTO_ICMP && ip->is_first && ip->payload_len && ip->payload[0] != 0 &&
        ip->payload[0] != 8) {
        nat_icmp_error(box, ip, false);
        return;
    }
    if (!ports_find(nat, ip, &source_port, &destination_port) || (is_hairpin && !nat->hairpin))
        return;
    struct mapping *m = mapping_outbound(nat, ip, source_port, destination_port, box->now);
    if (!m)
        return;
    rewrite(ip, 0, m->outer, m->outer_port);
    if (is_hairpin) { /* with the public source (RFC 4787, REQ-9), as if it had come from outside */
        nat->hairpinned++;
        nat_inbound(box, port, ip);
        return;
    }
    nat->translated++;
    ip_send(box, ip->data, ip->len);
}

static void nat_receive(struct box *box, int port, uint8_t *f, size_t len)
{
    static const uint8_t echo_reply = 0;
    struct ip ip;
    if (get16(f + 12) == ETHERTYPE_ARP)
        arp_receive(box, port, f, len);
    if (get16(f + 12) != ETHERTYPE_IP || memcmp(f, box->ports[port].mac, 6) ||
        !ip_take_apart(&ip, f + ETHER_LEN, len - ETHER_LEN) || checksum(ip.data, ip.header_len))
        return;
    mappings_expire(&box->nat, box->now);
    if (port == box->wan) {
        if (is_own_address(box, port, ip.destination) && ip_forward_begin(box, port, &ip))
            nat_inbound(box, port, &ip);
        return;
    }
    if (ip.destination == box->ports[port].address) {
        if (ip.protocol == IPPROTO_ICMP && !ip.is_fragment && ip.payload_len >= 8 &&
            ip.payload[0] == 8) {
            replace16(ip.payload, (uint16_t)(echo_reply << 8 | ip.payload[1]), ip.payload + 2);
            put32(ip.data + 12, ip.destination);
            put32(ip.data + 16,
                  ip.source); /* swapping the two leaves the header's checksum as it is */
            ip_send(box, ip.data, ip.len);
        }
        return;
    }
    if (!ip_forward_begin(box, port, &ip))
        return;
    if (route(box, ip.destination) != box->wan)
        ip_send(box, ip.data, ip.len); /* between two LANs of this box */
    else
        nat_outbound(box, port, &ip);
}

/* ---- set-up, commands, loop ---- */

static void link_set(struct port *port, char *settings)
{
    struct link *l = &port->link;
    for (char *word = strtok(settings, ","); word; word = strtok(NULL, ",")) {
        char *value = strchr(word, '='), *end = NULL;
        double v = value ? strtod(value + 1, &end) : -1;
        if (v < 0 || !end || *end)
            fail("'%s': want KEY=NUMBER", word);
        *value = 0;
        struct {
            const char *key;
            double *probability;
            uint64_t *time_us;
        } keys[] = {{"loss", &l->loss, NULL},
                    {"reorder", &l->reorder, NULL},
                    {"duplicate", &l->duplicate, NULL},
                    {"corrupt", &l->corrupt, NULL},
                    {"delay", NULL, &l->delay_us},
                    {"jitter", NULL, &l->jitter_us},
                    {"reorder-by", NULL, &l->reorder_by_us}};
        bool is_known = false;
        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
            if (strcmp(keys[i].key, word))
                continue;
            is_known = true;
            if (keys[i].time_us)
                *keys[i].time_us = (uint64_t)(v * 1000);
            else if (v > 1)
                fail("%s: a probability is at most 1", word);
            else
                *keys[i].probability = v;
        }
        if (!is_known)
            fail("'%s': unknown; known: loss reorder duplicate corrupt delay jitter reorder-by",
                 word);
    }
}

static uint32_t address_parse(const char *text)
{
    struct in_addr a;
    if (inet_pton(AF_INET, text, &a) != 1)
        fail("'%s' is not an IPv4 address", text);
    return ntohl(a.s_addr);
}

/* "IF[=ADDR/LEN][,key=value…]" */
static int port_add(struct box *box, char *text, bool has_address)
{
    if (box->port_count == PORTS_MAX)
        fail("too many interfaces");
    struct port *port = &box->ports[box->port_count];
    char *settings = strchr(text, ',');
    if (settings)
        *settings++ = 0;
    char *address = has_address ? strchr(text, '=') : NULL,
         *length = address ? strchr(address, '/') : NULL;
    if (has_address) {
        if (!length)
            fail("'%s': want IF=ADDRESS/LENGTH", text);
        *address++ = *length++ = 0;
        int bits = atoi(length);
        if (bits < 1 || bits > 32)
            fail("'%s': bad prefix length", length);
        port->address = address_parse(address);
        port->mask = (uint32_t)(UINT32_MAX << (32 - bits));
    }
    snprintf(port->name, sizeof(port->name), "%s", text);
    port->link.reorder_by_us = 5000;
    port->link.random = box->seed * 1000003 + (uint64_t)box->port_count;
    port->link.background = ~port->link.random;
    if (settings)
        link_set(port, settings);
    port->fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct ifreq request = {0};
    memcpy(request.ifr_name, port->name, sizeof(request.ifr_name));
    if (port->fd < 0 || ioctl(port->fd, SIOCGIFHWADDR, &request) < 0)
        fail("%s: %s", port->name, strerror(errno));
    memcpy(port->mac, request.ifr_hwaddr.sa_data, 6);
    struct sockaddr_ll at = {.sll_family = AF_PACKET,
                             .sll_protocol = htons(ETH_P_ALL),
                             .sll_ifindex = (int)if_nametoindex(port->name)};
    struct packet_mreq promiscuous = {.mr_ifindex = at.sll_ifindex, .mr_type = PACKET_MR_PROMISC};
    int size = 8 << 20, one = 1;
    setsockopt(port->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
    setsockopt(port->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one));
    setsockopt(port->fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof(promiscuous));
    if (bind(port->fd, (struct sockaddr *)&at, sizeof(at)) < 0)
        fail("%s: bind: %s", port->name, strerror(errno));
    return box->port_count++;
}

static void port_receive(struct box *box, int port)
{
    uint8_t data[65536];
    struct sockaddr_ll from;
    for (int i = 0; i < 256; i++) {
        socklen_t from_len = sizeof(from);
        ssize_t n = recvfrom(box->ports[port].fd, data, sizeof(data), 0, (struct sockaddr *)&from,
                             &from_len);
        if (n < 0)
            return;
        if (from.sll_pkttype == PACKET_OUTGOING || n < ETHER_LEN)
            continue;
        if (n > FRAME_MAX)
            fail("%s: a frame of %zd bytes: switch its peer's offloads off", box->ports[port].name,
                 n);
        box->now = clock_us();
        link_pass(box, port, data, (size_t)n);
    }
}

static void deliver(struct box *box, struct frame *frame)
{
    if (box->wan >= 0) {
        nat_receive(box, frame->port, frame->data, frame->len);
        return;
    }
    for (int i = 0; i < box->port_count; i++)
        if (i != frame->port)
            port_send(&box->ports[i], frame->data, frame->len);
}

static void print_stats(const struct box *box)
{
    printf("{\"links\": {");
    for (int i = 0; i < box->port_count; i++) {
        const struct link *l = &box->ports[i].link;
        printf("%s\"%s\": {\"received\": %lu, \"lost\": %lu, \"reordered\": %lu, \"duplicated\": "
               "%lu, \"corrupted\": %lu}",
               i ? ", " : "", box->ports[i].name, l->received, l->lost, l->reordered, l->duplicated,
               l->corrupted);
    }
    printf("}, \"overflows\": %lu, \"translated\": %lu, \"filtered\": %lu, \"unmapped\": %lu, "
           "\"hairpinned\": %lu, "
           "\"mappings\": [",
           box->overflows, box->nat.translated, box->nat.filtered, box->nat.unmapped,
           box->nat.hairpinned);
    for (int i = 0; i < box->nat.mapping_count; i++) {
        const struct mapping *m = box->nat.mappings[i];
        struct in_addr inner = {htonl(m->inner)}, outer = {htonl(m->outer)};
        char text[2][INET_ADDRSTRLEN];
        inet_ntop(AF_INET, &inner, text[0], sizeof(text[0]));
        inet_ntop(AF_INET, &outer, text[1], sizeof(text[1]));
        printf("%s{\"protocol\": %u, \"inner\": \"%s:%u\", \"outer\": \"%s:%u\"}", i ? ", " : "",
               m->protocol, text[0], m->inner_port, text[1], m->outer_port);
    }
    printf("]}\n");
}

static void command(struct box *box, char *line)
{
    char *argument = strchr(line, ' ');
    if (argument)
        *argument++ = 0;
    if (!strcmp(line, "stats")) {
        if (box->wan >= 0)
            mappings_expire(&box->nat, clock_us());
        print_stats(box);
    } else if (!strcmp(line, "flush") || (!strcmp(line, "address") && argument && box->wan >= 0)) {
        mappings_expire(&box->nat, UINT64_MAX);
        if (argument) {
            box->nat.publics[0] = box->ports[box->wan].address = address_parse(argument);
            box->nat.public_count = 1;
        }
        puts("{}");
    } else if (!strcmp(line, "set") && argument && strchr(argument, ',')) {
        char *settings = strchr(argument, ',');
        *settings++ = 0;
        for (int i = 0; i < box->port_count; i++)
            if (!strcmp(box->ports[i].name, argument)) {
                link_set(&box->ports[i], settings);
                puts("{}");
                fflush(stdout);
                return;
            }
        fail("set: no interface '%s'", argument);
    } else {
        fail("unknown command '%s'", line);
    }
    fflush(stdout);
}

static void read_commands(struct box *box)
{
    static char line[512];
    static size_t len;
    ssize_t n = read(STDIN_FILENO, line + len, sizeof(line) - 1 - len);
    if (n <= 0)
        exit(0);
    len += (size_t)n;
    line[len] = 0;
    for (char *end; (end = strchr(line, '\n'));) {
        *end++ = 0;
        command(box, line);
        len -= (size_t)(end - line);
        memmove(line, end, len + 1);
    }
    if (len == sizeof(line) - 1)
        fail("a command is too long");
}

static void run(struct box *box)
{
    struct pollfd fds[PORTS_MAX + 1];
    for (int i = 0; i < box->port_count; i++)
        fds[i] = (struct pollfd){.fd = box->ports[i].fd, .events = POLLIN};
    fds[box->port_count] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
    puts("ready");
    fflush(stdout);
    for (;;) {
        box->now = clock_us();
        while (box->heap_count && box->heap[0]->due <= box->now) {
            struct frame *frame = heap_pop(box);
            deliver(box, frame);
            free(frame);
        }
        uint64_t left = box->heap_count ? box->heap[0]->due - box->now : 0;
        struct timespec wait = {.tv_sec = (time_t)(left / 1000000),
                                .tv_nsec = (long)(left % 1000000) * 1000};
        if (ppoll(fds, (nfds_t)box->port_count + 1, box->heap_count ? &wait : NULL, NULL) < 0 &&
            errno != EINTR)
            fail("ppoll: %s", strerror(errno));
        for (int i = 0; i < box->port_count; i++)
            if (fds[i].revents)
                port_receive(box, i);
        if (fds[box->port_count].revents)
            read_commands(box);
    }
}

static int choose(const char *what, const char *value, const char *const *names)
{
    for (int i = 0; names[i]; i++)
        if (!strcmp(names[i], value))
            return i;
    fail("--%s %s: unknown", what, value);
}

static void parse_options(struct box *box, int argc, char **argv, bool is_nat)
{
    static const char *const scopes[] = {"ei", "ad", "apd", NULL};
    static const char *const allocations[] = {"preserve", "sequential", "random", NULL};
    static const struct option options[] = {{"seed", 1, NULL, 's'},
                                            {"lan", 1, NULL, 'l'},
                                            {"wan", 1, NULL, 'w'},
                                            {"gateway", 1, NULL, 'g'},
                                            {"mapping", 1, NULL, 'm'},
                                            {"filtering", 1, NULL, 'f'},
                                            {"ports", 1, NULL, 'p'},
                                            {"hairpin", 0, NULL, 'h'},
                                            {"lifetime", 1, NULL, 't'},
                                            {"public", 1, NULL, 'a'},
                                            {"step", 1, NULL, 'S'},
                                            {"traffic", 1, NULL, 'T'},
                                            {"arbitrary", 0, NULL, 'A'},
                                            {"reject", 0, NULL, 'r'},
                                            {"outbound-refresh-only", 0, NULL, 'o'},
                                            {NULL, 0, NULL, 0}};
    struct nat *nat = &box->nat;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == '?' || (c != 's' && !is_nat))
            fail("see the head of emulator.c for the options");
        if (c == 's')
            nat->random = box->seed = strtoull(optarg, NULL, 0);
        else if (c == 'l')
            port_add(box, optarg, true);
        else if (c == 'w') {
            box->wan = port_add(box, optarg, true);
            nat->publics[0] = box->ports[box->wan].address;
            nat->public_count += !nat->public_count;
        } else if (c == 'a') {
            if (!nat->public_count || nat->public_count == 4)
                fail("--public comes after --wan, three times at most");
            nat->publics[nat->public_count++] = address_parse(optarg);
        } else if (c == 'g')
            nat->gateway = address_parse(optarg);
        else if (c == 'm')
            nat->mapping = (enum scope)choose("mapping", optarg, scopes);
        else if (c == 'f')
            nat->filtering = (enum scope)choose("filtering", optarg, scopes);
        else if (c == 'p')
            nat->allocation = (enum allocation)choose("ports", optarg, allocations);
        else if (c == 't')
            nat->lifetime_us = (uint64_t)(strtod(optarg, NULL) * 1000);
        else if (c == 'S')
            nat->step = atoi(optarg);
        else if (c == 'T')
            nat->traffic = strtod(optarg, NULL);
        nat->pools_arbitrarily |= c == 'A';
        nat->hairpin |= c == 'h';
        nat->rejects |= c == 'r';
        nat->inbound_refreshes &= c != 'o';
    }
    while (!is_nat && optind < argc)
        port_add(box, argv[optind++], false);
    if (optind < argc || box->port_count < 2 || (is_nat && box->wan < 0))
        fail("a bridge wants two interfaces or more, a NAT --lan and --wan");
}

int main(int argc, char **argv)
{
    static struct box box = {.wan = -1, .seed = 1};
    bool is_nat = argc > 1 && !strcmp(argv[1], "nat");
    if (argc < 2 || (!is_nat && strcmp(argv[1], "bridge")))
        fail("usage: lab_emulator bridge|nat OPTIONS (see the head of emulator.c)");
    box.nat = (struct nat){.lifetime_us = 120000000,
                           .inbound_refreshes = true,
                           .next_port = 20000,
                           .random = 1,
                           .step = 1,
                           .traffic_at = clock_us()};
    parse_options(&box, argc - 1, argv + 1, is_nat);
    run(&box);
}
