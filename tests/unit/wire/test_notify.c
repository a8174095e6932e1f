/* Private Notify payloads: byte-exact forms, round trips, every truncated length, hostile fields.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "wire/notify.h"

static struct endpoint endpoint_of(const char *text)
{
    struct endpoint e;
    assert_int_equal(endpoint_parse(text, 0, &e), ERR_OK);
    return e;
}

static struct address address_of(const char *text)
{
    struct address a;
    assert_int_equal(address_parse(text, &a), ERR_OK);
    return a;
}

static const struct credentials good = {"AbCd+/09", "0123456789abcdefGHIJKL+/"};

static struct notify_login make_login(void)
{
    struct notify_login login = {.has_mac = true,
                                 .is_guest = true,
                                 .lease_s = 0x0102,
                                 .mac = {1, 2, 3, 4, 5, 6},
                                 .name = "pc.example.net",
                                 .port = 0x7f4d,
                                 .address_count = 2};
    login.addresses[0] = address_of("192.0.2.7");
    login.addresses[1] = address_of("2001:db8::1");
    return login;
}

static struct notify_name make_name(void)
{
    return (struct notify_name){.result = NAME_OK,
                                .is_static = true,
                                .lease_s = 120,
                                .name = "pc.example.net",
                                .zone = "example.net",
                                .stun_port = 4500,
                                .reason = "Welcome (again)!"};
}

static struct notify_call make_call(void)
{
    struct notify_call call = {.wants_relay = true,
                               .is_vouched = true,
                               .is_static = true,
                               .number = 0x0102030405060708,
                               .called = "a.example.net",
                               .caller = "b.example.org",
                               .credentials = good};
    memset(call.caller_key, 0xaa, sizeof call.caller_key);
    call.candidates.count = 2;
    call.candidates.items[0] = (struct candidate){CANDIDATE_HOST, endpoint_of("192.168.1.2:32589")};
    call.candidates.items[1] =
        (struct candidate){CANDIDATE_REFLEXIVE, endpoint_of("[2001:db8::7]:4500")};
    return call;
}

static struct notify_answer make_answer(void)
{
    struct notify_answer answer = {.number = 99, .credentials = good, .reason = "ok"};
    memset(answer.called_key, 0xbb, sizeof answer.called_key);
    answer.candidates.count = 1;
    answer.candidates.items[0] =
        (struct candidate){CANDIDATE_MAPPED, endpoint_of("198.51.100.1:1")};
    return answer;
}

static const struct notify_lookup some_lookup = {.number = 7, .name = "a.example.net"};
static const struct notify_key some_key = {
    .number = 7, .is_known = true, .is_static = true, .key = {9}};

static const struct notify_vouched some_voucher = {.left_s = 120,
                                                   .voucher = {0x0102030405060708, {0x55}}};

static const struct notify_relay some_relay = {
    .number = 0x1112131415161718, .channel = 0x21222324, .rate = 0x31323334, .len_max = 4000};

/* One row for each payload: builds the sample, and parses into memory of the right size. */
struct codec {
    const char *name;
    size_t (*build)(uint8_t *buffer, size_t cap, int *ret_error);
    int (*parse)(const void *data, size_t len, void *ret);
};

#define CODEC(kind, sample)                                                                        \
    static size_t build_##kind(uint8_t *buffer, size_t cap, int *ret_error)                        \
    {                                                                                              \
        struct writer w;                                                                           \
        const struct notify_##kind value = sample;                                                 \
        writer_init(&w, buffer, cap);                                                              \
        notify_build_##kind(&w, &value);                                                           \
        *ret_error = w.error;                                                                      \
        return w.len;                                                                              \
    }                                                                                              \
    static int parse_##kind(const void *data, size_t len, void *ret)                               \
    {                                                                                              \
        return notify_parse_##kind(data, len, (struct notify_##kind *)ret);                        \
    }
CODEC(login, make_login())
CODEC(name, make_name())
CODEC(call, make_call())
CODEC(answer, make_answer())
CODEC(relay, some_relay)
CODEC(lookup, some_lookup)
CODEC(key, some_key)
CODEC(vouched, some_voucher)

static const struct codec codecs[] = {
    {"login", build_login, parse_login}, {"name", build_name, parse_name},
    {"call", build_call, parse_call},    {"answer", build_answer, parse_answer},
    {"relay", build_relay, parse_relay}, {"lookup", build_lookup, parse_lookup},
    {"key", build_key, parse_key},       {"vouched", build_vouched, parse_vouched},
};
#define CODEC_COUNT (sizeof codecs / sizeof codecs[0])

union any {
    struct notify_login login;
    struct notify_name name;
    struct notify_call call;
    struct notify_answer answer;
    struct notify_relay relay;
    struct notify_lookup lookup;
    struct notify_key key;
    struct notify_vouched vouched;
    uint8_t bytes[2048];
};

