/* Aligned tables. */
#include <stdlib.h>
#include <string.h>

#include "cli/output.h"

#define GAP 2 /* spaces between columns */

struct table_cell {
    char *text; /* owned; NULL: empty */
    enum style style;
};

static struct table_cell *cell_at(const struct table *table, size_t row, size_t column)
{
    return &table->cells[row * table->column_count + column];
}

void table_init(struct table *table, size_t column_count, const char *const *headings)
{
    memset(table, 0, sizeof *table);
    table->column_count = column_count < TABLE_COLUMNS_MAX ? column_count : TABLE_COLUMNS_MAX;
    table->has_headings = headings != NULL;
    if (headings == NULL)
        return;
    table_add_row(table);
    for (size_t i = 0; i < table->column_count; i++) {
        table->is_right[i] = headings[i][0] == '>';
        table_set_text(table, i, STYLE_FAINT, headings[i] + table->is_right[i]);
    }
}

void table_done(struct table *table)
{
    for (size_t i = 0; i < table->row_count * table->column_count; i++)
        free(table->cells[i].text);
    free(table->cells);
    memset(table, 0, sizeof *table);
}

void table_add_row(struct table *table)
{
    if (table->row_count == table->cap) {
        const size_t cap = table->cap > 0 ? table->cap * 2 : 16;
        struct table_cell *cells =
            reallocarray(table->cells, cap, table->column_count * sizeof *cells);
        if (cells == NULL) {
            table->has_failed = true;
            return;
        }
        table->cells = cells;
        table->cap = cap;
    }
    memset(cell_at(table, table->row_count, 0), 0, table->column_count * sizeof(struct table_cell));
    table->row_count++;
}

void table_set_text(struct table *table, size_t column, enum style style, const char *text)
{
    if (table->has_failed || column >= table->column_count || table->row_count == 0)
        return;
    struct table_cell *cell = cell_at(table, table->row_count - 1, column);
    char *copy = text != NULL ? strdup(text) : NULL;
    table->has_failed = text != NULL && copy == NULL;
    free(cell->text);
    cell->text = copy;
    cell->style = style;
}

static const char *cell_text(const struct table *table, const struct table_cell *cell)
{
    if (cell->text != NULL && cell->text[0] != '\0')
        return cell->text;
    return table->has_headings ? "-" : "";
}

static void print_spaces(struct output *output, size_t count)
{
    while (count-- > 0)
        fputc(' ', output->out);
}

static void print_row(const struct table *table, struct output *output, size_t row,
                      const size_t *widths)
{
    size_t owed = 0; /* spaces before the next text: none are left at a line's end */
    for (size_t i = 0; i < table->column_count; i++) {
        const struct table_cell *cell = cell_at(table, row, i);
        const char *text = cell_text(table, cell);
        const size_t fill = widths[i] - output_width(text);
        if (table->is_right[i])
            owed += fill;
        if (text[0] != '\0') {
            print_spaces(output, owed);
            output_text(output, cell->style, text);
            owed = 0;
        }
        owed += (table->is_right[i] ? 0 : fill) + GAP;
    }
    output_newline(output);
}

int table_print(const struct table *table, struct output *output, size_t indent)
{
    size_t widths[TABLE_COLUMNS_MAX] = {0};
    if (table->has_failed)
        return ERR_NOMEM;
    for (size_t row = 0; row < table->row_count; row++) {
        for (size_t i = 0; i < table->column_count; i++) {
            const size_t width = output_width(cell_text(table, cell_at(table, row, i)));
            widths[i] = width > widths[i] ? width : widths[i];
        }
    }
    for (size_t row = 0; row < table->row_count; row++) {
        print_spaces(output, indent);
        print_row(table, output, row, widths);
    }
    return ERR_OK;
}
