/* Links between sessions, by channel; how much may pass is login/share.h's to reckon. */
#include "login/relay.h"

#include "base/map.h"
#include "crypto/memory.h"
#include "login/share.h"
#include <stdlib.h>
#include <string.h>

struct link;

struct end {
    struct relay_end told;
    struct map_node by_channel;
    struct member *member;
    struct end *next, **place; /* in the member's list */
    struct link *link;
};

struct link {
    struct end ends[2];
    struct deadline idle;
    struct link *next_closed;
    bool is_told[2]; /* whom relay_next_closed has yet to name: false */
};

/* Sessions with channels that come from one address. */
struct origin {
    struct map_node by_address;
    struct address address;
    uint32_t count;
    struct share share; /* of the total */
};

/* A session with channels. */
struct member {
    struct map_node by_session;
    uint64_t session;
    struct origin *origin;
    struct end *ends;
    uint32_t count;
    struct bytes_bucket bucket;
    struct share share; /* of its origin's */
};

struct relay {
    struct relay_config config;
    struct relay_counters counters;
    struct map channels;
    struct map members;
    struct map origins;
    struct deadline_heap idles;
    struct share total;
    struct link *closed;
};

int relay_new(const struct relay_config *config, const uint8_t seed[16], struct relay **ret_relay)
{
    struct relay *relay = calloc(1, sizeof *relay);
    if (relay == NULL)
        return ERR_NOMEM;
    relay->config = *config;
    share_init(&relay->total, NULL);
    deadline_heap_init(&relay->idles);
    int error = map_init(&relay->channels, seed);
    if (error != ERR_OK)
        goto free_relay;
    error = map_init(&relay->members, seed);
    if (error != ERR_OK)
        goto free_channels;
    error = map_init(&relay->origins, seed);
    if (error != ERR_OK)
        goto free_members;
    *ret_relay = relay;
    return ERR_OK;

free_members:
    map_done(&relay->members);
free_channels:
    map_done(&relay->channels);
free_relay:
    free(relay);
    return error;
}

static struct member *find_member(const struct relay *relay, uint64_t session)
{
    const uint64_t hash = map_hash(&relay->members, &session, sizeof session);
    for (struct map_node *node = map_first(&relay->members, hash); node != NULL;
         node = map_next(node)) {
        struct member *member = CONTAINER_OF(node, struct member, by_session);
        if (member->session == session)
            return member;
    }
    return NULL;
}

static struct end *find_channel(const struct relay *relay, uint32_t channel)
{
    const uint64_t hash = map_hash(&relay->channels, &channel, sizeof channel);
    for (struct map_node *node = map_first(&relay->channels, hash); node != NULL;
         node = map_next(node)) {
        struct end *end = CONTAINER_OF(node, struct end, by_channel);
        if (end->told.channel == channel)
            return end;
    }
    return NULL;
}

static struct origin *get_origin(struct relay *relay, const struct address *address)
{
    const struct address key = address_group(address, ADDRESS_HOST_BITS);
    const uint64_t hash = map_hash(&relay->origins, key.bytes, sizeof key.bytes);
    struct origin *origin;
    for (struct map_node *node = map_first(&relay->origins, hash); node != NULL;
         node = map_next(node)) {
        origin = CONTAINER_OF(node, struct origin, by_address);
        if (address_is_equal(&origin->address, &key))
            return origin;
    }
    origin = calloc(1, sizeof *origin);
    if (origin == NULL)
        return NULL;
    origin->address = key;
    share_init(&origin->share, &relay->total);
    if (map_insert(&relay->origins, &origin->by_address, hash) == ERR_OK)
        return origin;
    free(origin);
    return NULL;
}

static void drop_origin(struct relay *relay, struct origin *origin)
{
    if (origin->count > 0)
        return;
    map_remove(&relay->origins, &origin->by_address);
    free(origin);
}