static void test_every_length(void **state)
{
    for (size_t i = 0; i < CODEC_COUNT; i++) {
        uint8_t buffer[NOTIFY_LEN_MAX + 1] = {0};
        int error;
        const size_t len = codecs[i].build(buffer, sizeof buffer, &error);
        assert_int_equal(error, ERR_OK);
        union any parsed, before;
        memset(&before, 0x5a, sizeof before);
        for (size_t cut = 0; cut < len; cut++) {
            /* A heap copy of the exact length lets the sanitizer see any read behind it. */
            uint8_t *copy = malloc(cut > 0 ? cut : 1);
            assert_non_null(copy);
            memcpy(copy, buffer, cut);
            parsed = before;
            assert_int_not_equal(codecs[i].parse(copy, cut, &parsed), ERR_OK);
            assert_memory_equal(&parsed, &before, sizeof before);
            free(copy);

            size_t short_len = codecs[i].build((uint8_t[NOTIFY_LEN_MAX]){0}, cut, &error);
            assert_int_equal(error, ERR_FULL);
            assert_true(short_len <= cut);
        }
        assert_int_equal(codecs[i].parse(buffer, len, &parsed), ERR_OK);
        assert_true(codecs[i].parse(buffer, len + 1, &parsed) < 0);
        buffer[0] = 2;
        assert_int_equal(codecs[i].parse(buffer, len, &parsed), ERR_UNSUPPORTED);
        assert_int_equal(codecs[i].parse(NULL, 0, &parsed), ERR_TRUNCATED);
    }
}

/* What a parser takes, a builder writes back; at worst unknown flag bits are lost. */
static void test_every_byte_changed(void **state)
{
    for (size_t i = 0; i < CODEC_COUNT; i++) {
        uint8_t buffer[NOTIFY_LEN_MAX];
        int error;
        const size_t len = codecs[i].build(buffer, sizeof buffer, &error);
        for (size_t at = 0; at < len; at++) {
            const uint8_t right = buffer[at];
            for (unsigned value = 0; value < 256; value++) {
                union any parsed;
                buffer[at] = (uint8_t)value;
                const int result = codecs[i].parse(buffer, len, &parsed);
                assert_true(result == ERR_OK || result == ERR_INVALID || result == ERR_TRUNCATED ||
                            result == ERR_UNSUPPORTED);
                if (value == right)
                    assert_int_equal(result, ERR_OK);
            }
            buffer[at] = right;
        }
    }
}

static void test_login_bytes(void **state)
{
    static const uint8_t expected[] =
        "\x01\x03\x01\x02\x01\x02\x03\x04\x05\x06"
        "\x0epc.example.net"
        "\x7f\x4d\x02\x04\xc0\x00\x02\x07\x06\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01";
    uint8_t buffer[NOTIFY_LEN_MAX];
    int error;
    assert_int_equal(build_login(buffer, sizeof buffer, &error), sizeof expected - 1);
    assert_memory_equal(buffer, expected, sizeof expected - 1);

    struct notify_login login;
    assert_int_equal(notify_parse_login(expected, sizeof expected - 1, &login), ERR_OK);
    assert_true(login.has_mac && login.is_guest);
    assert_int_equal(login.lease_s, 0x0102);
    assert_int_equal(login.mac[5], 6);
    assert_string_equal(login.name, "pc.example.net");
    assert_int_equal(login.port, 0x7f4d);
    assert_int_equal(login.address_count, 2);
    const struct address second = address_of("2001:db8::1");
    assert_true(address_is_equal(&login.addresses[1], &second));
}

static void test_name_bytes(void **state)
{
    static const uint8_t expected[] = "\x01\x00\x01\x00\x78"
                                      "\x0epc.example.net"
                                      "\x0b"
                                      "example.net"
                                      "\x11\x94\x10Welcome (again)!";
    uint8_t buffer[NOTIFY_LEN_MAX];
    int error;
    assert_int_equal(build_name(buffer, sizeof buffer, &error), sizeof expected - 1);
    assert_memory_equal(buffer, expected, sizeof expected - 1);
    struct notify_name name;
    assert_int_equal(notify_parse_name(expected, sizeof expected - 1, &name), ERR_OK);
    assert_string_equal(name.zone, "example.net");
    assert_string_equal(name.reason, "Welcome (again)!");
    assert_true(name.is_static);
    assert_int_equal(name.stun_port, 4500);
}

static void test_call_bytes(void **state)
{
    uint8_t expected[] = "\x01\x07\x01\x02\x03\x04\x05\x06\x07\x08"
                         "\x0d"
                         "a.example.net"
                         "\x0d"
                         "b.example.org"
                         "KKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKK"
                         "AbCd+/090123456789abcdefGHIJKL+/"
                         "\x02\x01\x04\x7f\x4d\xc0\xa8\x01\x02"
                         "\x02\x06\x11\x94\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07";
    memset(expected + 38, 0xaa, NOTIFY_KEY_LEN);
    uint8_t buffer[NOTIFY_LEN_MAX];
    int error;
    assert_int_equal(build_call(buffer, sizeof buffer, &error), sizeof expected - 1);
    assert_memory_equal(buffer, expected, sizeof expected - 1);
    struct notify_call call;
    assert_int_equal(notify_parse_call(expected, sizeof expected - 1, &call), ERR_OK);
    assert_true(call.wants_relay && call.is_vouched && call.is_static);
    assert_string_equal(call.called, "a.example.net");
    assert_string_equal(call.caller, "b.example.org");
    assert_string_equal(call.credentials.password, good.password);
    assert_int_equal(call.candidates.count, 2);
    assert_int_equal(call.candidates.items[0].endpoint.port, 32589);
    assert_int_equal(call.candidates.items[1].type, CANDIDATE_REFLEXIVE);
    assert_int_equal(call.caller_key[31], 0xaa);
}

