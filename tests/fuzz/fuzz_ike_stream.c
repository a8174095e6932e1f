/* IKE in TCP from strangers: the same frames come out however the stream is cut, within the limit.
 * The first byte says how large the pieces are. */
#include "fuzz.h"

#include <string.h>

#include "io/ike_stream.h"

#define LIMIT 512

struct sum {
    size_t frames;
    size_t bytes;
    uint32_t hash;
    int error;
};

static void take(struct ike_stream *stream, const uint8_t *piece, size_t len, struct sum *sum)
{
    struct ike_frame frame;
    sum->error = ike_stream_feed(stream, piece, len);
    while (sum->error == 0 && (sum->error = ike_stream_next(stream, &frame)) == 0) {
        must(frame.len <= LIMIT);
        sum->frames++;
        sum->bytes += frame.len;
        sum->hash = sum->hash * 31 + frame.channel;
        for (size_t i = 0; i < frame.len; i++)
            sum->hash = sum->hash * 31 + frame.data[i];
    }
}

static struct sum run(const uint8_t *data, size_t len, size_t step)
{
    struct sum sum = {.error = ERR_AGAIN};
    struct ike_stream stream;
    ike_stream_init(&stream, true, LIMIT);
    for (size_t at = 0; at < len && sum.error == ERR_AGAIN; at += step)
        take(&stream, data + at, len - at < step ? len - at : step, &sum);
    ike_stream_done(&stream);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 2)
        return 0;
    const size_t step = 1 + data[0] % 64;
    const struct sum whole = run(data + 1, len - 1, len);
    const struct sum pieces = run(data + 1, len - 1, step);
    must(whole.frames == pieces.frames && whole.bytes == pieces.bytes);
    must(whole.hash == pieces.hash && whole.error == pieces.error);
    return 0;
}
