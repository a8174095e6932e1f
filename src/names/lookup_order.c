/* In which order the addresses of a service are tried. */
#include "names/lookup.h"

static bool has(const struct endpoint *endpoints, size_t count, const struct endpoint *wanted)
{
    for (size_t i = 0; i < count; i++) {
        if (endpoint_is_equal(&endpoints[i], wanted))
            return true;
    }
    return false;
}

size_t lookup_order(const struct lookup_target *targets, size_t count, struct endpoint *ret_order,
                    size_t cap)
{
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        /* Every target gets a share, however many addresses the first one has. */
        const size_t end = at + (cap - at) / (count - i);
        const struct lookup_addresses *families[2] = {&targets[i].ipv6, &targets[i].ipv4};
        size_t taken[2] = {0, 0};
        for (size_t turn = 0;
             at < end && (taken[0] < families[0]->count || taken[1] < families[1]->count);
             turn = !turn) {
            if (taken[turn] == families[turn]->count)
                continue;
            const struct endpoint endpoint = {families[turn]->items[taken[turn]++],
                                              targets[i].port};
            if (!has(ret_order, at, &endpoint))
                ret_order[at++] = endpoint;
        }
    }
    return at;
}