/* Every character of the credentials matters, in CALL and in ANSWER. */
static void test_bad_credentials(void **state)
{
    uint8_t buffer[NOTIFY_LEN_MAX];
    int error;
    union any parsed;
    static const size_t codec[] = {2, 3}, at[] = {1 + 1 + 8 + 14 + 14 + 32, 1 + 1 + 8 + 32};
    for (size_t k = 0; k < 2; k++) {
        const size_t len = codecs[codec[k]].build(buffer, sizeof buffer, &error);
        assert_memory_equal(buffer + at[k], "AbCd+/090123456789abcdefGHIJKL+/", 32);
        for (size_t i = 0; i < 32; i++) {
            const uint8_t right = buffer[at[k] + i];
            static const uint8_t wrong[] = {0, ':', '=', '-', '_', ' ', 0x80};
            for (size_t j = 0; j < sizeof wrong; j++) {
                buffer[at[k] + i] = wrong[j];
                assert_int_equal(codecs[codec[k]].parse(buffer, len, &parsed), ERR_INVALID);
            }
            buffer[at[k] + i] = right;
        }
    }
}

/* The fields behind CALL: cut at every length, twice, empty, too long, unknown. */
static void test_fields(void **state)
{
    uint8_t buffer[NOTIFY_LEN_MAX];
    struct writer w;
    struct notify_call call = make_call(), parsed;
    int error;
    const size_t bare = build_call(buffer, sizeof buffer, &error);
    call.ike.len = 300;
    memset(call.ike.data, 0xc5, 300);
    writer_init(&w, buffer, sizeof buffer);
    notify_build_call(&w, &call);
    assert_int_equal(w.len, bare + 3 + 300);
    assert_int_equal(notify_parse_call(buffer, w.len, &parsed), ERR_OK);
    assert_int_equal(parsed.ike.len, 300);
    assert_memory_equal(parsed.ike.data, call.ike.data, 300);
    for (size_t cut = bare + 1; cut < w.len; cut++)
        assert_int_equal(notify_parse_call(buffer, cut, &parsed), ERR_TRUNCATED);
    /* Behind it one that nobody knows yet, then the same once more. */
    writer_u8(&w, 200);
    writer_u16(&w, 2);
    writer_u16(&w, 0xffff);
    assert_int_equal(notify_parse_call(buffer, w.len, &parsed), ERR_OK);
    assert_int_equal(parsed.ike.len, 300);
    writer_u8(&w, 1);
    writer_u16(&w, 1);
    writer_u8(&w, 0);
    assert_int_equal(notify_parse_call(buffer, w.len, &parsed), ERR_INVALID);
    for (size_t len = 0; len <= NOTIFY_IKE_MAX + 1; len += NOTIFY_IKE_MAX + 1) {
        (void)build_call(buffer, sizeof buffer, &error);
        buffer[bare] = 1;
        buffer[bare + 1] = (uint8_t)(len >> 8);
        buffer[bare + 2] = (uint8_t)len;
        assert_int_equal(notify_parse_call(buffer, bare + 3 + len, &parsed), ERR_INVALID);
    }
    call.ike.len = NOTIFY_IKE_MAX + 1;
    writer_init(&w, buffer, sizeof buffer);
    notify_build_call(&w, &call);
    assert_int_equal(w.error, ERR_INVALID);
}

/* In CALL alone, whole or not at all, and once. */
static void test_voucher_field(void **state)
{
    uint8_t buffer[NOTIFY_LEN_MAX];
    struct writer w;
    struct notify_call call = make_call(), parsed;
    struct notify_answer answer = make_answer();
    int error;
    const size_t bare = build_call(buffer, sizeof buffer, &error);
    call.has_voucher = true;
    call.voucher.expires_s = 0x1122334455667788;
    for (size_t i = 0; i < NOTIFY_SIGN_LEN; i++)
        call.voucher.signature[i] = (uint8_t)(i + 1);
    writer_init(&w, buffer, sizeof buffer);
    notify_build_call(&w, &call);
    assert_int_equal(w.len, bare + 3 + NOTIFY_VOUCHER_LEN);
    assert_memory_equal(buffer + bare, "\x05\x00\x48\x11\x22\x33\x44\x55\x66\x77\x88\x01\x02", 13);
    assert_int_equal(notify_parse_call(buffer, w.len, &parsed), ERR_OK);
    assert_true(parsed.has_voucher);
    assert_true(parsed.voucher.expires_s == call.voucher.expires_s);
    assert_memory_equal(parsed.voucher.signature, call.voucher.signature, NOTIFY_SIGN_LEN);
    for (size_t cut = bare + 1; cut < w.len; cut++) {
        uint8_t *copy = malloc(cut);
        assert_non_null(copy);
        memcpy(copy, buffer, cut);
        assert_int_equal(notify_parse_call(copy, cut, &parsed), ERR_TRUNCATED);
        free(copy);
    }
    /* Any other length, whatever follows. */
    memset(buffer + w.len, 0, 64);
    for (unsigned len = 0; len < 128; len++) {
        buffer[bare + 2] = (uint8_t)len;
        if (len != NOTIFY_VOUCHER_LEN)
            assert_true(notify_parse_call(buffer, bare + 3 + len, &parsed) < 0);
    }
    buffer[bare + 2] = NOTIFY_VOUCHER_LEN;
    memcpy(buffer + w.len, buffer + bare, 3 + NOTIFY_VOUCHER_LEN);
    assert_int_equal(notify_parse_call(buffer, w.len + 3 + NOTIFY_VOUCHER_LEN, &parsed),
                     ERR_INVALID);
    /* An answer has none: what is there belongs to a later version. */
    writer_init(&w, buffer, sizeof buffer);
    notify_build_answer(&w, &answer);
    writer_u8(&w, 5);
    writer_u16(&w, NOTIFY_VOUCHER_LEN);
    notify_write_voucher(&w, &call.voucher);
    assert_int_equal(notify_parse_answer(buffer, w.len, &answer), ERR_OK);
}

