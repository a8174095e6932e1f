/* The children (SAs) of a tunnel, and what a tunnel says of itself. Control thread, but for the
 * questions. */
#include "tunnel/tunnel_internal.h"

#include <stdlib.h>
#include <string.h>

/* Wipes. */
static void done_keys(struct child *child)
{
    if (child->is_esp) {
        esp_receiver_done(&child->esp.receiver);
        esp_sender_done(&child->esp.sender);
    } else {
        sput_receiver_done(&child->sput.receiver);
        sput_sender_done(&child->sput.sender);
    }
}

static void give_back(struct child *child)
{
    free(child->selectors);
    arena_give_back(child->arena, child, sizeof(*child));
}

static void free_child(struct rcu_head *head)
{
    struct child *child = CONTAINER_OF(head, struct child, head);
    rcu_order_after(&rcu_grace_period);
    done_keys(child);
    give_back(child);
}

static void free_set(struct rcu_head *head)
{
    struct child_set *set = CONTAINER_OF(head, struct child_set, head);
    rcu_order_after(&rcu_grace_period);
    arena_give_back(set->arena, set, sizeof(*set));
}

static struct child_set *current_set(const struct tunnel *tunnel)
{
    return atomic_load_explicit(&tunnel->children, memory_order_acquire);
}

/* A copy of the set to be changed and published; empty where there is none yet. NULL: no memory. */
static struct child_set *copy_set(const struct tunnel *tunnel)
{
    const struct child_set *old = current_set(tunnel);
    struct child_set *set = (struct child_set *)arena_take(tunnel->arena, sizeof(*set));

    if (set == NULL)
        return NULL;
    set->arena = tunnel->arena;
    if (old == NULL)
        return set;
    set->outbound = old->outbound;
    set->count = old->count;
    memcpy(set->inbound, old->inbound, sizeof(set->inbound));
    return set;
}

static bool is_inbound(const struct child_set *set, const struct child *child)
{
    for (unsigned int i = 0; set != NULL && i < set->count; i++) {
        if (set->inbound[i] == child)
            return true;
    }
    return false;
}

static bool is_kept(const struct child_set *set, const struct child *child)
{
    return set != NULL && (set->outbound == child || is_inbound(set, child));
}

static void drop_child(struct child *child)
{
    child_leave(child);
    rcu_defer(&child->head, free_child);
}

/* Puts set (NULL: none) in the place of the old one; children that are in neither direction of it
 * go. The old set stays as it is: readers still look at it. */
static void publish_set(struct tunnel *tunnel, struct child_set *set)
{
    struct child_set *old = atomic_exchange(&tunnel->children, set);
    atomic_store_explicit(&tunnel->likely, set != NULL && set->count > 0 ? set->inbound[0] : NULL,
                          memory_order_release);
    if (old == NULL)
        return;
    for (unsigned int i = 0; i < old->count; i++) {
        if (!is_kept(set, old->inbound[i]))
            drop_child(old->inbound[i]);
    }
    if (old->outbound != NULL && !is_inbound(old, old->outbound) && !is_kept(set, old->outbound))
        drop_child(old->outbound);
    rcu_defer(&old->head, free_set);
}

static struct child *find_child(const struct child_set *set, uint64_t id)
{
    if (set == NULL)
        return NULL;
    for (unsigned int i = 0; i < set->count; i++) {
        if (set->inbound[i]->id == id)
            return set->inbound[i];
    }
    return set->outbound != NULL && set->outbound->id == id ? set->outbound : NULL;
}

static int init_sput(struct child *child, const struct tunnel_child *config)
{
    const uint32_t window = config->window != 0 ? config->window : REPLAY_WINDOW_DEFAULT;
    const uint32_t rekey_at =
        config->rekey_at != 0 ? (uint32_t)config->rekey_at : SPUT_REKEY_AT_DEFAULT;
    int result = sput_receiver_init_in(child->arena, &child->sput.receiver, config->suite,
                                       config->key_in, config->key_len, window);

    if (result != ERR_OK)
        return result;
    return sput_sender_init_in(child->arena, &child->sput.sender, config->suite, config->key_out,
                               config->key_len, rekey_at);
}

static enum translate_form form_of(const struct tunnel_child *config)
{
    if (config->mode == CHILD_TUNNEL)
        return TRANSLATE_WHOLE;
    return config->has_commands ? TRANSLATE_ESP : TRANSLATE_BARE;
}

