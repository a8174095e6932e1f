/* Frames cut from streams that arrive in every possible portion. */
#include "testnet.h"

#include "io/ike_stream.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a stream held, as text: "I:abc 7:xyz" … or the error at its end. */
static void describe(struct ike_stream *stream, const uint8_t *data, size_t len, size_t portion,
                     char *text)
{
    size_t at = 0;
    int error = ERR_AGAIN;

    text[0] = 0;
    while (at < len && error == ERR_AGAIN) {
        size_t now = len - at < portion ? len - at : portion;
        uint8_t *copy = malloc(now); /* so that reading behind it is seen */
        struct ike_frame frame;

        memcpy(copy, data + at, now);
        at += now;
        error = ike_stream_feed(stream, copy, now);
        while (error == ERR_OK || error == ERR_AGAIN) {
            error = ike_stream_next(stream, &frame);
            if (error < 0)
                break;
            if (frame.channel == 0)
                strcat(text, "I:");
            else
                sprintf(text + strlen(text), "%u:", frame.channel);
            strncat(text, (const char *)frame.data, frame.len);
            strcat(text, " ");
        }
        free(copy);
    }
    if (error != ERR_AGAIN)
        strcat(text, error_text(error));
}

static size_t build(uint8_t *buffer, size_t cap, bool has_prefix)
{
    static const uint8_t keepalive[] = {0, 3, 0xff};
    static const uint8_t empty[] = {0, 2};
    struct writer w;

    writer_init(&w, buffer, cap);
    if (has_prefix)
        ike_stream_put_prefix(&w);
    ike_stream_put_frame(&w, 0, "first", 5);
    writer_bytes(&w, keepalive, sizeof keepalive);
    ike_stream_put_frame(&w, 77, "", 0);
    writer_bytes(&w, empty, sizeof empty);
    ike_stream_put_frame(&w, 0x01000000, "relayed", 7);
    ike_stream_put_frame(&w, 0, "l", 1);
    assert_true(writer_is_ok(&w));
    return w.len;
}

static const char whole[] = "I:first 77: 16777216:relayed I:l ";

static void the_bytes_are_those_of_the_rfc(void **state)
{
    static const uint8_t wanted[] = {'I', 'K', 'E', 'T', 'C', 'P', 0, 8, 0, 0,  0,
                                     0,   'h', 'i', 0,   7,   1,   2, 3, 4, 'x'};
    uint8_t buffer[64];
    struct writer w;

    writer_init(&w, buffer, sizeof buffer);
    ike_stream_put_prefix(&w);
    ike_stream_put_frame(&w, 0, "hi", 2);
    ike_stream_put_frame(&w, 0x01020304, "x", 1);
    assert_true(writer_is_ok(&w));
    assert_int_equal(w.len, sizeof wanted);
    assert_memory_equal(buffer, wanted, sizeof wanted);
}

static void every_portion_gives_the_same(void **state)
{
    uint8_t buffer[128];
    char text[256];

    for (int has_prefix = 0; has_prefix < 2; has_prefix++) {
        size_t len = build(buffer, sizeof buffer, has_prefix);

        for (size_t portion = 1; portion <= len; portion++) {
            struct ike_stream stream;

            ike_stream_init(&stream, has_prefix, IKE_STREAM_STRANGER_CAP);
            describe(&stream, buffer, len, portion, text);
            assert_string_equal(text, whole);
            assert_null(stream.rest); /* idle connections hold no memory */
            ike_stream_done(&stream);
        }
    }
}

static void every_split_in_two_gives_the_same(void **state)
{
    uint8_t buffer[128];
    size_t len = build(buffer, sizeof buffer, true);
    char first[256];
    char second[256];

    for (size_t split = 0; split <= len; split++) {
        struct ike_stream stream;

        ike_stream_init(&stream, true, IKE_STREAM_STRANGER_CAP);
        describe(&stream, buffer, split, split, first);
        describe(&stream, buffer + split, len - split, len, second);
        strcat(first, second);
        assert_string_equal(first, whole);
        ike_stream_done(&stream);
    }
}

static void a_cut_stream_waits(void **state)
{
    uint8_t buffer[128];
    size_t len = build(buffer, sizeof buffer, true);
    char text[256];

    for (size_t cut = 0; cut < len; cut++) {
        struct ike_stream stream;

        ike_stream_init(&stream, true, IKE_STREAM_STRANGER_CAP);
        describe(&stream, buffer, cut, 3, text);
        assert_true(strlen(text) < strlen(whole));
        assert_memory_equal(text, whole, strlen(text));
        ike_stream_done(&stream);
    }
}