/* The longest CALL that can be: its voucher still fits. */
static void test_longest_call(void **state)
{
    static struct notify_call call, parsed;
    uint8_t buffer[NOTIFY_LEN_MAX];
    struct writer w;
    call = make_call();
    for (char *text = call.called; text - call.called < (NAME_TEXT_CAP - 1); text++)
        *text = (text - call.called) % 32 == 31 ? '.' : 'a';
    call.called[(NAME_TEXT_CAP - 1)] = '\0';
    memcpy(call.caller, call.called, sizeof call.caller);
    call.candidates.count = CANDIDATE_MAX;
    for (size_t i = 0; i < CANDIDATE_MAX; i++)
        call.candidates.items[i] =
            (struct candidate){CANDIDATE_HOST, endpoint_of("[2001:db8::7]:4500")};
    call.candidates.pattern = (struct port_pattern){PORT_PATTERN_RANDOM, false, 0, 0};
    call.candidates.proof_len = CANDIDATE_PROOF_MAX;
    call.ike.len = call.ike.wake_len = NOTIFY_IKE_MAX / 2;
    call.has_voucher = true;
    writer_init(&w, buffer, sizeof buffer);
    notify_build_call(&w, &call);
    assert_int_equal(w.error, ERR_OK);
    assert_int_equal(notify_parse_call(buffer, w.len, &parsed), ERR_OK);
    assert_true(parsed.has_voucher);
}

static void test_vouch(void **state)
{
    static const uint8_t data[] = {NOTIFY_VERSION, 0};
    assert_int_equal(notify_parse_vouch(data, 0), ERR_TRUNCATED);
    assert_int_equal(notify_parse_vouch(data, 1), ERR_OK);
    assert_int_equal(notify_parse_vouch(data, 2), ERR_INVALID);
    assert_int_equal(notify_parse_vouch("\x02", 1), ERR_UNSUPPORTED);
    /* A voucher that is over already is none. */
    struct notify_vouched vouched = some_voucher, parsed;
    uint8_t buffer[NOTIFY_LEN_MAX];
    int error;
    const size_t len = build_vouched(buffer, sizeof buffer, &error);
    buffer[1] = buffer[2] = 0;
    assert_int_equal(notify_parse_vouched(buffer, len, &parsed), ERR_INVALID);
    struct writer w;
    writer_init(&w, buffer, sizeof buffer);
    vouched.left_s = 0;
    notify_build_vouched(&w, &vouched);
    assert_int_equal(w.error, ERR_INVALID);
}

/* A message of a new SA and one of an SA at rest: together no longer than one may be. */
static void test_two_messages(void **state)
{
    uint8_t buffer[NOTIFY_LEN_MAX];
    struct writer w;
    struct notify_call call = make_call(), parsed;
    call.ike.len = 300;
    call.ike.wake_len = NOTIFY_IKE_MAX - 300;
    memset(call.ike.data, 0xc5, sizeof call.ike.data);
    memset(call.ike.wake, 0x5c, sizeof call.ike.wake);
    writer_init(&w, buffer, sizeof buffer);
    notify_build_call(&w, &call);
    assert_true(writer_is_ok(&w));
    assert_int_equal(notify_parse_call(buffer, w.len, &parsed), ERR_OK);
    assert_int_equal(parsed.ike.len, 300);
    assert_int_equal(parsed.ike.wake_len, NOTIFY_IKE_MAX - 300);
    assert_memory_equal(parsed.ike.wake, call.ike.wake, NOTIFY_IKE_MAX - 300);
    const size_t len = w.len;
    buffer[len] = 3; /* twice */
    buffer[len + 1] = 0;
    buffer[len + 2] = 1;
    assert_int_equal(notify_parse_call(buffer, len + 4, &parsed), ERR_INVALID);
    /* One byte too many: the first message is one longer. */
    call.ike.wake_len = 0;
    call.ike.len = 301;
    writer_init(&w, buffer, sizeof buffer);
    notify_build_call(&w, &call);
    writer_u8(&w, 3);
    writer_u16(&w, NOTIFY_IKE_MAX - 300);
    writer_bytes(&w, call.ike.wake, NOTIFY_IKE_MAX - 300);
    assert_int_equal(notify_parse_call(buffer, w.len, &parsed), ERR_INVALID);
    call.ike.wake_len = NOTIFY_IKE_MAX - 300;
    writer_init(&w, buffer, sizeof buffer);
    notify_build_call(&w, &call);
    assert_int_equal(w.error, ERR_INVALID);
    struct notify_answer refused = {.result = ANSWER_BUSY, .number = 3, .ike = {.wake_len = 1}};
    writer_init(&w, buffer, sizeof buffer);
    notify_build_answer(&w, &refused);
    assert_int_equal(w.error, ERR_INVALID);
}