static int init_esp(struct child *child, const struct tunnel_child *config)
{
    const uint32_t window = config->window != 0 ? config->window : REPLAY_WINDOW_DEFAULT;
    struct esp_terms terms = {.suite = config->suite,
                              .spi = config->spi_in,
                              .has_esn = config->has_esn,
                              .arena = child->arena};

    if (config->spi_in < ESP_SPI_MIN || config->spi_out < ESP_SPI_MIN)
        return ERR_INVALID;
    child->spi_in = config->spi_in;
    child->spi_out = config->spi_out;
    child->mode = config->mode;
    child->has_commands = config->has_commands;
    child->translation.form = form_of(config);
    child->translation.wire = config->wire;
    child->translation.recomputes = config->mode == CHILD_TRANSPORT;
    if (config->selectors != NULL) {
        child->selectors = (struct selector_pair *)malloc(sizeof(*child->selectors));
        if (child->selectors == NULL)
            return ERR_NOMEM;
        *child->selectors = *config->selectors;
        child->translation.selectors = child->selectors;
    }
    child->is_in_kernel = config->is_in_kernel;
    if (config->is_in_kernel) {
        child->esp.sender.keys.has_esn = config->has_esn;
        return ERR_OK;
    }
    int result =
        esp_receiver_init(&child->esp.receiver, &terms, config->key_in, config->key_len, window);
    if (result != ERR_OK)
        return result;
    terms.spi = config->spi_out;
    return esp_sender_init(&child->esp.sender, &terms, config->key_out, config->key_len,
                           config->rekey_at);
}

static int child_new(struct tunnel *tunnel, const struct tunnel_child *config,
                     struct child **ret_child)
{
    struct child *child = (struct child *)arena_take(tunnel->arena, sizeof(*child));
    if (child == NULL)
        return ERR_NOMEM;
    child->arena = tunnel->arena;
    child->id = config->id;
    child->tunnel = tunnel;
    child->suite = config->suite;
    child->is_esp = suite_is_esp(config->suite);
    child->translation.local = tunnel->local;
    child->translation.remote = config->remote;
    int result = child->is_esp ? init_esp(child, config) : init_sput(child, config);
    if (result == ERR_OK)
        result = child_enter(child);
    if (result != ERR_OK) {
        done_keys(child);
        give_back(child);
        return result;
    }
    *ret_child = child;
    return ERR_OK;
}

int tunnel_add_child(struct tunnel *tunnel, const struct tunnel_child *config)
{
    struct child *child = NULL;

    if (config->id == 0)
        return ERR_INVALID;
    if (find_child(current_set(tunnel), config->id) != NULL)
        return ERR_EXISTS;
    struct child_set *set = copy_set(tunnel);
    if (set == NULL)
        return ERR_NOMEM;
    int result = child_new(tunnel, config, &child);
    if (result != ERR_OK) {
        arena_give_back(set->arena, set, sizeof(*set));
        return result;
    }
    if (set->count < TUNNEL_CHILDREN_MAX)
        set->count++;
    memmove(&set->inbound[1], &set->inbound[0], (set->count - 1) * sizeof(set->inbound[0]));
    set->inbound[0] = child;
    publish_set(tunnel, set);
    return ERR_OK;
}

int tunnel_set_outbound(struct tunnel *tunnel, uint64_t child_id)
{
    struct child *child = find_child(current_set(tunnel), child_id);
    if (child == NULL)
        return ERR_NOT_FOUND;
    struct child_set *set = copy_set(tunnel);
    if (set == NULL)
        return ERR_NOMEM;
    set->outbound = child;
    publish_set(tunnel, set);
    return ERR_OK;
}

int tunnel_drop_child(struct tunnel *tunnel, uint64_t child_id)
{
    struct child *child = find_child(current_set(tunnel), child_id);
    if (child == NULL)
        return ERR_NOT_FOUND;
    struct child_set *set = copy_set(tunnel);
    if (set == NULL)
        return ERR_NOMEM;
    if (set->outbound == child)
        set->outbound = NULL;
    unsigned int kept = 0;
    for (unsigned int i = 0; i < set->count; i++) {
        if (set->inbound[i] != child)
            set->inbound[kept++] = set->inbound[i];
    }
    set->count = kept;
    publish_set(tunnel, set);
    return ERR_OK;
}

void tunnel_children_clear(struct tunnel *tunnel)
{
    publish_set(tunnel, NULL);
}

void tunnel_add_counts(struct tunnel *tunnel, uint64_t packets_in, uint64_t bytes_in,
                       uint64_t packets_out, uint64_t bytes_out, uint64_t now_us)
{
    atomic_fetch_add_explicit(&tunnel->packets_in, packets_in, memory_order_relaxed);
    atomic_fetch_add_explicit(&tunnel->bytes_in, bytes_in, memory_order_relaxed);
    atomic_fetch_add_explicit(&tunnel->packets_out, packets_out, memory_order_relaxed);
    atomic_fetch_add_explicit(&tunnel->bytes_out, bytes_out, memory_order_relaxed);
    if (packets_in > 0)
        atomic_store_explicit(&tunnel->received_us, now_us, memory_order_relaxed);
    if (packets_out > 0)
        atomic_store_explicit(&tunnel->sent_us, now_us, memory_order_relaxed);
}

