/* The log sink: one line a message to stderr, subject first, with what the user can do.
 * Thread-safe. Under systemd (JOURNAL_STREAM) lines carry the <N> priority prefix of sd-daemon(3).
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARN = 4, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

/* program: shown before every line outside the journal; borrowed for ever. */
void log_init(const char *program, enum log_level least_important);
void log_set_level(enum log_level least_important);
void log_line(enum log_level level, const char *format, ...) PRINTF_LIKE(2, 3);

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* For lines that strangers can cause: at most `burst` lines per `interval_us`. Zero-initialised and
 * used by one thread. ret_suppressed (may be NULL): how many were held back before this one. */
struct log_limit {
    uint64_t interval_start_us;
    uint32_t count;
    uint32_t suppressed;
};
bool log_limit_is_open(struct log_limit *limit, uint64_t now_us, uint32_t burst,
                       uint64_t interval_us, uint32_t *ret_suppressed);

#endif