/* A proof for the connector: bounded, once, none in a refusal. */
static void test_proof(void **state)
{
    uint8_t buffer[NOTIFY_LEN_MAX];
    struct writer w;
    struct notify_call call = make_call(), parsed;
    int error;
    const size_t bare = build_call(buffer, sizeof buffer, &error);
    call.candidates.proof_len = CANDIDATE_PROOF_MAX;
    memset(call.candidates.proof, 0xc5, CANDIDATE_PROOF_MAX);
    writer_init(&w, buffer, sizeof buffer);
    notify_build_call(&w, &call);
    assert_int_equal(w.len, bare + 3 + CANDIDATE_PROOF_MAX);
    assert_int_equal(notify_parse_call(buffer, w.len, &parsed), ERR_OK);
    assert_int_equal(parsed.candidates.proof_len, CANDIDATE_PROOF_MAX);
    assert_memory_equal(parsed.candidates.proof, call.candidates.proof, CANDIDATE_PROOF_MAX);
    for (size_t cut = bare + 1; cut < w.len; cut++)
        assert_int_equal(notify_parse_call(buffer, cut, &parsed), ERR_TRUNCATED);
    writer_u8(&w, 4);
    writer_u16(&w, 1);
    writer_u8(&w, 0);
    assert_int_equal(notify_parse_call(buffer, w.len, &parsed), ERR_INVALID);
    for (size_t len = 0; len <= CANDIDATE_PROOF_MAX + 1; len += CANDIDATE_PROOF_MAX + 1) {
        (void)build_call(buffer, sizeof buffer, &error);
        buffer[bare] = 4;
        buffer[bare + 1] = 0;
        buffer[bare + 2] = (uint8_t)len;
        assert_int_equal(notify_parse_call(buffer, bare + 3 + len, &parsed), ERR_INVALID);
    }
    call.candidates.proof_len++;
    writer_init(&w, buffer, sizeof buffer);
    notify_build_call(&w, &call);
    assert_int_equal(w.error, ERR_INVALID);
    struct notify_answer refusal = {.result = ANSWER_BUSY, .number = 1};
    refusal.candidates.proof_len = 1;
    writer_init(&w, buffer, sizeof buffer);
    notify_build_answer(&w, &refusal);
    assert_int_equal(w.error, ERR_INVALID);
}

/* Why there is no relay: known and unknown reasons, never "none", never twice. */
static void test_answer_relay(void **state)
{
    uint8_t buffer[NOTIFY_LEN_MAX];
    struct writer w;
    struct notify_answer answer = make_answer(), parsed;
    for (unsigned reason = 0; reason < 256; reason++) {
        answer.relay = (uint8_t)reason;
        writer_init(&w, buffer, sizeof buffer);
        notify_build_answer(&w, &answer);
        assert_int_equal(notify_parse_answer(buffer, w.len, &parsed), ERR_OK);
        assert_int_equal(parsed.relay, reason);
    }
    buffer[w.len - 1] = 0;
    assert_int_equal(notify_parse_answer(buffer, w.len, &parsed), ERR_INVALID);
    buffer[w.len - 1] = 1;
    memcpy(buffer + w.len, buffer + w.len - 4, 4);
    assert_int_equal(notify_parse_answer(buffer, w.len + 4, &parsed), ERR_INVALID);
    /* A refusal carries no message. */
    struct notify_answer refused = {.result = ANSWER_BUSY, .number = 3, .ike = {.len = 1}};
    writer_init(&w, buffer, sizeof buffer);
    notify_build_answer(&w, &refused);
    assert_int_equal(w.error, ERR_INVALID);
}