void *tunnel_user(const struct tunnel *tunnel)
{
    return tunnel->user;
}

const struct view *tunnel_view(const struct tunnel *tunnel)
{
    return &tunnel->local;
}

static uint64_t counted(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static uint32_t mtu_of(const struct path *path, const struct child *outbound)
{
    if (path == NULL || outbound == NULL)
        return 0;
    return translate_mtu(path->mtu, outbound->suite,
                         (enum address_family)path->remote.address.family);
}

void tunnel_get_status(const struct tunnel *tunnel, struct tunnel_status *ret_status)
{
    struct tunnel_status status = {0};

    urcu_memb_read_lock();
    const struct path *path = atomic_load_explicit(&tunnel->path, memory_order_acquire);
    const struct child_set *set = current_set(tunnel);
    const struct child *outbound = set != NULL ? set->outbound : NULL;
    if (path != NULL) {
        status.remote = path->remote;
        status.path_mtu = path->mtu;
    }
    if (outbound != NULL) {
        status.outbound_id = outbound->id;
        status.suite = outbound->suite;
        status.mode = outbound->mode;
        status.spi_in = outbound->spi_in;
        status.spi_out = outbound->spi_out;
        status.has_esn = outbound->is_esp && outbound->esp.sender.keys.has_esn;
        status.has_commands = !outbound->is_esp || outbound->has_commands;
        status.is_rekey_due = child_is_rekey_due(outbound);
    }
    status.mtu = mtu_of(path, outbound);
    tunnel_read_end();
    /* See tunnel_set_wake(). */
    status.packets_in = atomic_load_explicit(&tunnel->packets_in, memory_order_seq_cst);
    status.packets_out = atomic_load_explicit(&tunnel->packets_out, memory_order_seq_cst);
    status.bytes_in = counted(&tunnel->bytes_in);
    status.bytes_out = counted(&tunnel->bytes_out);
    status.received_us = counted(&tunnel->received_us);
    status.sent_us = counted(&tunnel->sent_us);
    status.large_us = counted(&tunnel->large_us);
    status.has_stream = atomic_load_explicit(&tunnel->has_stream, memory_order_relaxed);
    for (int i = 0; i < DROP_REASON_COUNT; i++)
        status.drops[i] = drop_counted(&tunnel->drops, (enum drop_reason)i);
    *ret_status = status;
}

bool tunnel_is_rekey_due(const struct tunnel *tunnel)
{
    urcu_memb_read_lock();
    const struct child_set *set = current_set(tunnel);
    bool is_due = set != NULL && set->outbound != NULL && child_is_rekey_due(set->outbound);
    tunnel_read_end();
    return is_due;
}

/* The control thread asks, then looks whether there was a packet meanwhile; a data thread counts
 * the packet, then looks whether it was asked. These four are sequentially consistent: in the one
 * order that all threads see of them, either the asking comes before the data thread's look, which
 * finds it, or the packet comes before the control thread's, which counts it. With weaker orders
 * both could miss the other, and a quiet tunnel would sleep on. (The addition is a barrier on most
 * processors anyway, and the look an ordinary load.) */
void tunnel_set_wake(struct tunnel *tunnel, unsigned int wakes)
{
    atomic_store_explicit(&tunnel->wakes, wakes, memory_order_seq_cst);
}

void tunnel_count(struct tunnel *tunnel, _Atomic uint64_t *packets, uint64_t count,
                  unsigned int wakes)
{
    atomic_fetch_add_explicit(packets, count, memory_order_seq_cst);
    if ((atomic_load_explicit(&tunnel->wakes, memory_order_seq_cst) & wakes) == 0)
        return;
    atomic_store_explicit(&tunnel->wakes, 0, memory_order_relaxed);
    /* Released with it: whoever takes it, and has the control thread ask anew, comes after that 0.
     */
    atomic_store_explicit(&tunnel->is_woken, true, memory_order_release);
}

bool tunnel_take_wake(struct tunnel *tunnel)
{
    return atomic_load_explicit(&tunnel->is_woken, memory_order_relaxed) &&
           atomic_exchange_explicit(&tunnel->is_woken, false, memory_order_acquire);
}

uint32_t tunnel_mtu(const struct tunnel *tunnel)
{
    urcu_memb_read_lock();
    const struct path *path = atomic_load_explicit(&tunnel->path, memory_order_acquire);
    const struct child_set *set = current_set(tunnel);
    uint32_t mtu = mtu_of(path, set != NULL ? set->outbound : NULL);
    tunnel_read_end();
    return mtu;
}
