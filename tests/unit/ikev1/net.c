/* The simulated hosts; see net.h. */
#include "net.h"
#include <stdlib.h>
#include <string.h>

static void set_fqdn(struct ikev1_id *id, const char *name)
{
    *id = (struct ikev1_id){.type = ISAKMP_ID_FQDN, .len = (uint16_t)strlen(name)};
    memcpy(id->bytes, name, id->len);
}

void net_init(struct net *net)
{
    static const char *const names[NET_NODES] = {"a.example", "b.example", "c.example"};
    static const char psk[] = "a long shared secret for tests";

    memset(net, 0, sizeof(*net));
    net->now_us = 1000 * SECOND_US;
    net->kept = (struct packet *)calloc(NET_KEPT, sizeof(*net->kept));
    assert_non_null(net->kept);
    for (size_t i = 0; i < NET_NODES; i++) {
        struct node *n = &net->nodes[i];
        n->inside = n->outside = address_from_ipv4(0xc6336401u + (uint32_t)i);
        n->takes = true;
        ikev1_config_init(&n->config);
        set_fqdn(&n->config.id, names[i]);
        set_fqdn(&n->config.peer_id, names[i == 1 ? 0 : 1]);
        memcpy(n->config.psk, psk, sizeof(psk));
        n->config.psk_len = sizeof(psk) - 1;
        n->config.nat_socket = SOCKET_NATT;
        n->config.selectors.local = (struct prefix){address_from_ipv4(0x0a000000u + (i << 8)), 24};
        n->config.selectors.remote =
            (struct prefix){address_from_ipv4(0x0a000000u + ((i == 1 ? 0u : 1u) << 8)), 24};
    }
}

void net_hide(struct net *net, size_t node)
{
    net->nodes[node].inside = address_from_ipv4(0xc0a80002u + (uint32_t)node);
    net->nodes[node].shift = (uint16_t)(30000 + node);
}

void net_open(struct net *net, size_t node)
{
    struct node *n = &net->nodes[node];
    struct ikev1_table_limits limits;

    n->config.local = (struct endpoint){.address = n->inside, .port = 500};
    n->config.addresses.own = n->inside;
    n->config.addresses.other = net->nodes[node == 1 ? 0 : 1].outside;
    ikev1_table_limits_init(&limits);
    assert_int_equal(ikev1_table_new(&limits, &n->table), ERR_OK);
    assert_int_equal(ikev1_profile_new(&n->config, &n->profile), ERR_OK);
}

void net_done(struct net *net)
{
    for (size_t i = 0; i < NET_NODES; i++) {
        ikev1_table_free(net->nodes[i].table);
        ikev1_profile_free(net->nodes[i].profile);
    }
    free(net->kept);
}

static struct kid *find(struct node *n, uint32_t number)
{
    for (size_t i = n->kid_count; i-- > 0;)
        if (n->kids[i].ready.child == number && !n->kids[i].is_closed)
            return &n->kids[i];
    fail_msg("no child %u", (unsigned)number);
    return NULL;
}

static void take_event(struct node *n, const struct ikev1_event *e)
{
    struct kid *kid;

    switch (e->type) {
    case IKEV1_EVENT_ESTABLISHED:
        n->established++;
        n->sa = e->sa;
        n->who = e->established;
        assert_ptr_equal(e->established.profile, n->profile);
        break;
    case IKEV1_EVENT_INITIAL_CONTACT:
        n->contacts++;
        break;
    case IKEV1_EVENT_CHILD_READY:
        assert_true(n->kid_count < NET_KIDS);
        kid = &n->kids[n->kid_count++];
        *kid = (struct kid){.ready = e->child_ready, .is_outbound = e->child_ready.is_outbound};
        if (kid->is_outbound)
            n->sends_with = e->child_ready.child;
        break;
    case IKEV1_EVENT_CHILD_OUTBOUND:
        kid = find(n, e->child_outbound);
        kid->is_outbound = true;
        n->sends_with = e->child_outbound;
        break;
    case IKEV1_EVENT_CHILD_CLOSED:
        if (e->child_closed.child == 0) {
            n->wish_failed++;
            n->wish_end = e->child_closed;
            break;
        }
        kid = find(n, e->child_closed.child);
        kid->is_closed = true;
        kid->reason = e->child_closed.reason;
        break;
    case IKEV1_EVENT_PATH_CHANGED:
        n->moved++;
        assert_true(endpoint_is_equal(&e->path, ikev1_sa_remote(e->sa)));
        break;
    case IKEV1_EVENT_REFUSED:
        n->refused++;
        memcpy(n->refusal, e->refused.text, sizeof(n->refusal));
        break;
    case IKEV1_EVENT_CLOSED:
        n->closed++;
        n->end = e->closed;
        for (size_t i = 0; i < n->kid_count; i++)
            n->kids[i].is_closed = true;
        if (n->sa == e->sa)
            n->sa = NULL;
        ikev1_sa_free(e->sa);
        break;
    case IKEV1_EVENT_NONE:
        break;
    }
}

static bool deliver(struct net *net, const struct packet *p)
{
    struct node *n = &net->nodes[p->to];

    if (n->table == NULL)
        return false;
    ikev1_table_set_time(n->table, net->wall_s);
    (void)!ikev1_table_receive(n->table, &n->profile, n->takes ? 1 : 0, p->bytes, p->len,
                               &p->source, net->now_us);
    return true;
}

