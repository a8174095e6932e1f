/* Bounds-checked building of wire formats with a sticky error (ERR_FULL): write straight through,
 * check once. Integers are big-endian unless the name says otherwise. */
#ifndef BASE_WRITER_H
#define BASE_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/error.h"

struct writer {
    uint8_t *base;
    size_t len; /* bytes written */
    size_t cap;
    int error;
};

void writer_init(struct writer *w, void *buffer, size_t cap);
void writer_u8(struct writer *w, uint8_t value);
void writer_u16(struct writer *w, uint16_t value);
void writer_u32(struct writer *w, uint32_t value);
void writer_u64(struct writer *w, uint64_t value);
void writer_u32_le(struct writer *w, uint32_t value);
void writer_bytes(struct writer *w, const void *data, size_t len);
void writer_zero(struct writer *w, size_t len);
/* Room for len bytes to be filled in by the caller; NULL (and failed) if there is none. */
uint8_t *writer_reserve(struct writer *w, size_t len);
/* Overwrites two bytes at an offset already written, e.g. a length known only afterwards. */
void writer_patch_u16(struct writer *w, size_t offset, uint16_t value);
void writer_patch_u8(struct writer *w, size_t offset, uint8_t value);
void writer_fail(struct writer *w, int error);
static inline bool writer_is_ok(const struct writer *w)
{
    return w->error == ERR_OK;
}

#endif
