/* Requests about the host database as JSON (docs/control.md): parsed, checked, done, answered. What
 * follows for hosts that are logged in is left to commands.c. Also used without a running
 * connector, on the database file alone. */
#ifndef CONNECTOR_HOSTS_H
#define CONNECTOR_HOSTS_H

#include <jansson.h>

#include "connector/database.h"
#include "names/zone.h"

/* Longest request line, and text of an error. */
#define HOSTS_LINE_CAP 65536
#define HOSTS_TEXT_CAP 512

/* The zone that names must be in; completes those without dots. Borrowed. */
struct hosts_zone {
    const char *name;
    const struct zone *zone; /* which names it could publish */
};

/* {"done": true, "error": text}; NULL without memory. */
json_t *hosts_fail(const char *format, ...) PRINTF_LIKE(1, 2);
/* host-add. zone: NULL if it is not known. ret_host is set if the answer holds no error. */
json_t *hosts_add(struct database *database, const struct hosts_zone *zone, const json_t *request,
                  struct database_host *ret_host);
/* host-remove. ret_name is set if the answer holds no error. */
json_t *hosts_remove(struct database *database, const struct hosts_zone *zone,
                     const json_t *request, char ret_name[NAME_TEXT_CAP]);
/* Every row as {"name", "key", "mac", "is_static"}: the array; on failure the answer that says so,
 * and *ret_has_failed. */
json_t *hosts_list(struct database *database, bool *ret_has_failed);
/* Answers the requests that come in on one stream, a line each, until its end, from the database
 * alone. ERR_IO: the answers could not be written. */
MUST_USE int hosts_serve(struct database *database, FILE *in, FILE *out);

#endif
