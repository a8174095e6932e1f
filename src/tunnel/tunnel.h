/* Tunnels, and the table in which data threads find them without locks: by peer address for local
 * packets, by remote endpoint for datagrams, by SPI for ESP from elsewhere. One control thread
 * makes all changes; data threads read. What they may still see is freed, and keys are wiped, after
 * a grace period (liburcu).
 *
 * A data thread calls tunnel_thread_register() once, and brackets every use of a tunnel with
 * tunnel_read_begin() and tunnel_read_end(); between them no tunnel that it found goes away. The
 * control thread registers too, and needs no brackets for its own tunnels. No I/O, no clock. */
#ifndef TUNNEL_TUNNEL_H
#define TUNNEL_TUNNEL_H

#include "base/packet.h"
#include "tunnel/drop.h"
#include "tunnel/esp.h"
#include "tunnel/sput.h"
#include "tunnel/translate.h"
#include "wire/suite.h"
#include <stdbool.h>
#include <stdint.h>

struct tunnel;
struct tunnel_table;

/* Children that can be received with at once, during rekeys: as many as IKE keeps. Where both sides
 * rekey at the same moment the loser lingers beside the one in use, and so after the next rekey. */
#define TUNNEL_CHILDREN_MAX 8
/* Path MTU before anything is known of it: what every path carries nearly always. */
#define TUNNEL_PATH_MTU_DEFAULT 1400

void tunnel_thread_register(void);
void tunnel_thread_unregister(void);
void tunnel_read_begin(void);
void tunnel_read_end(void);

/* seed: 16 random bytes (hash of the look-ups). */
MUST_USE int tunnel_table_new(const uint8_t seed[16], struct tunnel_table **ret_table);
/* Removes what is left and waits until all of it is freed; no data thread may use the table any
 * more. Outside a read section. NULL is fine. */
void tunnel_table_free(struct tunnel_table *table);

/* ---- control thread ---- */

/* A tunnel without path and keys. local: the addresses that this host's packets carry; user: for
 * the caller. ERR_EXISTS: a tunnel has one of these peer addresses; ERR_INVALID: local names none.
 */
MUST_USE int tunnel_add(struct tunnel_table *table, const struct view *local, void *user,
                        struct tunnel **ret_tunnel);
/* Data threads may see it until their read section ends. */
void tunnel_remove(struct tunnel_table *table, struct tunnel *tunnel);
/* Where datagrams go to from now on, and what an outer IP packet may measure there. Datagrams from
 * the path before are still taken, until the next change. ERR_NOMEM. */
MUST_USE int tunnel_set_path(struct tunnel_table *table, struct tunnel *tunnel,
                             const struct endpoint *remote, uint32_t mtu);

struct tunnel_child {
    uint64_t id; /* the caller's, not 0, unique in the tunnel */
    enum suite suite;
    const uint8_t *key_in; /* suite_key_len() bytes each; copied, the caller wipes its own */
    const uint8_t *key_out;
    size_t key_len;
    struct view remote; /* the addresses that the far end's packets carry under this child */
    uint32_t window;    /* 0: REPLAY_WINDOW_DEFAULT */
    uint64_t rekey_at;  /* 0: SPUT_REKEY_AT_DEFAULT, or ESP's */

    /* ESP only. */
    uint32_t spi_in, spi_out;
    bool has_esn;
    enum child_mode mode;
    /* The far end is a Detec host: commands are understood, and what needs its header goes whole in
     * BEET mode too (docs/protocol.md, "ESP between Detec hosts"). */
    bool has_commands;
    struct view wire; /* what our packets are to carry on the wire; no family: what they carry */
    const struct selector_pair *selectors; /* tunnel mode: copied; NULL: the addresses alone */
    /* The kernel has the keys: nothing is sealed or opened with it here, and key_in, key_out may be
     * NULL. */
    bool is_in_kernel;
};

/* Receives with the child from now on, newest first; the oldest goes where there are more than
 * TUNNEL_CHILDREN_MAX. ERR_EXISTS: the id, or spi_in in the whole table, is in use. */
MUST_USE int tunnel_add_child(struct tunnel *tunnel, const struct tunnel_child *child);
/* Sends with it from now on. ERR_NOT_FOUND. */
MUST_USE int tunnel_set_outbound(struct tunnel *tunnel, uint64_t child_id);
/* Neither receives nor sends with it any more. ERR_NOT_FOUND is no harm. */
MUST_USE int tunnel_drop_child(struct tunnel *tunnel, uint64_t child_id);

