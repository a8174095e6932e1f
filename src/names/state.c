/* The frame of state files: lines of words between a title and a last line `end COUNT CHECKSUM`.
 * The checksum finds accidents, not attackers: who may write the file may write anything. */
#include "names/state.h"

#include "base/map.h"
#include "base/text.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECKSUM_LEN 8
#define LAST_CAP     (2 * STATE_RECORD_LEN)
#define ROOM_MIN     64
#define RECORD_MORE  (1 + 2 * CHECKSUM_LEN + 1) /* behind a record's line */

static const uint8_t CHECKSUM_KEY[16] = "detec state file";

static uint64_t checksum(const char *text, size_t len)
{
    return siphash(CHECKSUM_KEY, text, len);
}

/* Of a record: not that of another place, nor of another file. */
static uint64_t record_checksum(const struct state_room *room, const char *line, size_t len)
{
    const uint64_t number = room->index;
    uint8_t key[16];

    memcpy(key, &room->checksum, 8);
    memcpy(key + 8, &number, 8);
    return siphash(key, line, len);
}

/* The last line of the frame, with its end. Where there is room, the first record behind it begins
 * on a sector. */
static size_t format_last(char last[LAST_CAP], size_t at, size_t lines, uint64_t sum, size_t room)
{
    size_t len = (size_t)snprintf(last, LAST_CAP, "end %zu %016" PRIx64, lines, sum);

    if (room > 0) {
        len += (size_t)snprintf(last + len, LAST_CAP - len, " room %zu", room);
        while ((at + len + 1) % STATE_RECORD_LEN != 0)
            last[len++] = ' ';
    }
    last[len++] = '\n';
    return len;
}

/* Reserves so many bytes behind what there is. */
static void reserve(struct state_builder *b, size_t more)
{
    if (b->error != ERR_OK || b->cap - b->len >= more)
        return;
    const size_t cap = b->cap * 2 + more + 4096;
    char *text = realloc(b->text, cap);
    if (text == NULL) {
        b->error = ERR_NOMEM;
        return;
    }
    b->text = text;
    b->cap = cap;
}

static void append(struct state_builder *b, const char *line, size_t len)
{
    reserve(b, len + 2);
    if (b->error != ERR_OK)
        return;
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

int state_builder_finish_with_room(struct state_builder *b, size_t count, char **ret_text,
                                   size_t *ret_len, struct state_room *ret_room)
{
    char last[LAST_CAP];

    reserve(b, LAST_CAP + count * STATE_RECORD_LEN + 1);
    if (b->error != ERR_OK) {
        free(b->text);
        b->text = NULL;
        return b->error;
    }
    struct state_room room = {.count = count, .checksum = checksum(b->text, b->len)};
    const size_t last_len = format_last(last, b->len, b->count, room.checksum, count);
    memcpy(b->text + b->len, last, last_len);
    b->len += last_len;
    room.at = b->len;
    for (size_t i = 0; i < count; i++) {
        memset(b->text + b->len, ' ', STATE_RECORD_LEN - 1);
        b->len += STATE_RECORD_LEN;
        b->text[b->len - 1] = '\n';
    }
    b->text[b->len] = '\0';
    *ret_text = b->text;
    *ret_len = b->len;
    *ret_room = room;
    b->text = NULL;
    return ERR_OK;
}

int state_builder_finish(struct state_builder *b, char **ret_text, size_t *ret_len)
{
    struct state_room none;

    return state_builder_finish_with_room(b, 0, ret_text, ret_len, &none);
}

size_t state_room_for(size_t lines)
{
    return lines / 4 > ROOM_MIN ? lines / 4 : ROOM_MIN;
}

int state_room_add(struct state_room *room, char ret_record[STATE_RECORD_LEN], size_t *ret_at,
                   const char *format, ...)
{
    char record[STATE_RECORD_LEN];
    va_list arguments;

    if (room->index >= room->count)
        return ERR_FULL;
    va_start(arguments, format);
    const int len = vsnprintf(record, sizeof record, format, arguments);
    va_end(arguments);
    if (len < 0 || (size_t)len + RECORD_MORE >= sizeof record)
        return ERR_FULL;
    const uint64_t sum = record_checksum(room, record, (size_t)len);
    const int more = snprintf(record + len, sizeof record - (size_t)len, " %016" PRIx64, sum);
    memset(record + len + more, ' ', sizeof record - (size_t)(len + more));
    record[sizeof record - 1] = '\n';
    memcpy(ret_record, record, sizeof record);
    *ret_at = room->at;
    room->at += sizeof record;
    room->index++;
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

/* Where the frame's last line starts; NULL: there is none. */
static const char *find_last_line(const char *text, size_t len, size_t *ret_lines)
{
    size_t lines = 0;

    for (const char *at = text; at < text + len;) {
        const size_t left = (size_t)(text + len - at);
        if (lines > 0 && left > 4 && memcmp(at, "end ", 4) == 0) {
            *ret_lines = lines - 1;
            return at;
        }
        const char *newline = memchr(at, '\n', left);
        if (newline == NULL)
            return NULL;
        at = newline + 1;
        lines++;
    }
    return NULL;
}

/* How much room the last line says that there is; any other nonsense in it shows when it is
 * compared. */
static size_t find_room(const char *last, size_t len)
{
    static const char word[] = " room ";
    const char *newline = memchr(last, '\n', len);
    const char *end = newline != NULL ? newline : last + len;
    size_t count = 0;

    for (const char *at = last; at + sizeof word - 1 < end; at++) {
        if (memcmp(at, word, sizeof word - 1) != 0)
            continue;
        for (at += sizeof word - 1; at < end && *at >= '0' && *at <= '9'; at++) {
            if (count > STATE_LEN_MAX / STATE_RECORD_LEN)
                return 0;
            count = count * 10 + (size_t)(*at - '0');
        }
        break;
    }
    return count;
}

int state_reader_init(struct state_reader *r, const char *text, size_t len, const char *first_word,
                      struct state_damage *ret_damage)
{
    char want[LAST_CAP];
    size_t lines;

    *r = (struct state_reader){.at = text};
    if (len == 0)
        return state_reader_fail(r, ret_damage, "the file is empty");
    if (len > STATE_LEN_MAX)
        return state_reader_fail(r, ret_damage, "the file is too large");
    const char *last = find_last_line(text, len, &lines);
    if (last == NULL || text[len - 1] != '\n')
        return state_reader_fail(r, ret_damage, "the last line is missing: the file was cut");
    const size_t frame_len = (size_t)(last - text);
    r->room.count = find_room(last, len - frame_len);
    r->room.checksum = checksum(text, frame_len);
    const size_t last_len = format_last(want, frame_len, lines, r->room.checksum, r->room.count);
    if (len - frame_len < last_len || memcmp(last, want, last_len) != 0)
        return state_reader_fail(r, ret_damage,
                                 "the content does not match the checksum in the last line");
    r->records = last + last_len;
    if (len - frame_len - last_len != r->room.count * STATE_RECORD_LEN)
        return state_reader_fail(r, ret_damage, "its length is another one: the file was cut");
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

static bool is_blank(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] != (i % STATE_RECORD_LEN == STATE_RECORD_LEN - 1 ? '\n' : ' '))
            return false;
    }
    return true;
}