static struct member *get_member(struct relay *relay, const struct relay_end *told)
{
    const uint64_t session = told->session;
    struct member *member = find_member(relay, session);
    if (member != NULL)
        return member;
    struct origin *origin = get_origin(relay, &told->address);
    if (origin == NULL)
        return NULL;
    member = calloc(1, sizeof *member);
    if (member == NULL ||
        map_insert(&relay->members, &member->by_session,
                   map_hash(&relay->members, &session, sizeof session)) != ERR_OK) {
        free(member);
        drop_origin(relay, origin);
        return NULL;
    }
    member->session = session;
    member->origin = origin;
    origin->count++;
    share_init(&member->share, &origin->share);
    return member;
}

static void drop_member(struct relay *relay, struct member *member)
{
    if (member == NULL || member->count > 0)
        return;
    map_remove(&relay->members, &member->by_session);
    member->origin->count--;
    drop_origin(relay, member->origin);
    free(member);
}

static int add_end(struct relay *relay, struct link *link, struct end *end,
                   const struct relay_end *told)
{
    uint32_t channel = 0;
    int error = ERR_OK;
    /* Random: a channel that is no more, or another's, is not hit by guessing near one's own. */
    while (error == ERR_OK && (channel == 0 || find_channel(relay, channel) != NULL))
        error = crypto_random(&channel, sizeof channel);
    struct member *member = error == ERR_OK ? get_member(relay, told) : NULL;
    if (error == ERR_OK && member == NULL)
        error = ERR_NOMEM;
    if (error == ERR_OK)
        error = map_insert(&relay->channels, &end->by_channel,
                           map_hash(&relay->channels, &channel, sizeof channel));
    if (error != ERR_OK) {
        drop_member(relay, member);
        return error;
    }
    end->told = *told;
    end->told.channel = channel;
    end->link = link;
    end->member = member;
    end->next = member->ends;
    end->place = &member->ends;
    if (end->next != NULL)
        end->next->place = &end->next;
    member->ends = end;
    member->count++;
    return ERR_OK;
}

static void remove_end(struct relay *relay, struct end *end)
{
    struct member *member = end->member;
    if (member == NULL)
        return;
    map_remove(&relay->channels, &end->by_channel);
    *end->place = end->next;
    if (end->next != NULL)
        end->next->place = end->place;
    member->count--;
    end->member = NULL;
    drop_member(relay, member);
}

/* Out of every table; waits in the list of closed ones until both hosts are named. */
static void close_link(struct relay *relay, struct link *link)
{
    deadline_clear(&relay->idles, &link->idle);
    remove_end(relay, &link->ends[0]);
    remove_end(relay, &link->ends[1]);
    link->next_closed = relay->closed;
    relay->closed = link;
}

void relay_free(struct relay *relay)
{
    struct map_node *node;
    struct relay_end end;
    if (relay == NULL)
        return;
    while ((node = map_walk(&relay->channels, NULL)) != NULL)
        close_link(relay, CONTAINER_OF(node, struct end, by_channel)->link);
    while (relay_next_closed(relay, &end)) {
    }
    map_done(&relay->channels);
    map_done(&relay->members);
    map_done(&relay->origins);
    deadline_heap_done(&relay->idles);
    free(relay);
}

void relay_set_config(struct relay *relay, const struct relay_config *config)
{
    relay->config = *config;
}

const struct relay_config *relay_get_config(const struct relay *relay)
{
    return &relay->config;
}

static bool has_room(const struct relay *relay, uint64_t session)
{
    const struct member *member = find_member(relay, session);
    return member == NULL || member->count < RELAY_SESSION_MAX;
}

