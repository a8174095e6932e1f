/* One tunnel on several cores, on the way in: what one thread has opened another hands to the
 * kernel, whose stack is the larger part of the work. Only under load, for it costs a wake-up; and
 * always in order: a thread that shares does so with one other, through one queue, into its own
 * device queue, and it hands over nothing itself until that queue is empty again. */
#include "host/datapath_internal.h"

static uint32_t load(const _Atomic uint32_t *index, memory_order order)
{
    return atomic_load_explicit(index, order);
}

unsigned share_room(const struct datapath *dp)
{
    const struct share *share = &dp->share;
    const uint32_t used = load(&share->tail, memory_order_relaxed) - share->returned;
    const unsigned room = SHARE_COUNT - used;
    return share->is_on && room < BATCH_MAX ? room : BATCH_MAX;
}

static bool is_empty(const struct share *share)
{
    return load(&share->tail, memory_order_relaxed) == load(&share->head, memory_order_acquire);
}

/* Those that the other thread has done with are this one's again. */
static void take_back(struct datapath *dp)
{
    struct share *share = &dp->share;
    const uint32_t head = load(&share->head, memory_order_acquire);
    for (; share->returned != head; share->returned++)
        packet_give_back(&dp->pool, share->packets[share->returned % SHARE_COUNT]);
}

void share_begin_round(struct datapath *dp)
{
    struct share *share = &dp->share;
    if (dp->helper == NULL || !dp->config.tun->has_offload)
        return;
    const bool is_done = is_empty(share); /* then all of them are taken back now */
    take_back(dp);
    const bool is_helper_free =
        !atomic_load_explicit(&dp->helper->share.is_loaded, memory_order_relaxed);
    if (share->is_on && (share->full_rounds == 0 || !is_helper_free) && is_done)
        share->is_on = false;
    if (!share->is_on && share->full_rounds >= SHARE_AFTER && is_helper_free) {
        datapath_flush_tun(dp); /* what came before goes before */
        share->is_on = true;
    }
}

void share_end_round(struct datapath *dp, bool is_full)
{
    struct share *share = &dp->share;
    if (dp->helper == NULL)
        return;
    share->full_rounds = !is_full                           ? 0
                         : share->full_rounds < SHARE_AFTER ? share->full_rounds + 1
                                                            : share->full_rounds;
    atomic_store_explicit(&share->is_loaded, share->full_rounds >= SHARE_AFTER,
                          memory_order_relaxed);
}

void share_tell(struct datapath *dp)
{
    if (dp->share.is_told)
        handoff_wake(&dp->helper->to_data);
    dp->share.is_told = false;
}

bool share_offer(struct datapath *dp, struct packet *packet)
{
    struct share *share = &dp->share;
    const bool has_room = load(&share->tail, memory_order_relaxed) - share->returned < SHARE_COUNT;
    if (!share->is_on || !has_room ||
        !packet_own(packet)) /* what was read has room: only answers of our own may not */
        return false;
    const uint32_t tail = load(&share->tail, memory_order_relaxed);
    share->packets[tail % SHARE_COUNT] = packet;
    atomic_store_explicit(&share->tail, tail + 1, memory_order_release);
    share->is_told = true;
    return true;
}

static void write_all(struct datapath *dp, const struct tun *tun)
{
    struct bundle *bundle;
    while ((bundle = coalesce_next(&dp->coalescer)) != NULL)
        datapath_write_bundle(dp, tun, bundle);
}

void share_help(struct datapath *dp)
{
    struct datapath *other = dp->helped;
    if (other == NULL)
        return;
    struct share *share = &other->share;
    uint32_t head = load(&share->head, memory_order_relaxed);
    const uint32_t tail = load(&share->tail, memory_order_acquire);
    if (head == tail)
        return;
    datapath_flush_tun(dp); /* its own packets go back to its own pool */
    for (; head != tail; head++) {
        struct packet *packet = share->packets[head % SHARE_COUNT];
        if (coalesce_add(&dp->coalescer, packet))
            continue;
        write_all(dp, other->config.tun);
        (void)!coalesce_add(&dp->coalescer, packet); /* empty: it takes one */
    }
    write_all(dp, other->config.tun);
    atomic_store_explicit(&share->head, head, memory_order_release);
}