static void other_protocols_are_told_at_their_first_byte(void **state)
{
    static const char good[] = "IKETCP";
    struct ike_frame frame;
    struct ike_stream stream;

    for (size_t i = 0; i < 6; i++) {
        char bad[6];

        memcpy(bad, good, 6);
        bad[i] ^= 0x20;
        ike_stream_init(&stream, true, 4096);
        assert_int_equal(ike_stream_feed(&stream, bad, i), ERR_OK);
        assert_int_equal(ike_stream_next(&stream, &frame), ERR_AGAIN);
        assert_int_equal(ike_stream_feed(&stream, bad + i, 1), ERR_OK);
        assert_int_equal(ike_stream_next(&stream, &frame), ERR_INVALID);
        /* For ever. */
        assert_int_equal(ike_stream_feed(&stream, good, 6), ERR_INVALID);
        assert_int_equal(ike_stream_next(&stream, &frame), ERR_INVALID);
        assert_null(stream.rest);
        ike_stream_done(&stream);
    }
}

static void lengths_are_checked(void **state)
{
    char text[64];

    for (unsigned len = 0; len <= 0xffff; len++) {
        uint8_t header[2] = {(uint8_t)(len >> 8), (uint8_t)len};
        struct ike_stream stream;

        for (size_t portion = 1; portion <= 2; portion++) {
            ike_stream_init(&stream, false, 1000);
            describe(&stream, header, 2, portion, text);
            if (len < 2)
                assert_string_equal(text, error_text(ERR_INVALID));
            else if (len > 1002)
                assert_string_equal(text, error_text(ERR_LIMIT));
            else
                assert_string_equal(text, "");
            assert_true(stream.rest_cap <= 1002);
            ike_stream_done(&stream);
        }
    }
}

static void the_limit_can_be_raised(void **state)
{
    uint8_t *buffer = malloc(70000);
    uint8_t *data = calloc(1, IKE_STREAM_PAYLOAD_CAP);
    struct ike_stream stream;
    struct ike_frame frame;
    struct writer w;

    writer_init(&w, buffer, 70000);
    ike_stream_put_frame(&w, 9, data, IKE_STREAM_PAYLOAD_CAP - 4);
    assert_true(writer_is_ok(&w));
    assert_int_equal(w.len, 65535);
    ike_stream_init(&stream, false, 4096);
    ike_stream_set_limit(&stream, 1 << 20);
    assert_int_equal(ike_stream_feed(&stream, buffer, 30000), ERR_OK);
    assert_int_equal(ike_stream_next(&stream, &frame), ERR_AGAIN);
    assert_int_equal(ike_stream_feed(&stream, buffer + 30000, w.len - 30000), ERR_OK);
    assert_int_equal(ike_stream_feed(&stream, buffer, 1), ERR_STATE); /* not asked yet */
    assert_int_equal(ike_stream_next(&stream, &frame), ERR_OK);
    assert_int_equal(frame.channel, 9);
    assert_int_equal(frame.len, IKE_STREAM_PAYLOAD_CAP - 4);
    assert_int_equal(ike_stream_next(&stream, &frame), ERR_AGAIN);
    ike_stream_done(&stream);
    free(buffer);
    free(data);
}

static void what_cannot_be_framed_is_refused(void **state)
{
    uint8_t *buffer = malloc(70000);
    uint8_t *data = calloc(1, 70000);
    struct writer w;

    writer_init(&w, buffer, 70000);
    ike_stream_put_frame(&w, 9, data, IKE_STREAM_PAYLOAD_CAP - 3);
    assert_int_equal(w.error, ERR_INVALID);
    writer_init(&w, buffer, 70000);
    ike_stream_put_frame(&w, 0, data, 0);
    assert_int_equal(w.error, ERR_INVALID);
    writer_init(&w, buffer, 10);
    ike_stream_put_frame(&w, 0, data, 5);
    assert_int_equal(w.error, ERR_FULL);
    free(buffer);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bytes_are_those_of_the_rfc),
        cmocka_unit_test(every_portion_gives_the_same),
        cmocka_unit_test(every_split_in_two_gives_the_same),
        cmocka_unit_test(a_cut_stream_waits),
        cmocka_unit_test(other_protocols_are_told_at_their_first_byte),
        cmocka_unit_test(lengths_are_checked),
        cmocka_unit_test(the_limit_can_be_raised),
        cmocka_unit_test(what_cannot_be_framed_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