/* What the kernel has carried since the last time (is_in_kernel): data packets, and their bytes. */
void tunnel_add_counts(struct tunnel *tunnel, uint64_t packets_in, uint64_t bytes_in,
                       uint64_t packets_out, uint64_t bytes_out, uint64_t now_us);

/* Calls back for every tunnel; the callback may remove that one tunnel. */
void tunnel_foreach(struct tunnel_table *table,
                    void (*callback)(struct tunnel *tunnel, void *context), void *context);
/* Datagrams that belong to no tunnel are counted here. */
struct drop_counters *tunnel_table_drops(struct tunnel_table *table);

/* ---- any thread ---- */

/* NULL if there is none. In a read section, or on the control thread. */
struct tunnel *tunnel_find_by_peer(struct tunnel_table *table, const struct address *peer);
/* That whose child in tunnel mode takes packets to this address (tunnel/route_table.h); NULL if
 * there is none. */
struct tunnel *tunnel_find_by_selector(struct tunnel_table *table, const struct address *to);
/* One of those on this endpoint; tunnel_open_any() tries all. */
struct tunnel *tunnel_find_by_endpoint(struct tunnel_table *table, const struct endpoint *remote);
/* All of them: how many there are, of which the first `cap` are written down. */
size_t tunnel_find_all_by_endpoint(struct tunnel_table *table, const struct endpoint *remote,
                                   struct tunnel **ret_tunnels, size_t cap);
void *tunnel_user(const struct tunnel *tunnel);
/* The addresses that this host's packets carry. */
const struct view *tunnel_view(const struct tunnel *tunnel);

struct tunnel_status {
    struct endpoint remote; /* family ADDRESS_NONE without a path */
    uint32_t path_mtu;
    uint32_t mtu;         /* inner, as translate_mtu() */
    uint64_t outbound_id; /* child; 0: none */
    enum suite suite;     /* of that child, like the next five */
    enum child_mode mode; /* ESP, like the SPIs */
    uint32_t spi_in, spi_out;
    bool has_esn;
    bool has_commands; /* probes can be sent, and closing told */
    bool is_rekey_due;
    uint64_t packets_in, packets_out; /* data; commands are not counted */
    uint64_t bytes_in, bytes_out;     /* of inner packets, headers included */
    uint64_t received_us;             /* last authentic message of any command; 0: none yet */
    uint64_t sent_us;                 /* last sealed message of any command; 0: none yet */
    uint64_t large_us;                /* last data above three quarters of what the path takes */
    bool has_stream;                  /* TCP was sent */
    uint64_t drops[DROP_REASON_COUNT];
};
/* In a read section, or on the control thread. */
void tunnel_get_status(const struct tunnel *tunnel, struct tunnel_status *ret_status);
/* Has the outbound child used so many numbers that a new one is due? */
bool tunnel_is_rekey_due(const struct tunnel *tunnel);
/* Inner MTU of the tunnel now; 0 without path or outbound child. */
uint32_t tunnel_mtu(const struct tunnel *tunnel);

/* What the control thread may be woken by, once each time that it asks. */
enum tunnel_wake {
    TUNNEL_WAKE_DATA = 1,  /* data, either way */
    TUNNEL_WAKE_LARGE = 2, /* large data (as large_us above) or TCP, outbound */
};
/* Control thread: 0 … both. So an idle tunnel needs no looking after. What came before this may
 * wake nobody, but tunnel_get_status() after it counts it. */
void tunnel_set_wake(struct tunnel *tunnel, unsigned int wakes);
/* True once after it has happened: whoever sealed or opened passes it on. */
bool tunnel_take_wake(struct tunnel *tunnel);

/* ---- packets: in a read section ---- */

/* A local IP packet (checksums complete) becomes the datagram to send: packet->peer and ->tos say
 * where and how. now_us: the caller's clock. Drops are counted. DROP_TOO_BIG: answer with
 * icmp_too_big_build() and tunnel_mtu(); the packet is unchanged then. */
MUST_USE enum drop_reason tunnel_seal(struct tunnel *tunnel, struct packet *packet,
                                      uint64_t now_us);
