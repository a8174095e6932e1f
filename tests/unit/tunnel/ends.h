/* Two tunnels, one for each end, against each other. */
#ifndef ENDS_H
#define ENDS_H

#include "samples.h"
#include "tunnel/tunnel.h"

#define NOW 1000000

struct end {
    struct tunnel_table *table;
    struct tunnel *tunnel;
    struct endpoint endpoint; /* where its datagrams come from */
    struct view view;
};

struct ends {
    struct end a, b;
};

static inline struct endpoint endpoint_of(const char *text)
{
    struct endpoint e;
    assert_int_equal(endpoint_parse(text, 0, &e), ERR_OK);
    return e;
}

static inline void end_init(struct end *end, const struct view *view, const char *endpoint,
                            void *user)
{
    static const uint8_t seed[16] = {1, 2, 3};
    end->view = *view;
    end->endpoint = endpoint_of(endpoint);
    assert_int_equal(tunnel_table_new(seed, &end->table), ERR_OK);
    assert_int_equal(tunnel_add(end->table, view, user, &end->tunnel), ERR_OK);
}

static inline void ends_init(struct ends *e)
{
    const struct translation t = sample_translation();
    end_init(&e->a, &t.local, "192.0.2.1:32589", NULL);
    end_init(&e->b, &t.remote, "198.51.100.9:40000", NULL);
    assert_int_equal(tunnel_set_path(e->a.table, e->a.tunnel, &e->b.endpoint, 1500), ERR_OK);
    assert_int_equal(tunnel_set_path(e->b.table, e->b.tunnel, &e->a.endpoint, 1500), ERR_OK);
}

static inline void ends_done(struct ends *e)
{
    tunnel_table_free(e->a.table);
    tunnel_table_free(e->b.table);
}

static inline enum drop_reason receive(struct end *end, struct packet *packet,
                                       struct tunnel_message *message)
{
    struct tunnel *tunnel = NULL;
    tunnel_read_begin();
    enum drop_reason reason = tunnel_open_any(end->table, packet, NOW, &tunnel, message);
    tunnel_read_end();
    if (reason == DROP_NONE)
        assert_ptr_equal(tunnel, end->tunnel);
    return reason;
}

/* Of a group of tests. */
static inline int set_up(void **state)
{
    tunnel_thread_register();
    return 0;
}

static inline int tear_down(void **state)
{
    tunnel_thread_unregister();
    return 0;
}

#endif
