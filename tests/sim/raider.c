/* Replays, flips, cuts, redirects, floods. */
#include "raider.h"

#include <stdlib.h>
#include <string.h>

#define CAUGHT_MAX 24
#define LEN_MAX    1500

struct raider {
    struct event event;
    struct sim *sim;
    struct caught {
        struct endpoint src, dst;
        size_t len;
        uint8_t data[LEN_MAX];
    } caught[CAUGHT_MAX];
    size_t count;
    uint64_t interval_us, until_us;
    bool is_queued;
};

static void drop(struct event *event)
{
}

static bool has_fingerprint(const struct caught *caught)
{
    static const uint8_t attribute[] = {0x80, 0x28, 0, 4};
    return caught->len >= 28 && memcmp(caught->data + caught->len - 8, attribute, 4) == 0;
}

/* FINGERPRINT is no secret (RFC 8489, 14.7): what is changed bears a right one. */
static void fix_fingerprint(struct caught *caught)
{
    uint32_t crc = UINT32_MAX;
    if (!has_fingerprint(caught))
        return;
    for (size_t i = 0; i < caught->len - 8; i++) {
        crc ^= caught->data[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320 : 0);
    }
    crc = ~crc ^ 0x5354554E;
    for (unsigned i = 0; i < 4; i++)
        caught->data[caught->len - 4 + i] = (uint8_t)(crc >> (24 - 8 * i));
}

static void send_some(struct raider *raider)
{
    struct sim *sim = raider->sim;
    struct rng *rng = &sim->core.rng;
    const struct caught *original = &raider->caught[rng_below(rng, raider->count)];
    struct caught copy = *original;
    const struct caught *other = &raider->caught[rng_below(rng, raider->count)];
    const struct endpoint own = {sim->net.links[RAIDER_LINK].ipv4,
                                 (uint16_t)rng_between(rng, 1024, 65535)};
    switch (rng_below(rng, 8)) {
    case 0: /* again */
        break;
    case 1: /* from elsewhere: a path would move */
        copy.src = own;
        break;
    case 2: /* to another host */
        copy.dst = other->dst;
        break;
    case 3: /* changed */
        for (unsigned i = 0, count = 1 + (unsigned)rng_below(rng, 3); i < count; i++)
            copy.data[rng_below(rng, copy.len)] ^= (uint8_t)(1 << rng_below(rng, 8));
        fix_fingerprint(&copy);
        break;
    case 4: /* changed, and from elsewhere */
        copy.data[rng_below(rng, copy.len)] ^= (uint8_t)(1 << rng_below(rng, 8));
        fix_fingerprint(&copy);
        copy.src = rng_chance(rng, 500) ? own : other->src;
        break;
    case 5: /* cut */
        copy.len = rng_below(rng, copy.len + 1);
        break;
    case 6: /* back to whoever sent it */
        copy.dst = copy.src;
        copy.src = other->src;
        break;
    default: /* noise of the same kind */
        rng_fill(rng, copy.data + copy.len / 4, copy.len - copy.len / 4);
        break;
    }
    /* FINGERPRINT stands behind MESSAGE-INTEGRITY, which does not cover it. */
    const size_t covered = has_fingerprint(original) ? original->len - 8 : original->len;
    const bool is_same =
        copy.len == original->len && memcmp(copy.data, original->data, covered) == 0;
    sim_send(sim, RAIDER_LINK, &copy.src, &copy.dst, -1, copy.data, copy.len,
             is_same ? ORIGIN_COPY : ORIGIN_ALTERED);
}

static void run(struct event *event)
{
    struct raider *raider = (struct raider *)event;
    struct core *core = &raider->sim->core;
    raider->is_queued = core->now_us < raider->until_us;
    if (!raider->is_queued)
        return;
    if (raider->count > 0)
        send_some(raider);
    core_add(core, event, core->now_us + 1 + rng_below(&core->rng, 2 * raider->interval_us));
}

struct raider *raider_new(struct sim *sim)
{
    struct raider *raider = sim_new(sizeof(*raider));
    raider->event.run = run;
    raider->event.drop = drop;
    raider->sim = sim;
    return raider;
}

void raider_free(struct raider *raider)
{
    free(raider);
}

void raider_see(struct raider *raider, const struct passage *passage, const uint8_t *data,
                size_t len)
{
    struct rng *rng = &raider->sim->core.rng;
    if (raider->sim->core.now_us >= raider->until_us || len > LEN_MAX || len == 0)
        return;
    if (raider->count == CAUGHT_MAX && !rng_chance(rng, 200))
        return;
    const size_t at =
        raider->count < CAUGHT_MAX ? raider->count++ : (size_t)rng_below(rng, CAUGHT_MAX);
    struct caught *caught = &raider->caught[at];
    /* Faster than the original: whoever believes the sender's address answers to the wrong one. */
    if (rng_chance(rng, 100)) {
        const struct endpoint own = {raider->sim->net.links[RAIDER_LINK].ipv4,
                                     (uint16_t)rng_between(rng, 1024, 65535)};
        sim_send(raider->sim, RAIDER_LINK, &own, &passage->dst, -1, data, len, ORIGIN_COPY);
    }
    caught->src = passage->src;
    caught->dst = passage->dst;
    caught->len = len;
    memcpy(caught->data, data, len);
}

void raider_start(struct raider *raider, uint64_t interval_us, uint64_t until_us)
{
    raider->interval_us = interval_us;
    raider->until_us = until_us;
    if (!raider->is_queued)
        core_add(&raider->sim->core, &raider->event, raider->sim->core.now_us);
    raider->is_queued = true;
}

bool raider_has_begun(const struct raider *raider)
{
    return raider->until_us > 0;
}
