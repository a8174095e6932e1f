/* The common frame of state files: a title line, lines of words, and a last line with count and
 * checksum, so that a file that was cut, edited or damaged is known as such. Text in memory only;
 * the owner reads the file, and writes it atomically.
 *
 * Behind its last line a file may have room for lines that are added later, one at a time: records
 * of STATE_RECORD_LEN bytes, blank until then, each with a checksum of its own and on a sector of
 * its own, which a disk writes whole or not at all. So a file of thousands of lines need not be
 * written anew for each further one, and still shows it when it was cut: its length is told. */
#ifndef NAMES_STATE_H
#define NAMES_STATE_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATE_WORDS_MAX   8
#define STATE_LINE_CAP    512
#define STATE_LEN_MAX     (64u * 1024 * 1024) /* larger files are refused unread */
#define STATE_MESSAGE_CAP 256
#define STATE_RECORD_LEN  512

/* Why a file was refused. */
struct state_damage {
    size_t line;                     /* from 1; 0: the file as a whole */
    char message[STATE_MESSAGE_CAP]; /* one phrase, for "FILE:LINE: MESSAGE" */
};

struct state_builder {
    char *text;
    size_t len;
    size_t cap;
    size_t count;
    int error;
};

/* Writes the title line, e.g. "detec-pool 1 0.0.0.0/8". */
void state_builder_init(struct state_builder *b, const char *title);
/* One line of words without the line's end. */
void state_builder_line(struct state_builder *b, const char *format, ...) PRINTF_LIKE(2, 3);
/* Adds the last line. ret_text: NUL-terminated, the caller frees it. ERR_NOMEM. */
MUST_USE int state_builder_finish(struct state_builder *b, char **ret_text, size_t *ret_len);

/* The room of a file as its owner has written it. Zeroed: none. */
struct state_room {
    size_t at; /* of the next record, in the file */
    size_t index, count;
    uint64_t checksum; /* of the frame */
};

/* The same with room for so many lines. */
MUST_USE int state_builder_finish_with_room(struct state_builder *b, size_t count, char **ret_text,
                                            size_t *ret_len, struct state_room *ret_room);
/* The next record, to be written at ret_at; nothing but that may be written there. ERR_FULL: there
 * is no room for it. */
MUST_USE int state_room_add(struct state_room *room, char ret_record[STATE_RECORD_LEN],
                            size_t *ret_at, const char *format, ...) PRINTF_LIKE(4, 5);
/* How much room a file of so many lines is to have: so that it is written anew ever more rarely. */
size_t state_room_for(size_t lines);

struct state_reader {
    const char *at;
    const char *end; /* of the lines, before the last line */
    const char *records;
    struct state_room room; /* read: up to index */
    size_t line;
    char buffer[STATE_LINE_CAP];
    char *words[STATE_WORDS_MAX];
    size_t word_count;
};

/* Checks the frame as a whole, then stands on the title line's words. ERR_INVALID fills ret_damage.
 */
MUST_USE int state_reader_init(struct state_reader *r, const char *text, size_t len,
                               const char *first_word, struct state_damage *ret_damage);
/* The next line into words; ERR_NOT_FOUND after the last. */
MUST_USE int state_reader_next(struct state_reader *r, struct state_damage *ret_damage);
/* Fills ret_damage for the present line and returns ERR_INVALID. */
int state_reader_fail(const struct state_reader *r, struct state_damage *ret_damage,
                      const char *format, ...) PRINTF_LIKE(3, 4);
/* A decimal number without sign or leading zeros; ERR_INVALID. */
MUST_USE int state_parse_number(const char *word, uint64_t *ret_value);

#endif
