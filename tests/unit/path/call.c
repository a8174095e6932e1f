/* Drives two punches through the simulated network. */
#include "call.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/deadline.h"
#include "wire/stun.h"

static void receive(void *context, const uint8_t *data, size_t len, const struct endpoint *from)
{
    struct party *party = context;
    if (len > 0 && data[0] > 3) {
        party->data_received++;
        party->data_from = *from;
        return;
    }
    const int result = punch_table_receive(party->table, data, len, from, party->sim->now_us);
    assert_true(result <= 0);
    punch_table_expire(party->table, party->sim->now_us);
    call_drain(party);
}

static void take_events(struct party *party)
{
    struct punch_event event;
    struct punch *punch;
    void *context;
    uint16_t first;
    while (punch_table_next_event(party->table, &punch, &context, &event)) {
        assert_ptr_equal(punch, party->punch);
        assert_ptr_equal(context, party);
        switch (event.type) {
        case PUNCH_NOMINATED:
            assert_false(party->has_nominated);
            assert_false(party->has_failed);
            party->has_nominated = true;
            party->nominated = event;
            party->nominated_us = party->sim->now_us;
            assert_true(punch_is_validated(party->punch, &event.endpoint));
            break;
        case PUNCH_FAILED:
            assert_false(party->has_nominated);
            party->has_failed = true;
            party->failed = event;
            break;
        case PUNCH_WANTS_SOCKETS:
            party->sockets =
                event.socket_count < party->sockets_max ? event.socket_count : party->sockets_max;
            first = (uint16_t)(party->host->sockets + 1);
            party->host->sockets += party->sockets;
            if (party->sockets > 0)
                assert_int_equal(punch_table_give_sockets(party->table, punch, first,
                                                          party->sockets, party->sim->now_us),
                                 ERR_OK);
            break;
        case PUNCH_ENDED:
            assert_false(party->has_ended);
            party->has_ended = true;
            break;
        }
    }
}

static void keep_check(struct party *party, const struct writer *w)
{
    struct stun_message m;
    assert_int_equal(stun_parse(w->base, w->len, &m), ERR_OK);
    if (m.class != STUN_REQUEST || (party->keeps_nomination && !m.use_candidate))
        return;
    party->keeps_nomination = m.use_candidate;
    memcpy(party->last_check, w->base, w->len);
    party->last_check_len = w->len;
}

void call_drain(struct party *party)
{
    for (;;) {
        uint8_t buffer[PUNCH_DATAGRAM_CAP];
        struct writer w;
        struct punch_target target;
        writer_init(&w, buffer, sizeof buffer);
        const int error = punch_table_transmit(party->table, &w, party->sim->now_us, &target);
        if (error == ERR_AGAIN)
            break;
        assert_int_equal(error, ERR_OK);
        if (target.is_opener) {
            if (party->depth > 0)
                sim_send_opener(party->sim, party->host, &target.to, party->depth, w.base, w.len);
            continue;
        }
        keep_check(party, &w);
        sim_send(party->sim, party->host, &target.to, w.base, w.len);
    }
    take_events(party);
    /* After draining nothing may be due: else the owner's timer would spin. */
    assert_true(punch_table_deadline(party->table) > party->sim->now_us);
}

void call_init(struct call *call, uint64_t seed)
{
    memset(call, 0, sizeof *call);
    sim_init(&call->sim, seed);
    call->caller.sim = call->called.sim = &call->sim;
    call->caller.is_controlling = true;
    call->caller.depth = call->called.depth = 1;
    call->caller.is_observed = call->called.is_observed = true;
    call->caller.may_try_birthday = call->called.may_try_birthday = true;
    call->caller.sockets_max = call->called.sockets_max = PUNCH_BIRTHDAY_SOCKETS;
    call->answer_us = 40 * MS_US;
}

void call_place(struct party *party, unsigned realm, const char *endpoint, const char *subnet)
{
    party->host = sim_add_host(party->sim, realm, endpoint, receive, party);
    assert_int_equal(prefix_parse(subnet, &party->subnet), ERR_OK);
}

/* What a host learns of its NAT by asking the connector from more sockets: the last one's port is
 * the freshest. */
