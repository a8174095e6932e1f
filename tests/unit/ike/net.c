/* The simulated network; see net.h. */
#include "net.h"
#include <stdlib.h>
#include <string.h>

void net_init(struct net *net, uint64_t seed)
{
    memset(net, 0, sizeof(*net));
    net->now_us = NET_SECOND(1000);
    net->random_state = seed * 2654435761u + 88172645463325252u;
    net->delay_us = NET_MS(20);
    net->data_due_us = DEADLINE_NEVER;
    for (size_t i = 0; i < NET_NODES; i++) {
        struct node *node = &net->nodes[i];
        node->net = net;
        node->endpoint.address = address_from_ipv4(0xc6336401u + (uint32_t)i);
        node->endpoint.port = (uint16_t)(4500 + i);
        assert_int_equal(identity_generate(&node->identity), ERR_OK);
        ike_config_init(&node->config, node->identity);
        node->config.local = node->endpoint;
    }
}

uint32_t net_random(struct net *net, uint32_t below)
{
    net->random_state ^= net->random_state << 13;
    net->random_state ^= net->random_state >> 7;
    net->random_state ^= net->random_state << 17;
    return (uint32_t)((net->random_state >> 16) % below);
}

void net_done(struct net *net)
{
    for (size_t i = 0; i < NET_NODES; i++) {
        struct node *node = &net->nodes[i];
        if (node->table != NULL) {
            for (struct watch *w = node->watches; w != NULL; w = w->next)
                if (w->sa != NULL)
                    ike_sa_free(w->sa);
            assert_int_equal(ike_table_count(node->table), 0);
            assert_int_equal(ike_table_half_open_count(node->table), 0);
        }
        ike_table_free(node->table);
        ike_profile_free(node->responder);
        identity_free(node->identity);
        while (node->watches != NULL) {
            struct watch *w = node->watches;
            node->watches = w->next;
            free(w);
        }
    }
    while (net->packets != NULL) {
        struct packet_sim *p = net->packets;
        net->packets = p->next;
        free(p);
    }
}

void net_open(struct net *net, size_t index, const struct ike_table_limits *limits)
{
    struct node *node = &net->nodes[index];
    struct ike_table_limits standard;

    ike_table_limits_init(&standard);
    assert_int_equal(ike_table_new(limits != NULL ? limits : &standard, net->now_us, &node->table),
                     ERR_OK);
    assert_int_equal(ike_profile_new(&node->config, &node->responder), ERR_OK);
}

void net_want_child(struct net *net, size_t index, enum suite suite)
{
    struct ike_config *config = &net->nodes[index].config;
    config->suites[0] = suite;
    config->esp_modes[0] = CHILD_BEET;
    config->esp_mode_count = 1;
    config->has_esp_commands = true;
    config->addresses.own_ipv4 = address_from_ipv4(0x0a000000u + (uint32_t)index * 256);
    config->addresses.other_ipv4 = address_from_ipv4(0x0a000001u + (uint32_t)index * 256);
}

static void enqueue(struct net *net, struct packet_sim *p)
{
    p->due_us = net->now_us + net->delay_us;
    if (net->jitter_us > 0)
        p->due_us += net_random(net, (uint32_t)net->jitter_us);
    struct packet_sim **at = &net->packets;
    while (*at != NULL && (*at)->due_us <= p->due_us)
        at = &(*at)->next;
    p->next = *at;
    *at = p;
}

struct path_sim *net_add_path(struct net *net, bool is_relay)
{
    assert_true(net->path_count < NET_PATHS);
    struct path_sim *path = &net->paths[net->path_count++];
    for (uint32_t i = 0; i < 2; i++) {
        const uint32_t number = (uint32_t)net->path_count * 2 + i;
        path->ends[i] = (struct endpoint){address_from_ipv4(0xc0000200u + number), 5000};
        if (is_relay)
            path->ends[i] = (struct endpoint){.address = {ADDRESS_RELAY, {[8] = (uint8_t)number}}};
    }
    return path;
}

/* False: it goes nowhere. */
static bool choose_path(struct net *net, struct packet_sim *p)
{
    for (unsigned i = 0; i < net->path_count; i++) {
        const struct path_sim *path = &net->paths[i];
        for (size_t from = 0; from < 2; from++) {
            if (!endpoint_is_equal(&p->destination, &path->ends[from]) ||
                !endpoint_is_equal(&p->source, &net->nodes[from].endpoint))
                continue;
            p->via = i + 1;
            p->source = path->ends[1 - from];
            p->destination = net->nodes[1 - from].endpoint;
            return !path->is_down;
        }
    }
    return !net->is_cut;
}

