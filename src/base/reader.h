/* Bounds-checked reading of wire formats with a sticky error: read straight through, check once.
 * After a failure every read returns zero (or NULL) and the reader stays failed.
 * Integers are big-endian unless the name says otherwise. */
#ifndef BASE_READER_H
#define BASE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/error.h"

struct reader {
    const uint8_t *start; /* first byte of the whole input */
    const uint8_t *at;    /* next byte */
    const uint8_t *end;
    int error; /* ERR_OK or ERR_TRUNCATED, or what reader_fail() set */
};

void reader_init(struct reader *r, const void *data, size_t len);
uint8_t reader_u8(struct reader *r);
uint16_t reader_u16(struct reader *r);
uint32_t reader_u32(struct reader *r);
uint64_t reader_u64(struct reader *r);
uint32_t reader_u32_le(struct reader *r);
/* Borrows len bytes of the input; NULL once failed (also for len 0 then). */
const uint8_t *reader_bytes(struct reader *r, size_t len);
/* Copies len bytes into ret; zero-fills it once failed. */
void reader_copy(struct reader *r, void *ret, size_t len);
void reader_skip(struct reader *r, size_t len);
/* A reader over the next len bytes, which this one skips. Failed itself if they are missing. */
struct reader reader_sub(struct reader *r, size_t len);
size_t reader_left(const struct reader *r);
/* Bytes read so far. */
size_t reader_offset(const struct reader *r);
/* Marks the input as bad; the first error stays. */
void reader_fail(struct reader *r, int error);
static inline bool reader_is_ok(const struct reader *r)
{
    return r->error == ERR_OK;
}

#endif
