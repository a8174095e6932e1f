/* The frame cutter: complete frames are returned in place, only an incomplete tail is copied. */
#include "io/ike_stream.h"

#include "base/reader.h"
#include <stdlib.h>
#include <string.h>

#define LENGTH_LEN 2
#define MARKER_LEN 4

static const uint8_t prefix[IKE_STREAM_PREFIX_LEN] = {'I', 'K', 'E', 'T', 'C', 'P'};

void ike_stream_init(struct ike_stream *stream, bool is_prefix_due, uint32_t limit)
{
    memset(stream, 0, sizeof *stream);
    stream->is_prefix_due = is_prefix_due;
    ike_stream_set_limit(stream, limit);
}

static void drop_rest(struct ike_stream *stream)
{
    free(stream->rest);
    stream->rest = NULL;
    stream->rest_len = 0;
    stream->rest_cap = 0;
    stream->is_rest_taken = false;
}

void ike_stream_done(struct ike_stream *stream)
{
    drop_rest(stream);
}

void ike_stream_set_limit(struct ike_stream *stream, uint32_t limit)
{
    stream->limit = limit < IKE_STREAM_PAYLOAD_CAP ? limit : IKE_STREAM_PAYLOAD_CAP;
}

static int fail(struct ike_stream *stream, int error)
{
    drop_rest(stream);
    stream->error = error;
    return error;
}

int ike_stream_feed(struct ike_stream *stream, const void *data, size_t len)
{
    if (stream->error < 0)
        return stream->error;
    if (stream->input_len > 0)
        return ERR_STATE;
    stream->input = data;
    stream->input_len = len;
    return ERR_OK;
}

/* Moves up to wanted bytes in all from the input to the rest. */
static int fill_rest(struct ike_stream *stream, uint32_t wanted)
{
    size_t missing = wanted - stream->rest_len;

    if (wanted > stream->rest_cap) {
        uint8_t *grown = realloc(stream->rest, wanted);

        if (grown == NULL)
            return ERR_NOMEM;
        stream->rest = grown;
        stream->rest_cap = wanted;
    }
    if (missing > stream->input_len)
        missing = stream->input_len;
    if (missing > 0)
        memcpy(stream->rest + stream->rest_len, stream->input, missing);
    stream->rest_len += (uint32_t)missing;
    stream->input += missing;
    stream->input_len -= missing;
    return stream->rest_len < wanted ? ERR_AGAIN : ERR_OK;
}

/* RFC 9329, 4: any other beginning is another protocol. Told at its first wrong byte. */
static int check_prefix(struct ike_stream *stream)
{
    int error = fill_rest(stream, sizeof prefix);

    if (error == ERR_NOMEM)
        return error;
    if (memcmp(stream->rest, prefix, stream->rest_len) != 0)
        return ERR_INVALID;
    if (error < 0)
        return error;
    stream->is_prefix_due = false;
    drop_rest(stream);
    return ERR_OK;
}

static int check_length(const struct ike_stream *stream, const uint8_t *at, uint32_t *ret_len)
{
    uint32_t len = (uint32_t)at[0] << 8 | at[1];

    if (len < LENGTH_LEN)
        return ERR_INVALID;
    if (len - LENGTH_LEN > stream->limit)
        return ERR_LIMIT;
    *ret_len = len;
    return ERR_OK;
}

/* One whole frame, length included. Borrowed from the input or the rest. */
static int cut_frame(struct ike_stream *stream, const uint8_t **ret_frame, uint32_t *ret_len)
{
    uint32_t len = 0;
    int error;

    if (stream->rest_len == 0 && stream->input_len >= LENGTH_LEN) {
        error = check_length(stream, stream->input, &len);
        if (error < 0)
            return error;
        if (stream->input_len >= len) {
            *ret_frame = stream->input;
            *ret_len = len;
            stream->input += len;
            stream->input_len -= len;
            return ERR_OK;
        }
    }
    if (stream->rest_len == 0 && stream->input_len == 0)
        return ERR_AGAIN;
    if (stream->rest_len < LENGTH_LEN) {
        error = fill_rest(stream, LENGTH_LEN);
        if (error < 0)
            return error;
    }
    error = check_length(stream, stream->rest, &len);
    if (error == ERR_OK)
        error = fill_rest(stream, len);
    if (error < 0)
        return error;
    *ret_frame = stream->rest;
    *ret_len = len;
    stream->is_rest_taken = true;
    return ERR_OK;
}

int ike_stream_next(struct ike_stream *stream, struct ike_frame *ret_frame)
{
    if (stream->error < 0)
        return stream->error;
    if (stream->is_rest_taken)
        drop_rest(stream);
    if (stream->is_prefix_due) {
        int error = stream->input_len == 0 ? ERR_AGAIN : check_prefix(stream);

        if (error < 0)
            return error == ERR_AGAIN ? error : fail(stream, error);
    }
    for (;;) {
        const uint8_t *frame = NULL;
        uint32_t len = 0;
        struct reader r;
        int error = cut_frame(stream, &frame, &len);

        if (error < 0)
            return error == ERR_AGAIN ? error : fail(stream, error);
        if (len >= LENGTH_LEN + MARKER_LEN) {
            reader_init(&r, frame + LENGTH_LEN, len - LENGTH_LEN);
            ret_frame->channel = reader_u32(&r);
            ret_frame->len = reader_left(&r);
            ret_frame->data = reader_bytes(&r, ret_frame->len);
            return ERR_OK;
        }
        if (stream->is_rest_taken)
            drop_rest(stream);
    }
}

void ike_stream_put_prefix(struct writer *w)
{
    writer_bytes(w, prefix, sizeof prefix);
}

void ike_stream_put_header(struct writer *w, uint32_t channel, size_t len)
{
    if (len > IKE_STREAM_PAYLOAD_CAP - MARKER_LEN || (channel == 0 && len == 0)) {
        writer_fail(w, ERR_INVALID);
        return;
    }
    writer_u16(w, (uint16_t)(LENGTH_LEN + MARKER_LEN + len));
    writer_u32(w, channel);
}

void ike_stream_put_frame(struct writer *w, uint32_t channel, const void *data, size_t len)
{
    ike_stream_put_header(w, channel, len);
    writer_bytes(w, data, len);
}