static void send_packet(struct net *net, const struct packet_sim *packet)
{
    unsigned copies = 1 + (net_random(net, 100) < net->double_percent);

    for (unsigned i = 0; i < copies; i++) {
        if (net_random(net, 100) < net->loss_percent)
            continue;
        struct packet_sim *p = (struct packet_sim *)malloc(sizeof(*p));
        assert_non_null(p);
        *p = *packet;
        if (!p->is_data &&
            ((net->tamper != NULL && !net->tamper(net, p)) || !choose_path(net, p))) {
            free(p);
            continue;
        }
        enqueue(net, p);
    }
}

static struct kid *find_kid(struct watch *w, uint32_t number)
{
    for (size_t i = 0; i < w->kid_count; i++)
        if (w->kids[i].ready.child == number)
            return &w->kids[i];
    return NULL;
}

static void take_child_event(struct watch *w, const struct ike_event *event)
{
    struct kid *kid;

    switch (event->type) {
    case IKE_EVENT_CHILD_READY:
        assert_true(w->kid_count < NET_KIDS);
        assert_null(find_kid(w, event->child_ready.child));
        assert_int_not_equal(event->child_ready.child, 0);
        kid = &w->kids[w->kid_count++];
        kid->ready = event->child_ready;
        kid->is_outbound = event->child_ready.is_outbound;
        break;
    case IKE_EVENT_CHILD_OUTBOUND:
        kid = find_kid(w, event->child_outbound);
        assert_non_null(kid);
        assert_false(kid->is_outbound);
        assert_false(kid->is_closed);
        kid->is_outbound = true;
        break;
    default:
        if (event->child_closed.child == 0) {
            w->child_failed = true;
            w->child_reason = event->child_closed.reason;
            break;
        }
        kid = find_kid(w, event->child_closed.child);
        assert_non_null(kid);
        assert_false(kid->is_closed);
        kid->is_closed = true;
        kid->reason = event->child_closed.reason;
        break;
    }
}

static void take_event(struct watch *w, const struct ike_event *event)
{
    assert_false(w->is_closed);
    switch (event->type) {
    case IKE_EVENT_ESTABLISHED:
        assert_false(w->is_established);
        w->is_established = true;
        w->peer_key = event->established.peer_key;
        w->is_initial_contact = event->established.is_initial_contact;
        strcpy(w->peer_id, event->established.peer_id);
        break;
    case IKE_EVENT_PATH_CHANGED:
        assert_true(w->is_established);
        assert_true(endpoint_is_equal(&event->path, ike_sa_remote(w->sa)));
        w->move_count++;
        w->path = event->path;
        break;
    case IKE_EVENT_MOVE_FAILED:
        assert_true(w->is_established);
        w->failed_count++;
        w->failed_path = event->path;
        break;
    case IKE_EVENT_NOTIFY:
        assert_true(w->is_established);
        w->notify_count++;
        w->notify_type = event->notify.type;
        w->notify_len = event->notify.len;
        memcpy(w->notify_data, event->notify.data, event->notify.len);
        break;
    case IKE_EVENT_CLOSED:
        w->is_closed = true;
        w->closed = event->closed;
        assert_non_null(w->closed.text);
        break;
    default:
        assert_true(w->is_established);
        take_child_event(w, event);
        break;
    }
}

static void transmit(struct watch *w)
{
    struct net *net = w->node->net;
    struct packet_sim p = {.source = w->node->endpoint};
    struct writer writer;

    for (;;) {
        writer_init(&writer, p.bytes, sizeof(p.bytes));
        int error = ike_sa_transmit(w->sa, &writer, &p.destination, net->now_us);
        if (error == ERR_AGAIN)
            return;
        assert_int_equal(error, ERR_OK);
        p.len = writer.len;
        net->sent_count++;
        if (p.len > net->longest)
            net->longest = p.len;
        send_packet(net, &p);
    }
}

void net_drive(struct watch *w)
{
    struct ike_event event;

    if (w->sa == NULL)
        return;
    transmit(w);
    for (;;) {
        ike_sa_next_event(w->sa, &event);
        if (event.type == IKE_EVENT_NONE)
            break;
        take_event(w, &event);
    }
    transmit(w);
    if (w->is_closed) {
        ike_sa_free(w->sa);
        w->sa = NULL;
    }
}

static struct watch *watch_of(struct node *node, struct ike_sa *sa)
{
    struct watch *w = (struct watch *)ike_sa_user(sa);

    if (w != NULL)
        return w;
    w = (struct watch *)calloc(1, sizeof(*w));
    assert_non_null(w);
    w->node = node;
    w->sa = sa;
    ike_sa_set_user(sa, w);
    w->next = node->watches;
    node->watches = w;
    node->watch_count++;
    return w;
}

struct watch *net_connect(struct net *net, size_t from, size_t to)
{
    struct node *node = &net->nodes[from];
    struct ike_profile *profile;
    struct ike_sa *sa;

    assert_int_equal(ike_profile_new(&node->config, &profile), ERR_OK);
    assert_int_equal(
        ike_sa_initiate(node->table, profile, &net->nodes[to].endpoint, net->now_us, &sa), ERR_OK);
    ike_profile_free(profile); /* the SA holds its own reference */
    struct watch *w = watch_of(node, sa);
    net_drive(w);
    return w;
}

