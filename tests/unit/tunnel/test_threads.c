/* A data thread seals and opens while the control thread swaps children, moves paths and removes
 * tunnels. Says most in a build with -Db_sanitize=thread or address. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>

#include "samples.h"
#include "tunnel/tunnel.h"

#define ROUNDS 2000

struct shared {
    struct tunnel_table *table;
    struct view view;
    _Atomic bool is_over;
    _Atomic uint64_t carried; /* packets that came back right */
    _Atomic uint64_t wrong;   /* drops that no change explains */
};

static struct endpoint endpoint_of(uint16_t port)
{
    return (struct endpoint){.address = address_from_ipv4(0xc0000201), .port = port};
}

/* The tunnel is its own far end: both views alike, one key for both directions. A message whose
 * child has just gone is not authentic under the others, or its number has been seen there already.
 */
static bool is_explained(enum drop_reason reason)
{
    return reason == DROP_NONE || reason == DROP_NO_PATH || reason == DROP_NO_CHILD ||
           reason == DROP_NOT_AUTHENTIC || reason == DROP_REPLAY || reason == DROP_NO_TUNNEL;
}

/* One packet there and back; false if there is no tunnel now. */
static void carry(struct shared *s, const uint8_t *bytes, size_t len, struct packet *packet)
{
    struct tunnel_message message;
    struct tunnel_status status;
    struct tunnel *found = NULL;

    packet_fill(packet, bytes, len);
    tunnel_read_begin();
    struct tunnel *tunnel = tunnel_find_by_peer(s->table, &s->view.peer_ipv4);
    enum drop_reason reason = DROP_NO_TUNNEL;
    if (tunnel != NULL) {
        reason = tunnel_seal(tunnel, packet, 1);
        if (reason == DROP_NONE)
            reason = tunnel_open_any(s->table, packet, 2, &found, &message);
        tunnel_get_status(tunnel, &status);
    }
    tunnel_read_end();
    if (reason == DROP_NONE)
        atomic_fetch_add(&s->carried, 1);
    else if (!is_explained(reason))
        atomic_fetch_add(&s->wrong, 1);
}

static void *data_thread(void *argument)
{
    struct shared *s = (struct shared *)argument;
    struct packet packet;
    uint8_t payload[100] = {0}, bytes[200];
    const size_t len =
        make_ip(bytes, &s->view.own_ipv4, &s->view.peer_ipv4, 50, payload, sizeof(payload));

    tunnel_thread_register();
    while (!atomic_load(&s->is_over))
        carry(s, bytes, len, &packet);
    tunnel_thread_unregister();
    return NULL;
}

static void add_child(struct tunnel *tunnel, uint64_t id, const struct view *view)
{
    const enum suite suite = all_suites[id % SPUT_SUITE_COUNT];
    uint8_t key[SUITE_KEY_CAP];
    memset(key, (int)id, sizeof(key));
    const struct tunnel_child child = {.id = id,
                                       .suite = suite,
                                       .key_in = key,
                                       .key_out = key,
                                       .key_len = suite_key_len(suite),
                                       .remote = *view};
    assert_int_equal(tunnel_add_child(tunnel, &child), ERR_OK);
    assert_int_equal(tunnel_set_outbound(tunnel, id), ERR_OK);
    if (id > 1)
        (void)!tunnel_drop_child(tunnel, id - 1);
}

/* A tunnel's life: appears, gets keys, moves, rekeys, goes. */
static void run_control(struct shared *s)
{
    struct tunnel *tunnel = NULL;
    for (int round = 0; round < ROUNDS; round++) {
        /* The data thread's wall clock does not matter: wait until it has carried something at
         * times. */
        if (tunnel == NULL) {
            assert_int_equal(tunnel_add(s->table, &s->view, NULL, &tunnel), ERR_OK);
            assert_int_equal(tunnel_set_path(s->table, tunnel, &(struct endpoint){0}, 1500),
                             ERR_OK);
        }
        const struct endpoint path = endpoint_of((uint16_t)(1000 + round % 7));
        assert_int_equal(tunnel_set_path(s->table, tunnel, &path, 1500), ERR_OK);
        for (uint64_t id = 1; id <= 4; id++)
            add_child(tunnel, (uint64_t)round * 4 + id, &s->view);
        if (round % 10 == 0) {
            const uint64_t before = atomic_load(&s->carried);
            while (atomic_load(&s->carried) == before)
                sched_yield();
        }
        if (round % 3 == 0) {
            tunnel_remove(s->table, tunnel);
            tunnel = NULL;
        }
    }
}

