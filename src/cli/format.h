/* Values of a daemon's answer as short text for people. A value that is missing, null or of another
 * kind reads as nothing; newer daemons may say more, older ones less. */
#ifndef CLI_FORMAT_H
#define CLI_FORMAT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FORMAT_CAP 64

/* "" if there is none; borrowed from object. */
const char *format_get_text(const json_t *object, const char *key);
bool format_get_bool(const json_t *object, const char *key);
/* fallback if there is none. Negative numbers read as fallback. */
double format_get_number(const json_t *object, const char *key, double fallback);
uint64_t format_get_count(const json_t *object, const char *key);
bool format_has(const json_t *object, const char *key);

/* Each writes into buffer (FORMAT_CAP) and returns it. */
const char *format_ms(double ms, char *buffer);           /* "0.42 ms", "23.4 ms", "1.2 s" */
const char *format_seconds(double seconds, char *buffer); /* "2h 5m" */
const char *format_bytes(uint64_t bytes, char *buffer);   /* "1.5 MB" */
const char *format_count(uint64_t count, char *buffer);   /* "12 345" */

#endif