struct watch *net_newest(struct net *net, size_t node)
{
    return net->nodes[node].watches;
}

static void transmit_replies(struct node *node)
{
    struct packet_sim p = {.source = node->endpoint};
    struct writer writer;

    for (;;) {
        writer_init(&writer, p.bytes, sizeof(p.bytes));
        int error = ike_table_transmit(node->table, &writer, &p.destination);
        if (error == ERR_AGAIN)
            return;
        assert_int_equal(error, ERR_OK);
        p.len = writer.len;
        send_packet(node->net, &p);
    }
}

int net_inject(struct net *net, size_t to, const struct endpoint *source, const uint8_t *bytes,
               size_t len)
{
    struct node *node = &net->nodes[to];
    struct ike_sa *sa;
    /* exactly as long as it is, so that the sanitizer sees any reading beyond */
    uint8_t *copy = (uint8_t *)malloc(len > 0 ? len : 1);

    assert_non_null(copy);
    memcpy(copy, bytes, len);
    int error =
        ike_table_receive(node->table, node->responder, copy, len, source, net->now_us, &sa);
    free(copy);
    if (error == ERR_OK) {
        assert_non_null(sa);
        net_drive(watch_of(node, sa));
    } else {
        assert_null(sa);
        node->errors[-error]++;
    }
    transmit_replies(node);
    return error;
}

const struct kid *watch_sending(const struct watch *w)
{
    const struct kid *newest = NULL;
    for (size_t i = 0; i < w->kid_count; i++)
        if (w->kids[i].is_outbound && !w->kids[i].is_closed)
            newest = &w->kids[i];
    return newest;
}

size_t watch_open_count(const struct watch *w)
{
    size_t count = 0;
    for (size_t i = 0; i < w->kid_count; i++)
        count += !w->kids[i].is_closed;
    return count;
}

static void send_data(struct net *net)
{
    for (size_t i = 0; i < 2; i++) {
        const struct kid *kid = watch_sending(net->data[i]);
        struct packet_sim p = {.is_data = true};
        assert_non_null(kid); /* there is always one to send with */
        p.spi = kid->ready.spi_out;
        p.source = net->data[i]->node->endpoint;
        p.destination = net->data[1 - i]->node->endpoint;
        net->data_sent++;
        send_packet(net, &p);
    }
    net->data_due_us = net->now_us + net->data_every_us;
}

static void receive_data(struct net *net, const struct packet_sim *p)
{
    for (size_t i = 0; i < 2; i++) {
        struct watch *w = net->data[i];
        if (w == NULL || !endpoint_is_equal(&w->node->endpoint, &p->destination))
            continue;
        for (size_t k = 0; k < w->kid_count; k++) {
            if (w->kids[k].ready.spi_in == p->spi && !w->kids[k].is_closed) {
                net->data_opened++;
                return;
            }
        }
        net->data_refused++;
    }
}

void net_start_data(struct net *net, struct watch *a, struct watch *b, uint64_t every_us)
{
    net->data[0] = a;
    net->data[1] = b;
    net->data_every_us = every_us;
    net->data_due_us = net->now_us;
}

static void deliver(struct net *net)
{
    struct packet_sim *p = net->packets;

    net->packets = p->next;
    for (size_t i = 0; !p->is_data && i < NET_NODES; i++)
        if (net->nodes[i].table != NULL && !net->nodes[i].is_deaf &&
            endpoint_is_equal(&net->nodes[i].endpoint, &p->destination))
            (void)net_inject(net, i, &p->source, p->bytes, p->len);
    if (p->is_data)
        receive_data(net, p);
    free(p);
}

void net_run(struct net *net, uint64_t duration_us)
{
    uint64_t end_us = net->now_us + duration_us;

    for (;;) {
        uint64_t due_us = net->packets != NULL ? net->packets->due_us : DEADLINE_NEVER;
        due_us = deadline_min(due_us, net->data_due_us);
        for (size_t i = 0; i < NET_NODES; i++)
            if (net->nodes[i].table != NULL)
                due_us = deadline_min(due_us, ike_table_deadline(net->nodes[i].table));
        if (due_us > end_us)
            break;
        if (due_us > net->now_us)
            net->now_us = due_us;
        while (net->packets != NULL && net->packets->due_us <= net->now_us)
            deliver(net);
        for (size_t i = 0; i < NET_NODES; i++) {
            struct ike_sa *sa;
            while (net->nodes[i].table != NULL &&
                   (sa = ike_table_expire(net->nodes[i].table, net->now_us)) != NULL)
                net_drive(watch_of(&net->nodes[i], sa));
        }
        if (net->data_due_us <= net->now_us)
            send_data(net);
    }
    net->now_us = end_us;
}