static void test_answer_refused(void **state)
{
    uint8_t buffer[NOTIFY_LEN_MAX];
    struct writer w;
    struct notify_answer refused = {.result = ANSWER_BUSY, .number = 3, .reason = "busy"}, parsed;
    writer_init(&w, buffer, sizeof buffer);
    notify_build_answer(&w, &refused);
    assert_true(writer_is_ok(&w));
    assert_int_equal(w.len, 1 + 1 + 8 + 32 + 32 + 1 + 5);
    assert_int_equal(notify_parse_answer(buffer, w.len, &parsed), ERR_OK);
    assert_int_equal(parsed.result, ANSWER_BUSY);
    assert_string_equal(parsed.reason, "busy");

    buffer[1] = ANSWER_ACCEPTED; /* without credentials */
    assert_int_equal(notify_parse_answer(buffer, w.len, &parsed), ERR_INVALID);

    struct notify_answer odd = make_answer();
    odd.result = ANSWER_BUSY; /* with credentials */
    writer_init(&w, buffer, sizeof buffer);
    notify_build_answer(&w, &odd);
    assert_int_equal(w.error, ERR_INVALID);
    odd = make_answer();
    writer_init(&w, buffer, sizeof buffer);
    notify_build_answer(&w, &odd);
    buffer[1] = ANSWER_RATE_LIMIT;
    assert_int_equal(notify_parse_answer(buffer, w.len, &parsed), ERR_INVALID);
}

static void test_relay(void **state)
{
    uint8_t buffer[NOTIFY_LEN_MAX];
    struct writer w;
    struct notify_relay closed = {.is_closed = true, .number = 7, .channel = 9}, parsed;
    writer_init(&w, buffer, sizeof buffer);
    notify_build_relay(&w, &closed);
    assert_int_equal(w.len, 1 + 1 + 8 + 4 + 4 + 2);
    assert_int_equal(notify_parse_relay(buffer, w.len, &parsed), ERR_OK);
    assert_true(parsed.is_closed && parsed.number == 7 && parsed.channel == 9);
    buffer[1] = 0; /* open, without limits */
    assert_int_equal(notify_parse_relay(buffer, w.len, &parsed), ERR_INVALID);
    buffer[1] = 1;
    buffer[19] = 1; /* closed, with one */
    assert_int_equal(notify_parse_relay(buffer, w.len, &parsed), ERR_INVALID);
    const struct notify_relay bad[] = {{.number = 1, .channel = 0, .rate = 1, .len_max = 1},
                                       {.number = 1, .channel = 1, .rate = 0, .len_max = 1},
                                       {.number = 1, .channel = 1, .rate = 1, .len_max = 0}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        writer_init(&w, buffer, sizeof buffer);
        notify_build_relay(&w, &bad[i]);
        assert_int_equal(w.error, ERR_INVALID);
    }
}

static void test_key(void **state)
{
    uint8_t buffer[NOTIFY_LEN_MAX];
    struct writer w;
    struct notify_key unknown = {.number = 1, .key = {1, 2, 3}}, parsed;
    writer_init(&w, buffer, sizeof buffer);
    notify_build_key(&w, &unknown);
    assert_int_equal(w.len, 1 + 8 + 1 + 1 + 32);
    assert_int_equal(notify_parse_key(buffer, w.len, &parsed), ERR_OK);
    assert_false(parsed.is_known);
    assert_int_equal(parsed.key[0], 0); /* nothing leaks */
    buffer[11] = 1;
    assert_int_equal(notify_parse_key(buffer, w.len, &parsed), ERR_INVALID);
    buffer[11] = 0;
    buffer[9] = 2;
    assert_int_equal(notify_parse_key(buffer, w.len, &parsed), ERR_INVALID);
}

static void test_bad_names(void **state)
{
    static const char *const bad[] = {
        "A.example.net", "a.example.net.", "a..b", ".", "-a.example.net", "a b", "a/b", "",
        "a\x01",         "a.example.net\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t buffer[NOTIFY_LEN_MAX] = {NOTIFY_VERSION};
        const size_t len = strlen(bad[i]);
        buffer[9] = (uint8_t)len;
        memcpy(buffer + 10, bad[i], len);
        struct notify_lookup parsed;
        assert_int_equal(notify_parse_lookup(buffer, 10 + len, &parsed), ERR_INVALID);
        struct notify_lookup lookup = {0};
        strcpy(lookup.name, bad[i]);
        struct writer w;
        writer_init(&w, buffer, sizeof buffer);
        notify_build_lookup(&w, &lookup);
        assert_int_equal(w.error, ERR_INVALID);
    }
    /* A NUL inside must not hide what follows it. */
    uint8_t nul[] = "\x01\0\0\0\0\0\0\0\0\x03"
                    "a\0b";
    struct notify_lookup parsed;
    assert_int_equal(notify_parse_lookup(nul, sizeof nul - 1, &parsed), ERR_INVALID);
    /* 253 characters are a name, 254 are not. */
    for (size_t len = 253; len <= 255; len++) {
        uint8_t data[NOTIFY_LEN_MAX] = {NOTIFY_VERSION};
        data[9] = (uint8_t)len;
        for (size_t i = 0; i < len; i++)
            data[10 + i] = i % 50 == 49 ? '.' : 'a';
        assert_int_equal(notify_parse_lookup(data, 10 + len, &parsed),
                         len == 253 ? ERR_OK : ERR_INVALID);
    }
}

