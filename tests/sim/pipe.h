/* TCP connections between hosts and the hub, as what they do to programs: bytes in order or an
 * error. What was lost comes later; what has no way any more does not come at all. */
#ifndef SIM_PIPE_H
#define SIM_PIPE_H

#include "sim.h"

enum pipe_end { PIPE_CLIENT, PIPE_HUB };

struct pipe {
    struct pipe *next;
    struct sim *sim;
    struct machine *machine; /* the client */
    struct endpoint target;
    struct address source; /* of the client, as it was when it connected */
    unsigned epochs;       /* of the NATs before it, likewise */
    bool is_open[2];       /* has a program at this end */
    bool is_connected;
    bool is_failing;     /* an end has been waiting for an answer that cannot come */
    uint64_t last_us[2]; /* when the last bytes towards this end arrive */
    void *user[2];
};

/* The client asks for a connection to the hub; uv_on_connected reports. */
struct pipe *pipe_connect(struct machine *machine, void *user, const struct endpoint *to);
void pipe_write(struct pipe *pipe, enum pipe_end from, const void *data, size_t len);
/* The program at this end is gone, or has closed; the other hears of it (unless the machine itself
 * is lost). */
void pipe_close(struct pipe *pipe, enum pipe_end from, bool is_silent);
void pipes_free(struct sim *sim);

/* What the ends hear. */
/* All streams of a daemon that is gone are closed now. */
void uv_flush(struct machine *machine);
void uv_on_connected(struct pipe *pipe, int status);
void uv_on_data(struct pipe *pipe, const uint8_t *data, size_t len);
void uv_on_end(struct pipe *pipe, int status);
void hub_on_connected(struct pipe *pipe);
void hub_on_data(struct pipe *pipe, const uint8_t *data, size_t len);
void hub_on_end(struct pipe *pipe);
bool hub_is_listening(const struct hub *hub);
bool hub_is_machine_up(const struct hub *hub);

#endif
