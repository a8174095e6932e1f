/* Answers to STUN Binding requests, limited by source so that nobody is flooded under a forged one.
 */
#include "connector/stun_server.h"

#include "connector/udp_server.h"
#include "io/clock.h"
#include "path/binding.h"

size_t stun_server_answer(void *context, const uint8_t *data, size_t len,
                          const struct endpoint *from, uint8_t *ret_answer)
{
    struct connector *connector = context;
    struct writer w;
    if (!limiter_take(&connector->stun_limiter, &from->address, clock_now_us()))
        return 0;
    writer_init(&w, ret_answer, UDP_SERVER_LEN_MAX);
    return binding_answer(data, len, from, &w) == ERR_OK ? w.len : 0;
}
