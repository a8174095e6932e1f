/* Bounds-checked reading of wire formats with a sticky error: read straight through, check once.
 * After a failure every read returns zero (or NULL) and the reader stays failed.
 * Integers are big-endian unless the name says otherwise. Inline, as packets pass through it. */
#ifndef BASE_READER_H
#define BASE_READER_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct reader {
    const uint8_t *start; /* first byte of the whole input */
    const uint8_t *at;    /* next byte */
    const uint8_t *end;
    int error; /* ERR_OK or ERR_TRUNCATED, or what reader_fail() set */
};

static inline void reader_init(struct reader *r, const void *data, size_t len)
{
    r->start = r->at = (const uint8_t *)data;
    r->end = len > 0 ? r->at + len : r->at;
    r->error = ERR_OK;
}

static inline bool reader_is_ok(const struct reader *r)
{
    return r->error == ERR_OK;
}

/* Marks the input as bad; the first error stays. */
static inline void reader_fail(struct reader *r, int error)
{
    if (r->error == ERR_OK)
        r->error = error;
}

/* 0 once failed. */
static inline size_t reader_left(const struct reader *r)
{
    return r->error == ERR_OK ? (size_t)(r->end - r->at) : 0;
}

/* Bytes read so far. */
static inline size_t reader_offset(const struct reader *r)
{
    return (size_t)(r->at - r->start);
}

/* Borrows len bytes of the input; NULL once failed (also for len 0 then). */
static inline const uint8_t *reader_bytes(struct reader *r, size_t len)
{
    if (r->error != ERR_OK)
        return NULL;
    if ((size_t)(r->end - r->at) < len) {
        r->error = ERR_TRUNCATED;
        return NULL;
    }
    const uint8_t *bytes = r->at;
    if (len > 0)
        r->at += len;
    return bytes;
}

static inline uint8_t reader_u8(struct reader *r)
{
    const uint8_t *b = reader_bytes(r, 1);
    return b != NULL ? b[0] : 0;
}

static inline uint16_t reader_u16(struct reader *r)
{
    const uint8_t *b = reader_bytes(r, 2);
    return b != NULL ? (uint16_t)(b[0] << 8 | b[1]) : 0;
}

static inline uint32_t reader_u32(struct reader *r)
{
    const uint8_t *b = reader_bytes(r, 4);
    return b != NULL ? (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3] : 0;
}

static inline uint64_t reader_u64(struct reader *r)
{
    const uint8_t *b = reader_bytes(r, 8);
    uint64_t value = 0;
    for (size_t i = 0; b != NULL && i < 8; i++)
        value = value << 8 | b[i];
    return value;
}

static inline uint32_t reader_u32_le(struct reader *r)
{
    const uint8_t *b = reader_bytes(r, 4);
    return b != NULL ? (uint32_t)b[3] << 24 | (uint32_t)b[2] << 16 | (uint32_t)b[1] << 8 | b[0] : 0;
}

/* Copies len bytes into ret; zero-fills it once failed. */
static inline void reader_copy(struct reader *r, void *ret, size_t len)
{
    const uint8_t *bytes = reader_bytes(r, len);
    if (len == 0)
        return;
    if (bytes != NULL)
        memcpy(ret, bytes, len);
    else
        memset(ret, 0, len);
}

static inline void reader_skip(struct reader *r, size_t len)
{
    (void)reader_bytes(r, len);
}

/* A reader over the next len bytes, which this one skips. Failed itself if they are missing. */
static inline struct reader reader_sub(struct reader *r, size_t len)
{
    struct reader sub;
    const uint8_t *bytes = reader_bytes(r, len);
    reader_init(&sub, bytes, bytes != NULL ? len : 0);
    sub.error = r->error;
    return sub;
}

#endif