int relay_open(struct relay *relay, struct relay_end *a, struct relay_end *b, uint64_t now_us)
{
    if (relay->config.rate == 0 || a->session == b->session)
        return ERR_REFUSED;
    if (relay->channels.count + 2 > RELAY_CHANNELS_MAX || !has_room(relay, a->session) ||
        !has_room(relay, b->session))
        return ERR_LIMIT;
    struct link *link = calloc(1, sizeof *link);
    if (link == NULL)
        return ERR_NOMEM;
    int error = deadline_set(&relay->idles, &link->idle, now_us + RELAY_IDLE_US);
    if (error == ERR_OK)
        error = add_end(relay, link, &link->ends[0], a);
    if (error == ERR_OK)
        error = add_end(relay, link, &link->ends[1], b);
    if (error != ERR_OK) {
        deadline_clear(&relay->idles, &link->idle);
        remove_end(relay, &link->ends[0]);
        remove_end(relay, &link->ends[1]);
        free(link);
        return error;
    }
    *a = link->ends[0].told;
    *b = link->ends[1].told;
    relay->counters.links++;
    return ERR_OK;
}

/* Takes from the buckets or from none. Shares are those of addresses first, so that nobody gets
 * more by logging in more often. */
static bool take(struct relay *relay, struct member *member, size_t len, uint64_t now_us)
{
    const struct relay_config *config = &relay->config;
    bytes_bucket_refill(&member->bucket, config->rate, bytes_bucket_burst(config->rate), now_us);
    if (!share_may_take(&member->share, config->rate_total, len, now_us) ||
        member->bucket.tokens < len)
        return false;
    member->bucket.tokens -= len;
    share_take(&member->share, len);
    return true;
}

int relay_pass(struct relay *relay, uint64_t session, uint32_t channel, size_t len, uint64_t now_us,
               uint64_t *ret_session, uint32_t *ret_channel)
{
    struct end *end = find_channel(relay, channel);
    int error = ERR_OK;
    if (end == NULL || end->told.session != session)
        error = ERR_NOT_FOUND;
    else if (len == 0 || len > RELAY_LEN_MAX)
        error = ERR_INVALID;
    if (error != ERR_OK) {
        relay->counters.refused++;
        return error;
    }
    if (relay->config.rate == 0 || !take(relay, end->member, len, now_us)) {
        relay->counters.limited++;
        return ERR_LIMIT;
    }
    struct link *link = end->link;
    const struct end *other = &link->ends[end == &link->ends[0]];
    /* It has its place in the heap already, so that this only moves it. */
    error = deadline_set(&relay->idles, &link->idle, now_us + RELAY_IDLE_US);
    if (error != ERR_OK)
        return error;
    relay->counters.frames++;
    relay->counters.bytes += len;
    *ret_session = other->told.session;
    *ret_channel = other->told.channel;
    return ERR_OK;
}

void relay_session_closed(struct relay *relay, uint64_t session)
{
    struct member *member;
    while ((member = find_member(relay, session)) != NULL) {
        struct end *end = member->ends;
        end->link->is_told[end == &end->link->ends[1]] = true; /* nobody there to hear it */
        close_link(relay, end->link);
    }
}

uint64_t relay_deadline(const struct relay *relay)
{
    return deadline_heap_next(&relay->idles);
}

void relay_expire(struct relay *relay, uint64_t now_us)
{
    struct deadline *due;
    while ((due = deadline_heap_pop(&relay->idles, now_us)) != NULL)
        close_link(relay, CONTAINER_OF(due, struct link, idle));
}

bool relay_next_closed(struct relay *relay, struct relay_end *ret_end)
{
    struct link *link;
    while ((link = relay->closed) != NULL) {
        for (size_t i = 0; i < 2; i++) {
            if (link->is_told[i])
                continue;
            link->is_told[i] = true;
            *ret_end = link->ends[i].told;
            return true;
        }
        relay->closed = link->next_closed;
        free(link);
    }
    return false;
}

size_t relay_channel_count(const struct relay *relay)
{
    return relay->channels.count;
}

const struct relay_counters *relay_counters(const struct relay *relay)
{
    return &relay->counters;
}
