/* A ring of copies. */
#include "host/stage.h"

#include <stdlib.h>
#include <string.h>

void stage_add(struct stage *stage, const uint8_t *packet, size_t len)
{
    struct staged *staged = malloc(sizeof(*staged) + len);
    if (staged == NULL) {
        stage->dropped++;
        return;
    }
    staged->len = (uint32_t)len;
    memcpy(staged->data, packet, len);
    if (stage->count == STAGE_PACKETS_MAX) {
        free(stage_take(stage));
        stage->dropped++;
    }
    stage->items[(stage->first + stage->count++) % STAGE_PACKETS_MAX] = staged;
}

struct staged *stage_take(struct stage *stage)
{
    if (stage->count == 0)
        return NULL;
    struct staged *staged = stage->items[stage->first];
    stage->first = (stage->first + 1) % STAGE_PACKETS_MAX;
    stage->count--;
    return staged;
}

void stage_clear(struct stage *stage)
{
    struct staged *staged;
    while ((staged = stage_take(stage)) != NULL)
        free(staged);
}