static void run(int threads)
{
    static const uint8_t seed[16] = {9};
    struct shared s = {
        .view = {.own_ipv4 = address_from_ipv4(2), .peer_ipv4 = address_from_ipv4(2)}};
    pthread_t ids[4];

    tunnel_thread_register();
    assert_int_equal(tunnel_table_new(seed, &s.table), ERR_OK);
    for (int i = 0; i < threads; i++)
        assert_int_equal(pthread_create(&ids[i], NULL, data_thread, &s), 0);
    run_control(&s);
    atomic_store(&s.is_over, true);
    for (int i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    assert_int_equal(atomic_load(&s.wrong), 0);
    assert_true(atomic_load(&s.carried) >= ROUNDS / 10);
    tunnel_table_free(s.table);
    tunnel_thread_unregister();
}

static void test_one_data_thread(void **state)
{
    run(1);
}

static void test_two_data_threads(void **state)
{
    run(2);
}

/* Two threads, one sender: every number once. Two threads, one receiver: every message once. */
struct counting {
    struct sput_sender *sender;
    struct sput_receiver *receiver;
    struct packet *packets;
    _Atomic uint32_t *opened;
    uint32_t from, to;
};

#define MESSAGES 2000

static void *seal_thread(void *argument)
{
    struct counting *c = (struct counting *)argument;
    for (uint32_t i = c->from; i < c->to; i++) {
        packet_fill(&c->packets[i], "once", 4);
        if (sput_seal(c->sender, &c->packets[i], 0, 6, 0, NULL) != ERR_OK)
            return (void *)1;
    }
    return NULL;
}

static void *open_thread(void *argument)
{
    struct counting *c = (struct counting *)argument;
    struct packet copy;
    struct sput_header header;
    for (uint32_t i = 0; i < MESSAGES; i++) {
        packet_fill(&copy, c->packets[i].data, c->packets[i].len);
        if (sput_open(c->receiver, &copy, &header) == ERR_OK)
            atomic_fetch_add(&c->opened[header.number], 1);
    }
    return NULL;
}

static void test_once(void **state)
{
    const uint8_t key[SUITE_KEY_CAP] = {1};
    static _Atomic uint32_t opened[MESSAGES + 1];
    struct sput_sender sender;
    struct sput_receiver receiver;
    struct packet *packets = (struct packet *)calloc(MESSAGES, sizeof(*packets));
    pthread_t ids[2];
    void *result = NULL;

    assert_int_equal(sput_sender_init(&sender, SPUT_PAPER, key, suite_key_len(SPUT_PAPER),
                                      SPUT_REKEY_AT_DEFAULT),
                     ERR_OK);
    assert_int_equal(sput_receiver_init(&receiver, SPUT_PAPER, key, suite_key_len(SPUT_PAPER),
                                        REPLAY_WINDOW_DEFAULT),
                     ERR_OK);
    struct counting parts[2] = {{&sender, &receiver, packets, opened, 0, MESSAGES / 2},
                                {&sender, &receiver, packets, opened, MESSAGES / 2, MESSAGES}};
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&ids[i], NULL, seal_thread, &parts[i]), 0);
    for (int i = 0; i < 2; i++) {
        pthread_join(ids[i], &result);
        assert_null(result);
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&ids[i], NULL, open_thread, &parts[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(ids[i], NULL);
    assert_int_equal(atomic_load(&opened[0]), 0);
    for (uint32_t number = 1; number <= MESSAGES; number++)
        assert_int_equal(atomic_load(&opened[number]), 1);
    sput_sender_done(&sender);
    sput_receiver_done(&receiver);
    free(packets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_data_thread),
        cmocka_unit_test(test_two_data_threads),
        cmocka_unit_test(test_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
