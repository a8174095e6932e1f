/* The rules of the leak guard, and a table kept clean. */
#include "io/guard.h"

#include "io/route.h"

/* Most foreign routes taken out in one go; more are found by the next. */
#define FOREIGN_CAP 32

struct foreign_routes {
    const struct guard *guard;
    struct route routes[FOREIGN_CAP];
    size_t count;
};

static int take_foreign(const struct route *route, void *context)
{
    struct foreign_routes *foreign = context;

    /* Unreachable ones let nothing out. */
    if (route->kind == ROUTE_UNREACHABLE ||
        (route->link == foreign->guard->link && route->link != 0))
        return ERR_OK;
    if (foreign->count < FOREIGN_CAP)
        foreign->routes[foreign->count++] = *route;
    return ERR_OK;
}

static int find_foreign(struct netlink *nl, const struct guard *guard,
                        struct foreign_routes *foreign)
{
    foreign->guard = guard;
    foreign->count = 0;
    return route_walk(nl, guard->table, take_foreign, foreign);
}

static struct route_rule lookup_rule(const struct guard *guard, size_t i)
{
    return (struct route_rule){
        .to = guard->prefixes[i], .preference = guard->preference, .table = guard->table};
}

static struct route_rule stop_rule(const struct guard *guard, size_t i)
{
    return (struct route_rule){.to = guard->prefixes[i], .preference = guard->preference + 1};
}

/* Without IPv6 in the kernel nothing can leak over it. */
static bool is_needless(const struct guard *guard, size_t i, int error)
{
    return error == ERR_UNSUPPORTED && guard->prefixes[i].address.family == ADDRESS_IPV6;
}

int guard_install(struct netlink *nl, const struct guard *guard)
{
    struct foreign_routes foreign;
    size_t i;
    int error;

    for (i = 0; i < guard->count; i++) {
        struct route_rule stop = stop_rule(guard, i);
        struct route_rule lookup = lookup_rule(guard, i);

        /* The stop first: in between, nothing is let out. */
        error = route_rule_add(nl, &stop);
        if (error == ERR_OK)
            error = route_rule_add(nl, &lookup);
        if (error < 0 && !is_needless(guard, i, error))
            return error;
    }
    do {
        error = find_foreign(nl, guard, &foreign);
        for (i = 0; error == ERR_OK && i < foreign.count; i++)
            error = route_delete(nl, &foreign.routes[i]);
    } while (error == ERR_OK && foreign.count == FOREIGN_CAP);
    return error == ERR_AGAIN ? ERR_OK : error;
}

int guard_is_intact(struct netlink *nl, const struct guard *guard, bool *ret_is_intact)
{
    struct foreign_routes foreign;
    size_t i;
    int error;

    for (i = 0; i < guard->count; i++) {
        struct route_rule stop = stop_rule(guard, i);
        struct route_rule lookup = lookup_rule(guard, i);
        bool has_stop = false;
        bool has_lookup = false;

        error = route_rule_is_present(nl, &stop, &has_stop);
        if (error == ERR_OK)
            error = route_rule_is_present(nl, &lookup, &has_lookup);
        if (is_needless(guard, i, error))
            continue;
        if (error < 0)
            return error;
        if (!has_stop || !has_lookup) {
            *ret_is_intact = false;
            return ERR_OK;
        }
    }
    error = find_foreign(nl, guard, &foreign);
    if (error < 0 && error != ERR_AGAIN)
        return error;
    *ret_is_intact = foreign.count == 0;
    return ERR_OK;
}

int guard_remove(struct netlink *nl, const struct guard *guard)
{
    int first_error = ERR_OK;
    size_t i;

    for (i = 0; i < guard->count; i++) {
        struct route_rule stop = stop_rule(guard, i);
        struct route_rule lookup = lookup_rule(guard, i);
        int error = route_rule_delete(nl, &lookup);

        if (error == ERR_OK)
            error = route_rule_delete(nl, &stop);
        if (error < 0 && !is_needless(guard, i, error) && first_error == ERR_OK)
            first_error = error;
    }
    return first_error;
}
