/* Virtual time, events and random numbers. Nothing here knows what is simulated. */
#define OPENSSL_SUPPRESS_DEPRECATED /* RAND_METHOD: the one way to see to all that draws */
#include "core.h"

#include "crypto/libcrypto.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *sim_new(size_t size)
{
    void *memory = calloc(1, size);
    if (memory == NULL)
        abort();
    return memory;
}

static uint64_t rotate(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

void rng_init(struct rng *rng, uint64_t seed)
{
    for (size_t i = 0; i < 4; i++) {
        uint64_t z = seed += 0x9E3779B97F4A7C15;
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
        z = (z ^ z >> 27) * 0x94D049BB133111EB;
        rng->state[i] = z ^ z >> 31;
    }
}

uint64_t rng_next(struct rng *rng)
{
    uint64_t *s = rng->state;
    const uint64_t result = rotate(s[1] * 5, 7) * 9;
    const uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

uint64_t rng_below(struct rng *rng, uint64_t below)
{
    const uint64_t value = rng_next(rng);
    return below > 0 ? value % below : 0;
}

uint64_t rng_between(struct rng *rng, uint64_t first, uint64_t last)
{
    return first + rng_below(rng, last - first + 1);
}

bool rng_chance(struct rng *rng, unsigned permille)
{
    return rng_below(rng, 1000) < permille;
}

void rng_fill(struct rng *rng, void *data, size_t len)
{
    uint8_t *bytes = data;
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)rng_next(rng);
}

void core_init(struct core *core, uint64_t seed)
{
    memset(core, 0, sizeof(*core));
    core->now_us = SIM_START_US;
    core->hash = 0xCBF29CE484222325;
    rng_init(&core->rng, seed);
    rng_init(&core->keys, ~seed);
}

void core_done(struct core *core)
{
    while (core->count > 0) {
        struct event *event = core_pop(core);
        event->drop(event);
    }
    free(core->heap);
    core->heap = NULL;
    core->cap = 0;
}

static bool is_before(const struct event *a, const struct event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

void core_add(struct core *core, struct event *event, uint64_t at_us)
{
    if (core->count == core->cap) {
        core->cap = core->cap > 0 ? core->cap * 2 : 64;
        core->heap = realloc(core->heap, core->cap * sizeof(struct event *));
        if (core->heap == NULL)
            abort();
    }
    event->at_us = at_us > core->now_us ? at_us : core->now_us;
    event->order = ++core->order;
    size_t at = core->count++;
    for (; at > 0 && is_before(event, core->heap[(at - 1) / 2]); at = (at - 1) / 2)
        core->heap[at] = core->heap[(at - 1) / 2];
    core->heap[at] = event;
}

uint64_t core_next_us(const struct core *core)
{
    return core->count > 0 ? core->heap[0]->at_us : DEADLINE_NEVER;
}

struct event *core_pop(struct core *core)
{
    struct event *first = core->heap[0];
    struct event *last = core->heap[--core->count];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < core->count; at = child) {
        if (child + 1 < core->count && is_before(core->heap[child + 1], core->heap[child]))
            child++;
        if (!is_before(core->heap[child], last))
            break;
        core->heap[at] = core->heap[child];
    }
    if (core->count > 0)
        core->heap[at] = last;
    return first;
}

void core_mix(struct core *core, const void *data, size_t len)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < len; i++)
        core->hash = (core->hash ^ bytes[i]) * 0x100000001B3;
}

void core_trace(struct core *core, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    const int len = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    core_mix(core, &core->now_us, sizeof(core->now_us));
    core_mix(core, text, len > 0 && (size_t)len < sizeof(text) ? (size_t)len : 0);
    if (core->has_trace)
        printf("%12.6f  %s\n", (double)(core->now_us - SIM_START_US) / SECOND_US, text);
}

void core_break(struct core *core, const char *format, ...)
{
    va_list arguments;
    if (core->why[0] != '\0')
        return;
    va_start(arguments, format);
    vsnprintf(core->why, sizeof(core->why), format, arguments);
    va_end(arguments);
    core_trace(core, "BROKEN: %s", core->why);
}

/* libcrypto asks for random numbers without a word about for whom. */
static struct core *source;

static int draw(unsigned char *data, int len)
{
    rng_fill(&source->keys, data, len > 0 ? (size_t)len : 0);
    return 1;
}

static int is_ready(void)
{
    return 1;
}

void core_own_randomness(struct core *core)
{
    static const RAND_METHOD method = {.bytes = draw, .pseudorand = draw, .status = is_ready};
    source = core;
    (void)RAND_set_rand_method(core != NULL ? &method : NULL);
}
