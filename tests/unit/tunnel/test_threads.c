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

/* Several threads, one sender: every number once. Several threads, one receiver: every message
 * once, though each thread brings all of them, in its own order. */
#define MESSAGES 600
#define AT_ONCE  3
#define TEXT     "carried once, whoever comes first"

struct counting {
    bool is_esp;
    struct sput_sender sput_sender;
    struct sput_receiver sput_receiver;
    struct esp_sender esp_sender;
    struct esp_receiver esp_receiver;
    struct packet *packets;
    _Atomic uint32_t opened[MESSAGES + 1];
    _Atomic uint32_t wrong;
    _Atomic uint32_t part;
};

static int seal_one(struct counting *c, struct packet *packet)
{
    packet_fill(packet, TEXT, sizeof(TEXT));
    return c->is_esp ? esp_seal(&c->esp_sender, packet, 6, NULL)
                     : sput_seal(&c->sput_sender, packet, 0, 6, 0, NULL);
}

/* 0: refused. */
static uint64_t open_one(struct counting *c, struct packet *packet)
{
    struct sput_header header;
    struct esp_message message;
    int result = c->is_esp ? esp_open(&c->esp_receiver, packet, &message)
                           : sput_open(&c->sput_receiver, packet, &header);
    if (result == ERR_OK &&
        (packet->len != sizeof(TEXT) || memcmp(packet->data, TEXT, sizeof(TEXT)) != 0))
        atomic_fetch_add(&c->wrong, 1);
    if (result != ERR_OK && result != ERR_REPLAY)
        atomic_fetch_add(&c->wrong, 1);
    return result != ERR_OK ? 0 : c->is_esp ? message.number : header.number;
}

static void *seal_thread(void *argument)
{
    struct counting *c = (struct counting *)argument;
    for (uint32_t i = atomic_fetch_add(&c->part, 1); i < MESSAGES; i += AT_ONCE) {
        if (seal_one(c, &c->packets[i]) != ERR_OK)
            atomic_fetch_add(&c->wrong, 1);
    }
    return NULL;
}

/* Backwards a little way, then on, so that the threads are at the same ones most of the time. */
static void *open_thread(void *argument)
{
    struct counting *c = (struct counting *)argument;
    struct packet copy;
    const uint32_t own = atomic_fetch_add(&c->part, 1);
    for (uint32_t i = 0; i < MESSAGES; i++) {
        const struct packet *packet = &c->packets[own == 0 ? i : i ^ own];
        packet_fill(&copy, packet->data, packet->len);
        uint64_t number = open_one(c, &copy);
        if (number > 0 && number <= MESSAGES)
            atomic_fetch_add(&c->opened[number], 1);
    }
    return NULL;
}

static void run_threads(struct counting *c, void *(*thread)(void *))
{
    pthread_t ids[AT_ONCE];
    atomic_store(&c->part, 0);
    for (int i = 0; i < AT_ONCE; i++)
        assert_int_equal(pthread_create(&ids[i], NULL, thread, c), 0);
    for (int i = 0; i < AT_ONCE; i++)
        pthread_join(ids[i], NULL);
}

static void run_once(enum suite suite)
{
    const uint8_t key[SUITE_KEY_CAP] = {1};
    const size_t key_len = suite_key_len(suite);
    const struct esp_terms terms = {.suite = suite, .spi = 0x1000, .has_esn = true};
    struct counting *c = (struct counting *)calloc(1, sizeof(*c));
    c->is_esp = suite_is_esp(suite);
    c->packets = (struct packet *)calloc(MESSAGES, sizeof(*c->packets));
    if (c->is_esp) {
        assert_int_equal(esp_sender_init(&c->esp_sender, &terms, key, key_len, 0), ERR_OK);
        assert_int_equal(esp_receiver_init(&c->esp_receiver, &terms, key, key_len, 4096), ERR_OK);
    } else {
        assert_int_equal(sput_sender_init(&c->sput_sender, suite, key, key_len, UINT32_MAX),
                         ERR_OK);
        assert_int_equal(sput_receiver_init(&c->sput_receiver, suite, key, key_len, 4096), ERR_OK);
    }
    run_threads(c, seal_thread);
    run_threads(c, open_thread);
    assert_int_equal(c->wrong, 0);
    assert_int_equal(c->opened[0], 0);
    for (uint32_t number = 1; number <= MESSAGES; number++)
        assert_int_equal(c->opened[number], 1);
    if (c->is_esp) {
        esp_sender_done(&c->esp_sender);
        esp_receiver_done(&c->esp_receiver);
    } else {
        sput_sender_done(&c->sput_sender);
        sput_receiver_done(&c->sput_receiver);
    }
    free(c->packets);
    free(c);
}