/* The same, but its tag may be left open: sput_batch_seal() has to finish it in this read section.
 */
MUST_USE enum drop_reason tunnel_seal_deferring(struct tunnel *tunnel, struct packet *packet,
                                                uint64_t now_us);

/* The packets of one super-packet differ in nothing that decides about their way: it is found for
 * the first, and the others follow, in the same read section. As tunnel_seal_deferring(). */
struct tunnel_run {
    struct tunnel *tunnel; /* NULL: over */
    struct path *path;
    struct child *child;
    struct inner inner;
    uint32_t header_len;  /* of the IP header that they travel without; 0: with it */
    uint32_t payload_max; /* what the first had, and none has more of */
    uint64_t more;        /* packets behind the first */
    uint64_t bytes;
};
/* ip: as ip_parse() sees the packet. ret_run: only with DROP_NONE; tunnel_run_end() then, sooner or
 * later. */
MUST_USE enum drop_reason tunnel_run_begin(struct tunnel *tunnel, struct packet *packet,
                                           const struct ip_view *ip, uint64_t now_us,
                                           struct tunnel_run *ret_run);
/* One more, without the first header_len bytes. */
MUST_USE enum drop_reason tunnel_run_seal(struct tunnel_run *run, struct packet *packet);
/* Counts what was sealed. */
void tunnel_run_end(struct tunnel_run *run);

/* Makes packet (its content goes) a probe that is an IP packet of `size` bytes on the path, or as
 * short as it can be. Not limited by the path's MTU. DROP_NO_ROOM: no message is so long. */
MUST_USE enum drop_reason tunnel_seal_probe(struct tunnel *tunnel, struct packet *packet,
                                            uint32_t size, uint64_t now_us, uint32_t *ret_number);
/* The packet's bytes become the payload of a command: SPUT_CLOSE (none), SPUT_PROBE (any padding,
 * not limited by the path's MTU). ret_number (may be NULL): its message number. */
MUST_USE enum drop_reason tunnel_seal_command(struct tunnel *tunnel, struct packet *packet,
                                              enum sput_command command, uint64_t now_us,
                                              uint32_t *ret_number);
/* Makes packet (its content goes) the answer to the probe of this number. */
MUST_USE enum drop_reason tunnel_seal_reply(struct tunnel *tunnel, struct packet *packet,
                                            uint32_t probe_number, uint64_t now_us);

enum tunnel_message_kind {
    TUNNEL_DATA,        /* the packet is an IP packet for the TUN */
    TUNNEL_CLOSE,       /* the far end closes */
    TUNNEL_PROBE,       /* answer with tunnel_seal_reply(number) */
    TUNNEL_PROBE_REPLY, /* number: of our probe */
};

struct tunnel_message {
    enum tunnel_message_kind kind;
    uint32_t number;   /* see kind; else the message's own */
    uint64_t child_id; /* that it came with */
    bool is_first;     /* the first authentic message of that child */
    bool is_outbound;  /* that child is the one sent with; else IKE may want to hear of it */
    bool is_elsewhere; /* by its SPI, from packet->peer, which is no endpoint of the tunnel's */
};

/* A datagram from the tunnel's endpoint (packet->tos as received): tries the children newest first,
 * and translates data. Drops are counted. */
MUST_USE enum drop_reason tunnel_open(struct tunnel *tunnel, struct packet *packet, uint64_t now_us,
                                      struct tunnel_message *ret_message);
/* The same for a datagram from packet->peer: finds the tunnel (of several on one endpoint the one
 * whose keys fit; else that of its SPI). DROP_NO_TUNNEL: none; ret_tunnel is set with DROP_NONE
 * only. Counted in the table where no tunnel is found, else in the one found. */
MUST_USE enum drop_reason tunnel_open_any(struct tunnel_table *table, struct packet *packet,
                                          uint64_t now_us, struct tunnel **ret_tunnel,
                                          struct tunnel_message *ret_message);
/* The same where a datagram before it from the same endpoint was for that tunnel: it is tried
 * first, and as a rule nothing has to be looked up. */
MUST_USE enum drop_reason tunnel_open_next(struct tunnel_table *table, struct tunnel *likely,
                                           struct packet *packet, uint64_t now_us,
                                           struct tunnel **ret_tunnel,
                                           struct tunnel_message *ret_message);

#endif