static void test_caps(void **state)
{
    uint8_t buffer[NOTIFY_LEN_MAX];
    struct writer w;
    struct notify_login login = make_login(), parsed_login;
    login.address_count = NOTIFY_ADDRESS_MAX;
    for (size_t i = 0; i < NOTIFY_ADDRESS_MAX; i++)
        login.addresses[i] = address_of("192.0.2.1");
    writer_init(&w, buffer, sizeof buffer);
    notify_build_login(&w, &login);
    assert_int_equal(notify_parse_login(buffer, w.len, &parsed_login), ERR_OK);
    assert_int_equal(parsed_login.address_count, NOTIFY_ADDRESS_MAX);
    /* One more, in full. */
    const size_t count_at = 10 + 1 + strlen(login.name) + 2;
    assert_int_equal(buffer[count_at], NOTIFY_ADDRESS_MAX);
    buffer[count_at]++;
    memcpy(buffer + w.len, "\x04\x01\x02\x03\x04", 5);
    assert_int_equal(notify_parse_login(buffer, w.len + 5, &parsed_login), ERR_INVALID);
    login.address_count++;
    writer_init(&w, buffer, sizeof buffer);
    notify_build_login(&w, &login);
    assert_int_equal(w.error, ERR_INVALID);

    struct notify_call call = make_call(), parsed_call;
    for (size_t i = 0; i < CANDIDATE_MAX; i++)
        call.candidates.items[i] = make_call().candidates.items[1];
    call.candidates.count = CANDIDATE_MAX;
    memset(call.called, 'a', 253);
    for (size_t i = 40; i < 253; i += 50)
        call.called[i] = '.';
    memcpy(call.caller, call.called, sizeof call.caller);
    writer_init(&w, buffer, sizeof buffer);
    notify_build_call(&w, &call);
    assert_true(writer_is_ok(&w)); /* the longest fits */
    assert_int_equal(notify_parse_call(buffer, w.len, &parsed_call), ERR_OK);
    call.candidates.count++;
    writer_init(&w, buffer, sizeof buffer);
    notify_build_call(&w, &call);
    assert_int_equal(w.error, ERR_INVALID);
}

static void test_bad_candidates(void **state)
{
    uint8_t buffer[NOTIFY_LEN_MAX];
    int error;
    const size_t len = build_answer(buffer, sizeof buffer, &error);
    const size_t at = 1 + 1 + 8 + 32 + 32 + 1;
    struct notify_answer parsed;
    static const uint8_t bad_types[] = {0, 4, 255};
    for (size_t i = 0; i < sizeof bad_types; i++) {
        buffer[at] = bad_types[i];
        assert_int_equal(notify_parse_answer(buffer, len, &parsed), ERR_INVALID);
    }
    buffer[at] = CANDIDATE_HOST;
    buffer[at + 1] = 5;
    assert_int_equal(notify_parse_answer(buffer, len, &parsed), ERR_INVALID);

    /* IPv4-mapped IPv6 has a form of its own. */
    struct notify_login login;
    static const uint8_t mapped[] = "\x01\0\0\0\0\0\0\0\0\0\0\0\0\x01"
                                    "\x06\0\0\0\0\0\0\0\0\0\0\xff\xff\x01\x02\x03\x04";
    assert_int_equal(notify_parse_login(mapped, sizeof mapped - 1, &login), ERR_INVALID);
}

static void test_pattern_and_observed(void **state)
{
    static const uint8_t in_order[] = {0x82, 0x81, 0x04, 0x7f, 0x4d, 0xc0, 0xa8, 0x01, 0x02,
                                       0x02, 0x06, 0x11, 0x94, 0x20, 0x01, 0x0d, 0xb8, 0x00,
                                       0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                                       0x00, 0x07, 0x01, 0x01, 0x9c, 0xbb, 0xff, 0xfe};
    struct notify_call call = make_call(), parsed;
    uint8_t buffer[NOTIFY_LEN_MAX];
    struct writer w;
    call.candidates.items[0].is_observed = true;
    call.candidates.pattern = (struct port_pattern){PORT_PATTERN_SEQUENTIAL, true, 0x9cbb, -2};
    writer_init(&w, buffer, sizeof buffer);
    notify_build_call(&w, &call);
    assert_int_equal(w.error, ERR_OK);
    uint8_t *list = buffer + w.len - sizeof in_order;
    assert_memory_equal(list, in_order, sizeof in_order);
    assert_int_equal(notify_parse_call(buffer, w.len, &parsed), ERR_OK);
    assert_true(parsed.candidates.items[0].is_observed && !parsed.candidates.items[1].is_observed);
    assert_int_equal(parsed.candidates.items[0].type, CANDIDATE_HOST);
    assert_int_equal(parsed.candidates.pattern.kind, PORT_PATTERN_SEQUENTIAL);
    assert_true(parsed.candidates.pattern.is_by_address);
    assert_int_equal(parsed.candidates.pattern.last, 0x9cbb);
    assert_int_equal(parsed.candidates.pattern.step, -2);

    /* Lies that make no sense. */
    static const uint8_t bad[][6] = {{0, 0, 0, 0, 0, 0},    {0, 0, 1, 1, 0, 1}, {3, 0, 1, 1, 0, 1},
                                     {1, 0, 0, 0, 0, 1},    {1, 0, 1, 1, 0, 0}, {1, 0, 1, 1, 0, 65},
                                     {1, 0, 1, 1, 0xff, 0}, {2, 0, 1, 1, 0, 0}, {2, 0, 0, 0, 0, 1}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        memcpy(buffer + w.len - 6, bad[i], 6);
        assert_int_equal(notify_parse_call(buffer, w.len, &parsed), ERR_INVALID);
    }
    static const uint8_t random[] = {2, 1, 0, 0, 0, 0};
    memcpy(buffer + w.len - 6, random, 6);
    assert_int_equal(notify_parse_call(buffer, w.len, &parsed), ERR_OK);
    list[0] = 0x02; /* says that there is none */
    assert_true(notify_parse_call(buffer, w.len, &parsed) < 0);
    call.candidates.pattern.step = 0;
    writer_init(&w, buffer, sizeof buffer);
    notify_build_call(&w, &call);
    assert_int_equal(w.error, ERR_INVALID);
}

