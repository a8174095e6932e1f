/* The log sink. A line is formatted on the stack and written by one write(2), so that threads never
 * mix lines; control characters are masked, as strangers choose part of some lines. */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_CAP 1024

static const char *program_name = "detec";
static atomic_int level_limit = LOG_LEVEL_INFO;
static atomic_bool is_journal = false;

/* JOURNAL_STREAM is "device:inode" of the journal's socket (systemd.exec(5)); a child that had its
 * stderr redirected inherits the variable, but not the socket. */
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat st;
    if (stream == NULL || fstat(STDERR_FILENO, &st) != 0)
        return false;
    char expected[64];
    snprintf(expected, sizeof expected, "%llu:%llu", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    return strcmp(expected, stream) == 0;
}

void log_init(const char *program, enum log_level least_important)
{
    program_name = program;
    atomic_store(&is_journal, stderr_is_journal());
    log_set_level(least_important);
}

void log_set_level(enum log_level least_important)
{
    atomic_store(&level_limit, (int)least_important);
}

static const char *level_word(enum log_level level)
{
    switch (level) {
    case LOG_LEVEL_ERROR:
        return "error: ";
    case LOG_LEVEL_WARN:
        return "warning: ";
    case LOG_LEVEL_INFO:
    case LOG_LEVEL_DEBUG:
        break;
    }
    return "";
}

static void mask_control(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = *text == '\n' || *text == '\t' ? ' ' : '?';
    }
}

void log_line(enum log_level level, const char *format, ...)
{
    if ((int)level > atomic_load_explicit(&level_limit, memory_order_relaxed))
        return;
    const int saved_errno = errno;
    char line[LINE_CAP];
    int start;
    if (atomic_load_explicit(&is_journal, memory_order_relaxed))
        start = snprintf(line, sizeof line, "<%d>", (int)level);
    else
        start = snprintf(line, sizeof line, "%.64s: %s", program_name, level_word(level));
    if (start < 0)
        return;

    va_list arguments;
    va_start(arguments, format);
    errno = saved_errno;
    /* One byte is kept for the line's end. */
    int rest = vsnprintf(line + start, sizeof line - (size_t)start - 1, format, arguments);
    va_end(arguments);
    if (rest < 0)
        line[start] = '\0';
    mask_control(line);
    size_t len = strlen(line);
    line[len++] = '\n';

    for (size_t done = 0; done < len;) {
        ssize_t count = write(STDERR_FILENO, line + done, len - done);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            break;
        done += (size_t)count;
    }
    errno = saved_errno;
}

bool log_limit_is_open(struct log_limit *limit, uint64_t now_us, uint32_t burst,
                       uint64_t interval_us, uint32_t *ret_suppressed)
{
    const bool is_running = limit->count > 0 || limit->suppressed > 0;
    if (!is_running || now_us - limit->interval_start_us >= interval_us) {
        limit->interval_start_us = now_us;
        limit->count = 0;
    }
    if (limit->count >= burst) {
        if (limit->suppressed < UINT32_MAX)
            limit->suppressed++;
        return false;
    }
    limit->count++;
    if (ret_suppressed != NULL)
        *ret_suppressed = limit->suppressed;
    limit->suppressed = 0;
    return true;
}