static size_t route(const struct net *net, const struct endpoint *to)
{
    for (size_t i = 0; i < NET_NODES; i++)
        if (address_is_equal(&net->nodes[i].outside, &to->address))
            return i;
    return NET_NODES;
}

static bool is_lost(struct net *net)
{
    net->random_state = net->random_state * 6364136223846793005u + 1442695040888963407u;
    return (net->random_state >> 33) % 100 < net->loss_percent;
}

static bool send_one(struct net *net, size_t from)
{
    struct node *n = &net->nodes[from];
    struct packet *p = &net->kept[net->kept_count % NET_KEPT];
    struct endpoint to;
    struct writer w;

    writer_init(&w, p->bytes, sizeof(p->bytes));
    if (n->table == NULL || ikev1_table_transmit(n->table, &w, &to) != ERR_OK)
        return false;
    const uint16_t own_port = to.socket == SOCKET_NATT ? 4500 : 500;
    p->from = from;
    p->to = route(net, &to);
    p->len = w.len;
    net->kept_count++;
    net->sent++;
    if (p->to == NET_NODES)
        return true;
    const uint16_t inner = (uint16_t)(to.port - net->nodes[p->to].shift);
    p->source = (struct endpoint){.address = n->outside,
                                  .port = (uint16_t)(own_port + n->shift),
                                  .socket = inner == 4500 || to.port == 4500 ? SOCKET_NATT : 0};
    if (is_lost(net) || (net->filter != NULL && !net->filter(net, p)))
        return true;
    struct packet copy = *p;
    deliver(net, &copy);
    return true;
}

void net_drive(struct net *net)
{
    struct ikev1_event event;
    bool is_busy = true;

    while (is_busy) {
        is_busy = false;
        for (size_t i = 0; i < NET_NODES; i++) {
            if (net->nodes[i].table == NULL)
                continue;
            is_busy = send_one(net, i) || is_busy;
            do {
                ikev1_table_next_event(net->nodes[i].table, &event);
                take_event(&net->nodes[i], &event);
            } while (event.type != IKEV1_EVENT_NONE);
        }
    }
}

void net_run(struct net *net, uint64_t duration_us)
{
    const uint64_t end_us = net->now_us + duration_us;

    for (net_drive(net);; net_drive(net)) {
        uint64_t due_us = DEADLINE_NEVER;
        for (size_t i = 0; i < NET_NODES; i++)
            if (net->nodes[i].table != NULL)
                due_us = deadline_min(due_us, ikev1_table_deadline(net->nodes[i].table));
        if (due_us > end_us)
            break;
        net->now_us = due_us > net->now_us ? due_us : net->now_us;
        for (size_t i = 0; i < NET_NODES; i++) {
            if (net->nodes[i].table == NULL)
                continue;
            ikev1_table_expire(net->nodes[i].table, net->now_us);
            /* What was due is done: else this would never end. */
            assert_true(ikev1_table_deadline(net->nodes[i].table) > net->now_us);
        }
    }
    net->now_us = end_us;
}

void net_call(struct net *net, size_t from, size_t to)
{
    const struct endpoint remote = {.address = net->nodes[to].outside, .port = 500};

    assert_int_equal(ikev1_sa_initiate(net->nodes[from].table, net->nodes[from].profile, &remote,
                                       net->now_us, &net->nodes[from].sa),
                     ERR_OK);
    net_drive(net);
}

int net_inject(struct net *net, size_t to, const struct endpoint *source, const uint8_t *bytes,
               size_t len)
{
    struct node *n = &net->nodes[to];

    ikev1_table_set_time(n->table, net->wall_s);
    return ikev1_table_receive(n->table, &n->profile, n->takes ? 1 : 0, bytes, len, source,
                               net->now_us);
}

void net_assert_heard(struct net *net)
{
    for (size_t side = 0; side < 2; side++) {
        const struct kid *kid = net_kid(&net->nodes[side]);
        const struct node *other = &net->nodes[1 - side];
        bool is_there = false;
        assert_non_null(kid);
        for (size_t k = 0; k < other->kid_count; k++)
            is_there = is_there || (other->kids[k].ready.spi_in == kid->ready.spi_out &&
                                    !other->kids[k].is_closed);
        assert_true(is_there);
    }
}

struct kid *net_kid(struct node *node)
{
    for (size_t i = node->kid_count; i-- > 0;)
        if (!node->kids[i].is_closed && node->kids[i].ready.child == node->sends_with)
            return &node->kids[i];
    return NULL;
}

size_t net_open_kids(const struct node *node)
{
    size_t count = 0;

    for (size_t i = 0; i < node->kid_count; i++)
        count += !node->kids[i].is_closed;
    return count;
}

void net_assert_joined(struct net *net, size_t a, size_t b)
{
    const struct kid *one = net_kid(&net->nodes[a]), *two = net_kid(&net->nodes[b]);

    assert_non_null(one);
    assert_non_null(two);
    const struct ikev1_event_child_ready *x = &one->ready, *y = &two->ready;
    assert_int_equal(x->suite, y->suite);
    assert_int_equal(x->mode, y->mode);
    assert_int_equal(x->key_len, suite_key_len(x->suite));
    assert_int_equal(x->key_len, y->key_len);
    assert_memory_equal(x->key_in, y->key_out, x->key_len);
    assert_memory_equal(x->key_out, y->key_in, x->key_len);
    assert_memory_not_equal(x->key_in, x->key_out, x->key_len);
    assert_int_equal(x->spi_in, y->spi_out);
    assert_int_equal(x->spi_out, y->spi_in);
}
