/* What applications send, and what must hold for it: nobody gets what is not theirs, nothing twice,
 * nothing in the clear; and how much hosts may probe. */
#ifndef SIM_TRAFFIC_H
#define SIM_TRAFFIC_H

#include "base/address.h"
#include "core.h"

#define TRAFFIC_MACHINES  6
#define TRAFFIC_MAGIC_LEN 16
#define TRAFFIC_SEQ_MAX   32768

struct machine;
struct sim;

/* One direction between two machines. */
struct flow {
    bool is_on;
    bool is_echoed; /* the other end answers each packet with one of its own */
    uint64_t interval_us;
    uint32_t sent, received, refused;
    uint64_t last_us;  /* when one last arrived */
    uint64_t since_us; /* of first or renewed use */
    uint64_t first_us; /* the first one after that arrived */
    uint64_t gap_us;   /* the longest time between two */
    uint8_t seen[TRAFFIC_SEQ_MAX / 8];
};

/* The checks of one attempt to punch, by the credentials that they carry. */
struct attempt {
    uint8_t user[17];
    uint64_t began_us;
    uint32_t seen, unseen; /* checks to where the connector has seen a host, or not */
    size_t count, cap;
    struct probed {
        struct endpoint to;
        uint16_t port; /* own */
        uint32_t checks;
        uint32_t hasty; /* of them: soon after another one */
        uint64_t last_us;
    } * probed;
};

struct traffic {
    bool is_quiet; /* nobody moves, crashes or attacks */
    uint8_t magic[TRAFFIC_MAGIC_LEN];
    struct flow *flows[TRAFFIC_MACHINES][TRAFFIC_MACHINES]; /* from, to */
    struct attempt *attempts[TRAFFIC_MACHINES];
    size_t attempt_count[TRAFFIC_MACHINES];
    uint64_t checks[TRAFFIC_MACHINES];
    uint64_t bursts[TRAFFIC_MACHINES]; /* checks beyond what plain attempts need */
    uint64_t ike_most;
    uint64_t ike[TRAFFIC_MACHINES]; /* IKE messages, since the time below */
    uint64_t ike_from_us[TRAFFIC_MACHINES];
};

void traffic_init(struct traffic *traffic, struct core *core);
void traffic_done(struct traffic *traffic);
/* One packet each interval from now on; 0: no more. */
void traffic_set(struct sim *sim, size_t from, size_t to, uint64_t interval_us);
struct flow *traffic_flow(struct sim *sim, size_t from, size_t to);
/* Bytes that cross the network: no application's data may be seen in them. */
void traffic_inspect(struct traffic *traffic, struct core *core, const void *data, size_t len);
/* A datagram that a host sends: counts checks and IKE messages, and breaks where they are too many.
 */
void traffic_count(struct sim *sim, const struct machine *machine, uint16_t port,
                   const struct endpoint *to, const uint8_t *data, size_t len, bool is_opener);
/* An IP packet that a machine's daemon gives to its stack. */
void traffic_take(struct machine *machine, const uint8_t *packet, size_t len);

#endif