static void test_once(void **state)
{
    static const enum suite suites[] = {SPUT_PAPER, SPUT_AES128_GCM, SPUT_CHACHA20_POLY1305,
                                        ESP_AES128_GCM_IIV, ESP_AES256_CBC_SHA256};
    for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++)
        run_once(suites[i]);
}

/* The control thread lets a tunnel rest at the very moment at which a packet comes: one of the two
 * notices. */
#define RESTS         20000
#define ROUND_LONGEST 2000

struct resting {
    struct tunnel *tunnel;
    struct view view;
    _Atomic uint32_t round, done; /* begun, ended by the data thread */
    bool is_woken;                /* of that round */
    _Atomic bool is_wrong;
};

static void *wake_thread(void *argument)
{
    struct resting *r = (struct resting *)argument;
    struct packet packet;
    uint8_t payload[20] = {0}, bytes[60];
    const size_t len =
        make_ip(bytes, &r->view.own_ipv4, &r->view.peer_ipv4, 50, payload, sizeof(payload));
    tunnel_thread_register();
    for (uint32_t round = 1; round <= RESTS; round++) {
        packet_fill(&packet, bytes, len);
        for (unsigned looks = 1; atomic_load(&r->round) != round; looks++) {
            if (looks % 1000 == 0) /* alone on one processor, perhaps */
                sched_yield();
        }
        tunnel_read_begin();
        if (tunnel_seal(r->tunnel, &packet, 1) != DROP_NONE)
            atomic_store(&r->is_wrong, true);
        r->is_woken = tunnel_take_wake(r->tunnel);
        tunnel_read_end();
        atomic_store(&r->done, round);
    }
    tunnel_thread_unregister();
    return NULL;
}

static void test_no_wake_is_lost(void **state)
{
    static const uint8_t seed[16] = {9};
    struct resting r = {
        .view = {.own_ipv4 = address_from_ipv4(2), .peer_ipv4 = address_from_ipv4(2)}};
    struct tunnel_table *table;
    pthread_t id;
    uint32_t lost = 0,
             until = 100; /* the packet, as it turns out: about as long as sealing takes */
    tunnel_thread_register();
    assert_int_equal(tunnel_table_new(seed, &table), ERR_OK);
    assert_int_equal(tunnel_add(table, &r.view, NULL, &r.tunnel), ERR_OK);
    assert_int_equal(tunnel_set_path(table, r.tunnel, &(struct endpoint){0}, 1500), ERR_OK);
    add_child(r.tunnel, 1, &r.view);
    assert_int_equal(pthread_create(&id, NULL, wake_thread, &r), 0);
    for (uint32_t round = 1; round <= RESTS; round++) {
        struct tunnel_status status;
        tunnel_set_wake(r.tunnel, 0);
        (void)tunnel_take_wake(r.tunnel);
        atomic_store(&r.round, round);
        for (volatile uint32_t wait = until; wait > 0; wait--)
            ;
        tunnel_set_wake(r.tunnel, TUNNEL_WAKE_DATA);
        tunnel_get_status(r.tunnel, &status);
        const bool is_seen = status.packets_out == round;
        until = is_seen ? until - (until > 0) : until + (until < ROUND_LONGEST);
        while (atomic_load(&r.done) != round)
            sched_yield();
        lost += !is_seen && !r.is_woken;
    }
    pthread_join(id, NULL);
    assert_int_equal(lost, 0);
    assert_false(atomic_load(&r.is_wrong));
    tunnel_table_free(table);
    tunnel_thread_unregister();
}

/* What nobody has any more is there for the next; what does not fit is the caller's; the first is
 * never lost. */
static void test_contexts(void **state)
{
    struct contexts contexts;
    int many[CONTEXTS_IDLE_MAX + 2];
    contexts_init(&contexts, &many[0]);
    assert_ptr_equal(contexts_take(&contexts), &many[0]);
    assert_null(contexts_take(&contexts));
    for (int i = 1; i <= CONTEXTS_IDLE_MAX; i++)
        assert_true(contexts_give(&contexts, &many[i]));
    assert_false(contexts_give(&contexts, &many[CONTEXTS_IDLE_MAX + 1]));
    assert_true(contexts_give(&contexts, &many[0]));
    bool seen[CONTEXTS_IDLE_MAX + 2] = {false};
    for (int *context; (context = contexts_drain(&contexts)) != NULL;) {
        assert_false(seen[context - many]);
        seen[context - many] = true;
    }
    for (int i = 0; i <= CONTEXTS_IDLE_MAX; i++)
        assert_true(seen[i]);
    struct contexts none = {0};
    assert_null(contexts_drain(&none));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_data_thread),
        cmocka_unit_test(test_two_data_threads),
        cmocka_unit_test(test_once),
        cmocka_unit_test(test_no_wake_is_lost),
        cmocka_unit_test(test_contexts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
