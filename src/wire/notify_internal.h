/* How every private notify begins and ends. For the notify*.c files alone. */
#ifndef WIRE_NOTIFY_INTERNAL_H
#define WIRE_NOTIFY_INTERNAL_H

#include "base/reader.h"
#include "wire/notify.h"

/* The version; none is longer than NOTIFY_LEN_MAX. */
static inline void notify_start_parse(struct reader *r, const void *data, size_t len)
{
    reader_init(r, data, len);
    if (len > NOTIFY_LEN_MAX)
        reader_fail(r, ERR_INVALID);
    if (reader_u8(r) != NOTIFY_VERSION)
        reader_fail(r, ERR_UNSUPPORTED);
}

/* Nothing may follow. */
MUST_USE static inline int notify_end_parse(struct reader *r)
{
    if (reader_left(r) > 0)
        reader_fail(r, ERR_INVALID);
    return r->error;
}

#endif
