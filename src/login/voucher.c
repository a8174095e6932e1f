/* What a connector signs when it vouches for a host. */
#include "login/voucher.h"

#include <string.h>

/* No message of IKE that the same key signs begins so (RFC 7296, 2.15 and 3.1). */
static const char purpose[] = "detec voucher: this name has this key";
#define TEXT_CAP (sizeof purpose + 8 + NOTIFY_KEY_LEN + 2 * (size_t)(1 + NAME_TEXT_CAP))

static void write_text(struct writer *w, const char *text)
{
    const size_t len = strnlen(text, NAME_TEXT_CAP);
    if (len >= NAME_TEXT_CAP)
        writer_fail(w, ERR_INVALID);
    writer_u8(w, (uint8_t)len);
    writer_bytes(w, text, len);
}

static int write_claim(struct writer *w, const struct voucher_claim *claim, uint64_t expires_s)
{
    writer_bytes(w, purpose, sizeof purpose);
    writer_u64(w, expires_s);
    writer_bytes(w, claim->key, NOTIFY_KEY_LEN);
    write_text(w, claim->zone);
    write_text(w, claim->name);
    return w->error;
}

int voucher_sign(const struct identity *connector, const struct voucher_claim *claim,
                 uint64_t now_s, struct notify_voucher *ret_voucher)
{
    struct notify_voucher voucher = {.expires_s = now_s + VOUCHER_LIFE_S};
    uint8_t text[TEXT_CAP];
    struct writer w;
    writer_init(&w, text, sizeof text);
    int error = write_claim(&w, claim, voucher.expires_s);
    if (error == ERR_OK)
        error = identity_sign(connector, text, w.len, voucher.signature);
    if (error == ERR_OK)
        *ret_voucher = voucher;
    return error;
}

int voucher_check(const struct notify_voucher *voucher, const struct public_key *connector,
                  const struct voucher_claim *claim)
{
    uint8_t text[TEXT_CAP];
    struct writer w;
    writer_init(&w, text, sizeof text);
    const int error = write_claim(&w, claim, voucher->expires_s);
    return error == ERR_OK ? public_key_verify(connector, text, w.len, voucher->signature) : error;
}

bool voucher_is_fresh(const struct notify_voucher *voucher, uint64_t now_s)
{
    if (voucher->expires_s >= now_s)
        return voucher->expires_s - now_s <= VOUCHER_LIFE_S + VOUCHER_SKEW_S;
    return now_s - voucher->expires_s <= VOUCHER_SKEW_S;
}
