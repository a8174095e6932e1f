/* The zone's DNS as daemons ask it: what src/names/zone answers, after the time that it takes. In
 * the place of src/host/lookup.c, which asks with c-ares. */
#include "base/writer.h"
#include "host/lookup.h"
#include "hub.h"
#include "names/zone.h"
#include "sim.h"
#include <stdlib.h>
#include <string.h>

#define QUERY_CAP    320
#define ANSWER_CAP   1232
#define GIVE_UP_US   (5 * SECOND_US) /* without any answer */
#define TRIES        2
#define RETRY_US     (1500 * MS_US)
#define CLASS_IN     1
#define FLAG_RECURSE 0x0100

struct lookup {
    struct event event;
    struct machine *machine;
    lookup_done *done; /* NULL: cancelled */
    void *context;
    bool has_answer;
    uint8_t query[QUERY_CAP];
    size_t len;
};

static void drop(struct event *event)
{
    free(event);
}

static void finish(struct event *event)
{
    struct lookup *lookup = (struct lookup *)event;
    struct machine *machine = lookup->machine;
    uint8_t answer[ANSWER_CAP];
    size_t len = 0;
    if (lookup->done == NULL) {
        free(lookup);
        return;
    }
    const bool is_heard = lookup->has_answer && !machine->is_asleep &&
                          machine->sim->net.links[machine->link].is_up &&
                          zone_answer(hub_zone(machine->sim->hub), lookup->query, lookup->len, true,
                                      ANSWER_CAP, answer, sizeof(answer), &len) == ERR_OK;
    struct machine *before = machine_enter(machine);
    lookup->done(lookup->context, is_heard ? ERR_OK : ERR_TIMEOUT, is_heard ? answer : NULL, len);
    machine_settle(machine);
    machine_leave(before);
    free(lookup);
}

static bool build(struct lookup *lookup, const char *name, uint16_t type)
{
    struct writer w;
    writer_init(&w, lookup->query, sizeof(lookup->query));
    writer_u16(&w, 1);
    writer_u16(&w, FLAG_RECURSE);
    writer_u16(&w, 1);
    writer_zero(&w, 6);
    for (const char *label = name; label != NULL && *label != '\0';) {
        const char *end = strchr(label, '.');
        const size_t len = end != NULL ? (size_t)(end - label) : strlen(label);
        writer_u8(&w, (uint8_t)len);
        writer_bytes(&w, label, len);
        label = end != NULL ? end + 1 : NULL;
    }
    writer_u8(&w, 0);
    writer_u16(&w, type);
    writer_u16(&w, CLASS_IN);
    lookup->len = w.len;
    return writer_is_ok(&w);
}

int lookup_start(uv_loop_t *loop, uint32_t mark, const char *name, uint16_t type, lookup_done *done,
                 void *context, struct lookup **ret_lookup)
{
    struct machine *machine = machine_current();
    struct core *core = &machine->sim->core;
    const struct link *link = &machine->sim->net.links[machine->link];
    struct lookup *lookup = sim_new(sizeof(*lookup));
    *lookup = (struct lookup){.event = {.run = finish, .drop = drop},
                              .machine = machine,
                              .done = done,
                              .context = context};
    if (!build(lookup, name, type)) {
        free(lookup);
        return ERR_INVALID;
    }
    uint64_t at_us = core->now_us + GIVE_UP_US;
    for (unsigned i = 0; i < TRIES && !lookup->has_answer; i++) {
        const uint64_t from_us = core->now_us + i * RETRY_US;
        lookup->has_answer = link->is_up && from_us >= link->black_until_us &&
                             !rng_chance(&core->rng, 2 * link->quality.loss);
        if (lookup->has_answer)
            at_us = from_us + 2 * sim_delay(machine->sim, link) + rng_below(&core->rng, 30 * MS_US);
    }
    core_add(core, &lookup->event, at_us);
    *ret_lookup = lookup;
    return ERR_OK;
}

void lookup_cancel(struct lookup *lookup)
{
    if (lookup != NULL)
        lookup->done = NULL;
}
