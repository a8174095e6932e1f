/* Single producer, single consumer ring of fixed slots. */
#include "host/handoff.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

int handoff_init(struct handoff *handoff, uint32_t count)
{
    memset(handoff, 0, sizeof(*handoff));
    handoff->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (handoff->wake_fd < 0)
        return ERR_IO;
    handoff->slots = calloc(count, sizeof(*handoff->slots));
    if (handoff->slots == NULL) {
        close(handoff->wake_fd);
        return ERR_NOMEM;
    }
    handoff->mask = count - 1;
    return ERR_OK;
}

void handoff_done(struct handoff *handoff)
{
    if (handoff->slots == NULL)
        return;
    free(handoff->slots);
    handoff->slots = NULL;
    close(handoff->wake_fd);
}

static struct handoff_slot *take_slot(struct handoff *handoff, const void *data, size_t len,
                                      uint32_t room)
{
    uint32_t tail = atomic_load_explicit(&handoff->tail, memory_order_relaxed);
    uint32_t head = atomic_load_explicit(&handoff->head, memory_order_acquire);
    if (tail - head >= room || len > HANDOFF_DATA_CAP) {
        atomic_fetch_add_explicit(&handoff->dropped, 1, memory_order_relaxed);
        return NULL;
    }
    struct handoff_slot *slot = &handoff->slots[tail & handoff->mask];
    slot->len = (uint32_t)len;
    if (len > 0)
        memcpy(slot->data, data, len);
    return slot;
}

struct handoff_slot *handoff_slot_take(struct handoff *handoff, const void *data, size_t len)
{
    return take_slot(handoff, data, len, handoff->mask + 1);
}

struct handoff_slot *handoff_slot_take_bulk(struct handoff *handoff, const void *data, size_t len)
{
    return take_slot(handoff, data, len, handoff->mask + 1 - (handoff->mask + 1) / 4);
}

void handoff_push(struct handoff *handoff)
{
    uint32_t tail = atomic_load_explicit(&handoff->tail, memory_order_relaxed);
    atomic_store_explicit(&handoff->tail, tail + 1, memory_order_release);
}

void handoff_wake(struct handoff *handoff)
{
    uint64_t one = 1;
    /* The counter cannot overflow: the reader clears it, and a full one is awake already. */
    ssize_t written = write(handoff->wake_fd, &one, sizeof(one));
    (void)written;
}

struct handoff_slot *handoff_peek(struct handoff *handoff)
{
    uint32_t head = atomic_load_explicit(&handoff->head, memory_order_relaxed);
    uint32_t tail = atomic_load_explicit(&handoff->tail, memory_order_acquire);
    return head == tail ? NULL : &handoff->slots[head & handoff->mask];
}

void handoff_pop(struct handoff *handoff)
{
    uint32_t head = atomic_load_explicit(&handoff->head, memory_order_relaxed);
    atomic_store_explicit(&handoff->head, head + 1, memory_order_release);
}

uint32_t handoff_count(const struct handoff *handoff)
{
    return atomic_load_explicit(&handoff->tail, memory_order_acquire) -
           atomic_load_explicit(&handoff->head, memory_order_relaxed);
}

void handoff_clear_wake(struct handoff *handoff)
{
    uint64_t count;
    ssize_t got = read(handoff->wake_fd, &count, sizeof(count));
    (void)got;
}
