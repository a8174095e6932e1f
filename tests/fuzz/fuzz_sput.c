/* SPUT messages before they are opened: lengths of both kinds of suite, and the header to its last
 * bit. */
#include "fuzz.h"

#include <string.h>

#include "wire/sput.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const size_t tags[] = {SPUT_MAC_LEN, SPUT_TAG_LEN};
    for (size_t i = 0; i < 2; i++) {
        struct sput_header header;
        uint8_t back[SPUT_HEADER_LEN];
        if (!sput_len_is_valid(len, tags[i]))
            continue;
        must(len >= SPUT_HEADER_LEN + tags[i]);
        must(len - SPUT_HEADER_LEN - tags[i] <= sput_payload_max(tags[i]));
        sput_header_read(data, &header);
        must(header.number == sput_number_read(data));
        sput_header_write(&header, back);
        must(memcmp(back, data, sizeof(back)) == 0);
    }
    return 0;
}
