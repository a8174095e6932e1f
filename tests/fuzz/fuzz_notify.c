/* Private Notify payloads: the first two bytes are the type. What a parser takes, its builder
 * writes but for fields that it does not know, and the form that comes out is stable. */
#include "fuzz.h"

#include <string.h>

#include "wire/notify.h"

/* Parse, build, parse, build: both texts are the same. */
#define CHECK(kind)                                                                                \
    do {                                                                                           \
        static struct notify_##kind value, again;                                                  \
        uint8_t first[NOTIFY_LEN_MAX], second[NOTIFY_LEN_MAX];                                     \
        struct writer w, x;                                                                        \
        if (notify_parse_##kind(data, len, &value) != 0)                                           \
            return 0;                                                                              \
        writer_init(&w, first, sizeof(first));                                                     \
        notify_build_##kind(&w, &value);                                                           \
        must(writer_is_ok(&w) && w.len <= len);                                                    \
        must(notify_parse_##kind(first, w.len, &again) == 0);                                      \
        writer_init(&x, second, sizeof(second));                                                   \
        notify_build_##kind(&x, &again);                                                           \
        must(x.len == w.len && memcmp(first, second, w.len) == 0);                                 \
    } while (0)

static int check_login(const uint8_t *data, size_t len)
{
    CHECK(login);
    return 0;
}

static int check_name(const uint8_t *data, size_t len)
{
    CHECK(name);
    return 0;
}

static int check_call(const uint8_t *data, size_t len)
{
    CHECK(call);
    return 0;
}

static int check_answer(const uint8_t *data, size_t len)
{
    CHECK(answer);
    return 0;
}

static int check_relay(const uint8_t *data, size_t len)
{
    CHECK(relay);
    return 0;
}

static int check_lookup(const uint8_t *data, size_t len)
{
    CHECK(lookup);
    return 0;
}

static int check_key(const uint8_t *data, size_t len)
{
    CHECK(key);
    return 0;
}

static int check_vouched(const uint8_t *data, size_t len)
{
    CHECK(vouched);
    return 0;
}

static int check_candidates(const uint8_t *data, size_t len)
{
    static struct notify_call call;
    if (notify_parse_call(data, len, &call) != 0)
        return 0;
    const size_t count = call.candidates.count;
    candidate_list_sanitize(&call.candidates, NULL);
    must(call.candidates.count <= count);
    for (size_t i = 0; i < call.candidates.count; i++)
        must(candidate_is_acceptable(&call.candidates.items[i], NULL));
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 2)
        return 0;
    const unsigned type = (unsigned)(data[0] << 8 | data[1]);
    data += 2;
    len -= 2;
    switch (type) {
    case NOTIFY_LOGIN:
        return check_login(data, len);
    case NOTIFY_NAME:
        return check_name(data, len);
    case NOTIFY_CALL:
        check_candidates(data, len);
        return check_call(data, len);
    case NOTIFY_ANSWER:
        return check_answer(data, len);
    case NOTIFY_RELAY:
        return check_relay(data, len);
    case NOTIFY_LOOKUP:
        return check_lookup(data, len);
    case NOTIFY_KEY:
        return check_key(data, len);
    case NOTIFY_VOUCH:
        must((notify_parse_vouch(data, len) == 0) == (len == 1 && data[0] == NOTIFY_VERSION));
        return 0;
    case NOTIFY_VOUCHER:
        return check_vouched(data, len);
    default:
        return 0;
    }
}