/* The line of the next record, without its checksum; ERR_NOT_FOUND: the rest is blank. */
static int take_record(struct state_reader *r, const char **ret_line, size_t *ret_len,
                       struct state_damage *ret_damage)
{
    const char *record = r->records + r->room.index * STATE_RECORD_LEN;
    char want[RECORD_MORE + 1];
    size_t len = STATE_RECORD_LEN - 1;

    if (is_blank(record, STATE_RECORD_LEN)) {
        r->line++;
        return is_blank(record, (r->room.count - r->room.index) * STATE_RECORD_LEN)
                   ? ERR_NOT_FOUND
                   : state_reader_fail(r, ret_damage, "a blank line among those that were added");
    }
    r->line++;
    while (len > 0 && record[len - 1] == ' ')
        len--;
    if (len < RECORD_MORE || record[STATE_RECORD_LEN - 1] != '\n')
        return state_reader_fail(r, ret_damage, "an added line without its checksum");
    len -= RECORD_MORE - 1;
    snprintf(want, sizeof want, " %016" PRIx64, record_checksum(&r->room, record, len));
    if (memcmp(record + len, want, RECORD_MORE - 1) != 0)
        return state_reader_fail(r, ret_damage, "an added line does not match its checksum");
    r->room.index++;
    *ret_line = record;
    *ret_len = len;
    return ERR_OK;
}

static int split(struct state_reader *r, size_t len, struct state_damage *ret_damage)
{
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

int state_reader_next(struct state_reader *r, struct state_damage *ret_damage)
{
    const char *line = r->at;
    size_t len = 0;

    if (r->at < r->end) {
        r->line++;
        const char *newline = memchr(r->at, '\n', (size_t)(r->end - r->at));
        len = newline != NULL ? (size_t)(newline - r->at) : 0;
        if (newline == NULL || len == 0 || len >= sizeof r->buffer)
            return state_reader_fail(r, ret_damage, "an empty or overlong line");
        r->at = newline + 1;
    } else {
        if (r->room.index == r->room.count)
            return ERR_NOT_FOUND;
        r->line += r->room.index == 0; /* the frame's last one */
        int error = take_record(r, &line, &len, ret_damage);
        if (error != ERR_OK)
            return error;
    }
    memcpy(r->buffer, line, len);
    r->buffer[len] = '\0';
    return split(r, len, ret_damage);
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
