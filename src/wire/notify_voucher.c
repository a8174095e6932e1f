/* VOUCH and VOUCHER, and the voucher itself, which travels in CALL too. What it says, and whether
 * it is to be believed, is left to login. */
#include "wire/notify_internal.h"

void notify_read_voucher(struct reader *r, struct notify_voucher *ret_voucher)
{
    ret_voucher->expires_s = reader_u64(r);
    reader_copy(r, ret_voucher->signature, sizeof ret_voucher->signature);
}

void notify_write_voucher(struct writer *w, const struct notify_voucher *voucher)
{
    writer_u64(w, voucher->expires_s);
    writer_bytes(w, voucher->signature, sizeof voucher->signature);
}

int notify_parse_vouch(const void *data, size_t len)
{
    struct reader r;
    notify_start_parse(&r, data, len);
    return notify_end_parse(&r);
}

void notify_build_vouch(struct writer *w)
{
    writer_u8(w, NOTIFY_VERSION);
}

int notify_parse_vouched(const void *data, size_t len, struct notify_vouched *ret_vouched)
{
    struct notify_vouched vouched = {0};
    struct reader r;
    notify_start_parse(&r, data, len);
    vouched.left_s = reader_u16(&r);
    notify_read_voucher(&r, &vouched.voucher);
    if (reader_is_ok(&r) && vouched.left_s == 0)
        reader_fail(&r, ERR_INVALID);
    const int error = notify_end_parse(&r);
    if (error == ERR_OK)
        *ret_vouched = vouched;
    return error;
}

void notify_build_vouched(struct writer *w, const struct notify_vouched *vouched)
{
    if (vouched->left_s == 0) {
        writer_fail(w, ERR_INVALID);
        return;
    }
    writer_u8(w, NOTIFY_VERSION);
    writer_u16(w, vouched->left_s);
    notify_write_voucher(w, &vouched->voucher);
}