static void test_acceptable(void **state)
{
    static const char *const good_ones[] = {
        "192.168.1.2:1", "10.0.0.1:4500",   "203.0.113.9:65535", "100.64.0.1:9",
        "1.0.0.1:1",     "[2001:db8::1]:1", "[fd00::1]:5",       "223.255.255.254:1"};
    static const char *const bad_ones[] = {
        "127.0.0.1:1",    "127.9.9.9:1",       "0.0.0.0:1",   "0.0.0.86:1",     "224.0.0.1:1",
        "239.1.1.1:1",    "255.255.255.255:1", "240.0.0.1:1", "169.254.1.1:1",  "[::]:1",
        "[::1]:1",        "[ff02::1]:1",       "[fe80::1]:1", "[2001:20::1]:1", "[2001:2f:1::]:1",
        "[::10.0.0.1]:1", "10.9.0.1:1"};
    struct prefix pool;
    assert_int_equal(prefix_parse("10.9.0.0/16", &pool), ERR_OK);
    for (size_t i = 0; i < sizeof good_ones / sizeof good_ones[0]; i++) {
        struct candidate c = {CANDIDATE_HOST, endpoint_of(good_ones[i])};
        assert_true(candidate_is_acceptable(&c, &pool));
        c.endpoint.port = 0;
        assert_false(candidate_is_acceptable(&c, NULL));
    }
    for (size_t i = 0; i < sizeof bad_ones / sizeof bad_ones[0]; i++) {
        const struct candidate c = {CANDIDATE_HOST, endpoint_of(bad_ones[i])};
        assert_false(candidate_is_acceptable(&c, &pool));
    }
    const struct candidate in_pool = {CANDIDATE_HOST, endpoint_of("10.9.0.1:1")};
    assert_true(candidate_is_acceptable(&in_pool, NULL));
    const struct candidate none = {CANDIDATE_HOST, {{0}, 1}};
    assert_false(candidate_is_acceptable(&none, NULL));
}

static void test_sanitize(void **state)
{
    struct candidate_list list = {.count = 5};
    list.items[0] = (struct candidate){CANDIDATE_HOST, endpoint_of("127.0.0.1:1")};
    list.items[1] = (struct candidate){CANDIDATE_HOST, endpoint_of("10.0.0.1:1")};
    list.items[2] = (struct candidate){CANDIDATE_REFLEXIVE, endpoint_of("10.0.0.1:1")};
    list.items[3] = (struct candidate){CANDIDATE_HOST, endpoint_of("10.0.0.1:2")};
    list.items[4] = (struct candidate){CANDIDATE_HOST, endpoint_of("0.0.0.5:2")};
    candidate_list_sanitize(&list, NULL);
    assert_int_equal(list.count, 2);
    assert_int_equal(list.items[0].type, CANDIDATE_HOST);
    assert_int_equal(list.items[1].endpoint.port, 2);
}

static void test_credentials(void **state)
{
    assert_true(credentials_are_valid(&good));
    struct credentials bad = good;
    bad.fragment[3] = ':';
    assert_false(credentials_are_valid(&bad));
    bad = good;
    bad.password[23] = '\0';
    assert_false(credentials_are_valid(&bad));
    bad = good;
    bad.password[24] = 'x';
    assert_false(credentials_are_valid(&bad));
    assert_false(credentials_are_valid(&(struct credentials){0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_length),
        cmocka_unit_test(test_every_byte_changed),
        cmocka_unit_test(test_login_bytes),
        cmocka_unit_test(test_name_bytes),
        cmocka_unit_test(test_call_bytes),
        cmocka_unit_test(test_answer_refused),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_voucher_field),
        cmocka_unit_test(test_longest_call),
        cmocka_unit_test(test_vouch),
        cmocka_unit_test(test_two_messages),
        cmocka_unit_test(test_proof),
        cmocka_unit_test(test_answer_relay),
        cmocka_unit_test(test_relay),
        cmocka_unit_test(test_key),
        cmocka_unit_test(test_bad_names),
        cmocka_unit_test(test_caps),
        cmocka_unit_test(test_bad_candidates),
        cmocka_unit_test(test_acceptable),
        cmocka_unit_test(test_pattern_and_observed),
        cmocka_unit_test(test_sanitize),
        cmocka_unit_test(test_credentials),
        cmocka_unit_test(test_bad_credentials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
