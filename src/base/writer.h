/* Bounds-checked building of wire formats with a sticky error (ERR_FULL): write straight through,
 * check once. Integers are big-endian unless the name says otherwise. */
#ifndef BASE_WRITER_H
#define BASE_WRITER_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct writer {
    uint8_t *base;
    size_t len; /* bytes written */
    size_t cap;
    int error;
};

static inline void writer_init(struct writer *w, void *buffer, size_t cap)
{
    w->base = (uint8_t *)buffer;
    w->len = 0;
    w->cap = cap;
    w->error = ERR_OK;
}

static inline bool writer_is_ok(const struct writer *w)
{
    return w->error == ERR_OK;
}

/* The first error stays. */
static inline void writer_fail(struct writer *w, int error)
{
    if (w->error == ERR_OK)
        w->error = error;
}

/* Room for len bytes to be filled in by the caller; NULL (and failed) if there is none. */
static inline uint8_t *writer_reserve(struct writer *w, size_t len)
{
    if (w->error != ERR_OK)
        return NULL;
    if (w->cap - w->len < len) {
        w->error = ERR_FULL;
        return NULL;
    }
    uint8_t *room = w->len > 0 ? w->base + w->len : w->base;
    w->len += len;
    return room;
}

static inline void writer_u8(struct writer *w, uint8_t value)
{
    uint8_t *b = writer_reserve(w, 1);
    if (b != NULL)
        b[0] = value;
}

static inline void writer_u16(struct writer *w, uint16_t value)
{
    uint8_t *b = writer_reserve(w, 2);
    if (b == NULL)
        return;
    b[0] = (uint8_t)(value >> 8);
    b[1] = (uint8_t)value;
}

static inline void writer_u32(struct writer *w, uint32_t value)
{
    uint8_t *b = writer_reserve(w, 4);
    for (size_t i = 0; b != NULL && i < 4; i++)
        b[i] = (uint8_t)(value >> (24 - 8 * i));
}

static inline void writer_u64(struct writer *w, uint64_t value)
{
    uint8_t *b = writer_reserve(w, 8);
    for (size_t i = 0; b != NULL && i < 8; i++)
        b[i] = (uint8_t)(value >> (56 - 8 * i));
}

static inline void writer_u32_le(struct writer *w, uint32_t value)
{
    uint8_t *b = writer_reserve(w, 4);
    for (size_t i = 0; b != NULL && i < 4; i++)
        b[i] = (uint8_t)(value >> (8 * i));
}

static inline void writer_bytes(struct writer *w, const void *data, size_t len)
{
    uint8_t *b = writer_reserve(w, len);
    if (b != NULL && len > 0)
        memcpy(b, data, len);
}

static inline void writer_zero(struct writer *w, size_t len)
{
    uint8_t *b = writer_reserve(w, len);
    if (b != NULL && len > 0)
        memset(b, 0, len);
}

/* Overwrite bytes at an offset already written, e.g. a length known only afterwards; an offset that
 * is not written yet fails the writer with ERR_INVALID. */
static inline void writer_patch_u8(struct writer *w, size_t offset, uint8_t value)
{
    if (w->error != ERR_OK)
        return;
    if (offset >= w->len) {
        w->error = ERR_INVALID;
        return;
    }
    w->base[offset] = value;
}

static inline void writer_patch_u16(struct writer *w, size_t offset, uint16_t value)
{
    if (w->error != ERR_OK)
        return;
    if (w->len < 2 || offset > w->len - 2) {
        w->error = ERR_INVALID;
        return;
    }
    w->base[offset] = (uint8_t)(value >> 8);
    w->base[offset + 1] = (uint8_t)value;
}

#endif
