/* What the user sees: text on two streams, colours where they help, aligned tables, and write
 * errors that are noticed. Text that came from elsewhere is masked, so that nobody's words can
 * drive the terminal. */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

enum style { STYLE_PLAIN, STYLE_STRONG, STYLE_FAINT, STYLE_GOOD, STYLE_WARN, STYLE_BAD };

struct output {
    FILE *out; /* borrowed */
    FILE *err; /* borrowed */
    bool has_colors;
    bool is_failure_told;
};

/* Colours only when out is a terminal, TERM is not "dumb" and NO_COLOR is unset or empty. */
void output_init(struct output *output, FILE *out, FILE *err);
/* Control characters and broken UTF-8 become '?'. */
void output_text(struct output *output, enum style style, const char *text);
/* Masked and styled like output_text; at most 4 KiB. */
void output_print(struct output *output, enum style style, const char *format, ...)
    PRINTF_LIKE(3, 4);
void output_newline(struct output *output);
/* "detec: " and the message, and a line end, on err; masked. */
void output_error(struct output *output, const char *format, ...) PRINTF_LIKE(2, 3);
/* Writes what is still buffered. ERR_IO (and a message on err) if any write of this output failed.
 */
MUST_USE int output_flush(struct output *output);
/* Columns that a text takes on the terminal: its UTF-8 characters. */
size_t output_width(const char *text);

/* A table whose columns are as wide as their widest cell, two spaces apart; cells are copied. */
#define TABLE_COLUMNS_MAX 13

struct table {
    size_t column_count;
    size_t row_count;
    size_t cap; /* of cells, in rows */
    struct table_cell *cells;
    bool has_headings;
    bool is_right[TABLE_COLUMNS_MAX];
    bool has_failed; /* out of memory: nothing is printed */
};

/* headings: column_count texts, in the first row; one that starts with '>' is aligned to the
 * right (and shown without it). NULL: a table without headings, all columns to the left. */
void table_init(struct table *table, size_t column_count, const char *const *headings);
void table_done(struct table *table);
/* Adds a row of empty cells; returns nothing, as an allocation failure is told by table_print. */
void table_add_row(struct table *table);
/* Sets a cell of the last row. An empty one is shown as "-" in tables with headings. text may be
 * NULL. */
void table_set_text(struct table *table, size_t column, enum style style, const char *text);
/* indent: spaces before each row. ERR_NOMEM if a row or cell was lost. */
MUST_USE int table_print(const struct table *table, struct output *output, size_t indent);

#endif
