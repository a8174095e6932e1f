/* A connector and hosts in virtual time: login clients against the registry, with connections that
 * open, break silently or cleanly, and come back. */
#ifndef TEST_LOGIN_WORLD_H
#define TEST_LOGIN_WORLD_H

#include "login/client.h"
#include "login/registry.h"

#define WORLD_HOSTS 8
#define WORLD_ROWS  8
#define ZONE        "zone.example.net"

struct world;

struct world_host {
    struct world *world;
    struct login_client *client;
    uint8_t key[NOTIFY_KEY_LEN];
    uint64_t session;     /* 0: none */
    uint64_t connects_us; /* when the connection is up; DEADLINE_NEVER: not on its way */
    bool is_unreachable;  /* connections fail */
    unsigned connects, sends, keepalives, dones, refusals, downs, closes;
    uint64_t last_connect_us;
    struct notify_name name; /* of the last DONE or REFUSED */
    struct notify_call call;
    struct notify_answer answer;
    struct notify_key looked_up;
    struct notify_relay relay;
    struct notify_vouched vouched;
    unsigned calls, answers, keys, relays, vouchers;
    uint64_t down_retry_us;
    bool answers_calls;
};

struct world {
    struct registry *registry;
    uint64_t now_us;
    uint64_t next_session;
    struct registry_static rows[WORLD_ROWS];
    size_t row_count;
    bool is_database_broken;
    struct world_host hosts[WORLD_HOSTS];
    size_t host_count;
    unsigned published, withdrawn, closed, relays;
    struct registry_event last_relay;
    char last_published[NAME_TEXT_CAP];
    char last_withdrawn[NAME_TEXT_CAP];
    bool last_is_static;
    enum registry_close last_close;
};

extern const struct credentials world_credentials;
extern const struct candidate_list world_candidates;

/* config: zone and find_static are filled in; NULL: dynamic names, nothing special. */
void world_init(struct world *world, const struct registry_config *config);
/* The rows, for a configuration of one's own; context: struct world. */
int world_find_static(void *context, const char *name, struct registry_static *ret_row);
void world_done(struct world *world);
void world_add_row(struct world *world, const char *name, uint8_t key, const uint8_t *mac);
/* key: 32 bytes of this value. config may be NULL: a host that wants no name in particular. */
struct world_host *world_add_host(struct world *world, uint8_t key,
                                  const struct login_config *config);
/* Moves what is due, and all that follows from it, until at_us. */
void world_run(struct world *world, uint64_t for_us);
/* Handles all events now. */
void world_drain(struct world *world);
/* Both sides notice. */
void world_break(struct world_host *host);
/* Only the host notices, as when its NAT forgets the connection. */
void world_break_silently(struct world_host *host);
const struct registry_static *world_row_of(const struct world *world, const uint8_t *key);

#endif