static void find_pattern(struct party *party, const struct endpoint *reflexive)
{
    struct port_pattern *pattern = &party->candidates.pattern;
    const struct sim_nat *nat = &party->sim->nats[party->host->realm];
    *pattern = (struct port_pattern){.kind = PORT_PATTERN_NONE};
    if (party->is_observed)
        candidate_list_observe(&party->candidates, &reflexive->address);
    if (party->host->realm == 0 || (!nat->is_symmetric && !nat->is_by_address))
        return;
    pattern->is_by_address = !nat->is_symmetric;
    pattern->kind = nat->is_random ? PORT_PATTERN_RANDOM : PORT_PATTERN_SEQUENTIAL;
    if (nat->is_random)
        return;
    party->host->sockets = 1;
    pattern->last = sim_reflexive_of(party->sim, party->host, 1).port;
    pattern->step = (int16_t)(nat->step != 0 ? nat->step : 1);
}

static void open_party(struct party *party)
{
    const struct endpoint reflexive = sim_reflexive(party->sim, party->host);
    const struct candidate_sources sources = {.addresses = &party->host->endpoint.address,
                                              .address_count = 1,
                                              .port = party->host->endpoint.port,
                                              .reflexive = &reflexive,
                                              .reflexive_count = 1};
    candidate_list_build(&sources, &party->candidates);
    find_pattern(party, &reflexive);
    assert_int_equal(credentials_generate(&party->credentials), ERR_OK);
    const struct punch_config config = {.is_controlling = party->is_controlling,
                                        .may_try_birthday = party->may_try_birthday,
                                        .local = party->credentials,
                                        .own = party->candidates,
                                        .subnets = {party->subnet},
                                        .subnet_count = 1};
    assert_int_equal(punch_table_new(&party->table), ERR_OK);
    assert_int_equal(
        punch_table_open(party->table, &config, party, party->sim->now_us, &party->punch), ERR_OK);
}

void call_start(struct call *call)
{
    open_party(&call->caller);
    open_party(&call->called);
    call->start_us = call->sim.now_us;
    assert_int_equal(punch_table_set_remote(call->called.table, call->called.punch,
                                            &call->caller.credentials, &call->caller.candidates,
                                            call->sim.now_us),
                     ERR_OK);
    call_drain(&call->called);
}

static bool is_settled(const struct party *party)
{
    return party->has_nominated || party->has_failed;
}

void call_run(struct call *call, uint64_t limit_us)
{
    const uint64_t end_us = call->sim.now_us + limit_us;
    uint64_t answer_us = call->start_us + call->answer_us;
    while (!is_settled(&call->caller) || !is_settled(&call->called)) {
        uint64_t at_us = deadline_min(sim_next_us(&call->sim), answer_us);
        at_us = deadline_min(at_us, punch_table_deadline(call->caller.table));
        at_us = deadline_min(at_us, punch_table_deadline(call->called.table));
        if (at_us > end_us)
            break;
        if (at_us < call->sim.now_us)
            at_us = call->sim.now_us;
        sim_run_until(&call->sim, at_us);
        if (at_us >= answer_us) {
            answer_us = DEADLINE_NEVER;
            assert_int_equal(punch_table_set_remote(call->caller.table, call->caller.punch,
                                                    &call->called.credentials,
                                                    &call->called.candidates, at_us),
                             ERR_OK);
        }
        punch_table_expire(call->caller.table, at_us);
        call_drain(&call->caller);
        punch_table_expire(call->called.table, at_us);
        call_drain(&call->called);
    }
}

void call_check_data(struct call *call)
{
    static const uint8_t data[] = {0x40, 1, 2, 3};
    call->sim.loss = call->sim.doubling = 0;
    assert_true(call->caller.has_nominated && call->called.has_nominated);
    call->caller.data_received = call->called.data_received = 0;
    sim_send(&call->sim, call->caller.host, &call->caller.nominated.endpoint, data, sizeof data);
    sim_send(&call->sim, call->called.host, &call->called.nominated.endpoint, data, sizeof data);
    sim_run_until(&call->sim, call->sim.now_us + SECOND_US);
    assert_int_equal(call->caller.data_received, 1);
    assert_int_equal(call->called.data_received, 1);
    assert_true(endpoint_is_equal(&call->caller.data_from, &call->caller.nominated.endpoint));
    assert_true(endpoint_is_equal(&call->called.data_from, &call->called.nominated.endpoint));
}

void call_done(struct call *call)
{
    punch_table_free(call->caller.table);
    punch_table_free(call->called.table);
    sim_done(&call->sim);
}
