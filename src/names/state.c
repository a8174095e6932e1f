/* The frame of state files: lines of words between a title and a last line `end COUNT CHECKSUM`.
 * The checksum finds accidents, not attackers: who may write the file may write anything. */
#include "names/state.h"

#include "base/map.h"
#include "base/text.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECKSUM_LEN 8
#define LAST_CAP     64

static const uint8_t CHECKSUM_KEY[16] = "detec state file";

static void checksum(const char *text, size_t len, char ret_hex[HEX_TEXT_CAP(CHECKSUM_LEN)])
{
    uint64_t hash = siphash(CHECKSUM_KEY, text, len);

    snprintf(ret_hex, HEX_TEXT_CAP(CHECKSUM_LEN), "%016llx", (unsigned long long)hash);
}

static void append(struct state_builder *b, const char *line, size_t len)
{
    if (b->error != ERR_OK)
        return;
    if (b->cap - b->len < len + 2) {
        size_t cap = b->cap * 2 + len + 4096;
        char *text = realloc(b->text, cap);
        if (text == NULL) {
            b->error = ERR_NOMEM;
            return;
        }
        b->text = text;
        b->cap = cap;
    }
    memcpy(b->text + b->len, line, len);
    b->len += len;
    b->text[b->len++] = '\n';
    b->text[b->len] = '\0';
}

void state_builder_init(struct state_builder *b, const char *title)
{
    *b = (struct state_builder){.error = ERR_OK};
    append(b, title, strlen(title));
}

void state_builder_line(struct state_builder *b, const char *format, ...)
{
    char line[STATE_LINE_CAP];
    va_list arguments;

    va_start(arguments, format);
    int len = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (len < 0 || (size_t)len >= sizeof line) {
        b->error = ERR_FULL;
        return;
    }
    append(b, line, (size_t)len);
    b->count++;
}

int state_builder_finish(struct state_builder *b, char **ret_text, size_t *ret_len)
{
    char hex[HEX_TEXT_CAP(CHECKSUM_LEN)], last[LAST_CAP];

    if (b->error == ERR_OK) {
        checksum(b->text, b->len, hex);
        int len = snprintf(last, sizeof last, "end %zu %s", b->count, hex);
        append(b, last, (size_t)len);
    }
    if (b->error != ERR_OK) {
        free(b->text);
        b->text = NULL;
        return b->error;
    }
    *ret_text = b->text;
    *ret_len = b->len;
    b->text = NULL;
    return ERR_OK;
}

static void describe(struct state_damage *ret_damage, size_t line, const char *format, va_list args)
    PRINTF_LIKE(3, 0);
static void describe(struct state_damage *ret_damage, size_t line, const char *format, va_list args)
{
    ret_damage->line = line;
    vsnprintf(ret_damage->message, sizeof ret_damage->message, format, args);
}

int state_reader_fail(const struct state_reader *r, struct state_damage *ret_damage,
                      const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    describe(ret_damage, r->line, format, arguments);
    va_end(arguments);
    return ERR_INVALID;
}

/* Where the last line starts. text ends with a line's end. */
static const char *find_last_line(const char *text, size_t len)
{
    const char *at = text + len - 1;

    while (at > text && at[-1] != '\n')
        at--;
    return at;
}

int state_reader_init(struct state_reader *r, const char *text, size_t len, const char *first_word,
                      struct state_damage *ret_damage)
{
    char hex[HEX_TEXT_CAP(CHECKSUM_LEN)], want[LAST_CAP];
    size_t count = 0;

    *r = (struct state_reader){.at = text};
    if (len == 0)
        return state_reader_fail(r, ret_damage, "the file is empty");
    if (len > STATE_LEN_MAX)
        return state_reader_fail(r, ret_damage, "the file is too large");
    const char *last = find_last_line(text, len);
    size_t last_len = (size_t)(text + len - last);
    if (text[len - 1] != '\n' || last == text || last_len < 4 || memcmp(last, "end ", 4) != 0)
        return state_reader_fail(r, ret_damage, "the last line is missing: the file was cut");
    for (const char *at = text; at < last; at++)
        count += *at == '\n';
    checksum(text, (size_t)(last - text), hex);
    int want_len = snprintf(want, sizeof want, "end %zu %s\n", count - 1, hex);
    if (last_len != (size_t)want_len || memcmp(last, want, (size_t)want_len) != 0)
        return state_reader_fail(r, ret_damage,
                                 "the content does not match the checksum in the last line");
    r->end = last;
    int error = state_reader_next(r, ret_damage);
    if (error != ERR_OK)
        return error;
    if (r->word_count < 2 || strcmp(r->words[0], first_word) != 0)
        return state_reader_fail(r, ret_damage, "the first line must begin with '%s'", first_word);
    if (strcmp(r->words[1], "1") != 0)
        return state_reader_fail(r, ret_damage, "written by another version of Detec");
    return ERR_OK;
}

int state_reader_next(struct state_reader *r, struct state_damage *ret_damage)
{
    if (r->at >= r->end)
        return ERR_NOT_FOUND;
    r->line++;
    const char *newline = memchr(r->at, '\n', (size_t)(r->end - r->at));
    size_t len = newline != NULL ? (size_t)(newline - r->at) : 0;
    if (newline == NULL || len == 0 || len >= sizeof r->buffer)
        return state_reader_fail(r, ret_damage, "an empty or overlong line");
    memcpy(r->buffer, r->at, len);
    r->buffer[len] = '\0';
    r->at = newline + 1;

    r->word_count = 0;
    bool is_in_word = false;
    for (size_t i = 0; i < len; i++) {
        if (r->buffer[i] < ' ' || r->buffer[i] > '~')
            return state_reader_fail(r, ret_damage, "a byte that is not printable ASCII");
        if (r->buffer[i] == ' ') {
            if (!is_in_word)
                return state_reader_fail(r, ret_damage, "words must be parted by one blank");
            r->buffer[i] = '\0';
            is_in_word = false;
        } else if (!is_in_word) {
            if (r->word_count == STATE_WORDS_MAX)
                return state_reader_fail(r, ret_damage, "too many words");
            r->words[r->word_count++] = r->buffer + i;
            is_in_word = true;
        }
    }
    if (!is_in_word)
        return state_reader_fail(r, ret_damage, "a blank at the end of the line");
    return ERR_OK;
}

int state_parse_number(const char *word, uint64_t *ret_value)
{
    uint64_t value = 0;

    if (word[0] == '\0' || (word[0] == '0' && word[1] != '\0'))
        return ERR_INVALID;
    for (; *word != '\0'; word++) {
        if (*word < '0' || *word > '9')
            return ERR_INVALID;
        uint64_t digit = (uint64_t)(*word - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return ERR_INVALID;
        value = value * 10 + digit;
    }
    *ret_value = value;
    return ERR_OK;
}
