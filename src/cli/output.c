/* Styled, masked and checked writing. */
#include "cli/output.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PRINT_CAP 4096

static const char *const style_codes[] = {
    [STYLE_PLAIN] = "",        [STYLE_STRONG] = "\033[1m", [STYLE_FAINT] = "\033[2m",
    [STYLE_GOOD] = "\033[32m", [STYLE_WARN] = "\033[33m",  [STYLE_BAD] = "\033[31m",
};

void output_init(struct output *output, FILE *out, FILE *err)
{
    const char *no_color = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    output->out = out;
    output->err = err;
    output->is_failure_told = false;
    output->has_colors = (no_color == NULL || no_color[0] == '\0') && term != NULL &&
                         strcmp(term, "dumb") != 0 && fileno(out) >= 0 && isatty(fileno(out)) == 1;
}

/* Bytes of the well-formed UTF-8 character at text that a terminal may be given; 0 if it is none.
 * U+0080 to U+009F are control characters as well, and bidirectional controls reorder a line. */
static size_t character_len(const char *text)
{
    const unsigned char *t = (const unsigned char *)text;
    if (t[0] < 0x80)
        return t[0] >= 0x20 && t[0] != 0x7f;
    const size_t len = t[0] >= 0xf0 ? 4 : t[0] >= 0xe0 ? 3 : 2;
    if (t[0] < 0xc2 || t[0] > 0xf4)
        return 0;
    uint32_t code = t[0] & (0xffU >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((t[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (t[i] & 0x3fU);
    }
    if ((len == 3 && code < 0x800) || (len == 4 && (code < 0x10000 || code > 0x10ffff)))
        return 0;
    const bool is_control =
        code < 0xa0 || (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
        (code >= 0x2066 && code <= 0x2069) || (code >= 0xd800 && code <= 0xdfff) || code == 0xfeff;
    return is_control ? 0 : len;
}

static void write_masked(FILE *stream, const char *text)
{
    while (*text != '\0') {
        const size_t len = character_len(text);
        if (len > 0)
            fwrite(text, 1, len, stream);
        else
            fputc('?', stream);
        text += len > 0 ? len : 1;
    }
}

void output_text(struct output *output, enum style style, const char *text)
{
    const bool is_styled = output->has_colors && style != STYLE_PLAIN && text[0] != '\0';
    if (is_styled)
        fputs(style_codes[style], output->out);
    write_masked(output->out, text);
    if (is_styled)
        fputs("\033[0m", output->out);
}

void output_print(struct output *output, enum style style, const char *format, ...)
{
    char text[PRINT_CAP];
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(text, sizeof text, format, arguments) < 0)
        text[0] = '\0';
    va_end(arguments);
    output_text(output, style, text);
}

void output_newline(struct output *output)
{
    fputc('\n', output->out);
}

void output_error(struct output *output, const char *format, ...)
{
    char text[PRINT_CAP];
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(text, sizeof text, format, arguments) < 0)
        text[0] = '\0';
    va_end(arguments);
    fflush(output->out); /* what happened before comes first, also where both are one terminal */
    fputs("detec: ", output->err);
    write_masked(output->err, text);
    fputc('\n', output->err);
}

int output_flush(struct output *output)
{
    errno = 0;
    const int flushed = fflush(output->out);
    if (flushed == 0 && !ferror(output->out))
        return ERR_OK;
    if (output->is_failure_told)
        return ERR_IO;
    output->is_failure_told = true;
    fprintf(output->err, "detec: the output could not be written%s%s\n", errno != 0 ? ": " : "",
            errno != 0 ? strerror(errno) : "");
    return ERR_IO;
}

size_t output_width(const char *text)
{
    size_t width = 0;
    while (*text != '\0') {
        const size_t len = character_len(text);
        text += len > 0 ? len : 1;
        width++;
    }
    return width;
}
