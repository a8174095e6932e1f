/* Checks an INI file against its table of keys. libinih splits lines into keys and values; it cuts
 * long lines, goes on over indented ones and tells the first bad line only, so each line is
 * measured and trimmed here before inih sees it. */
#include "base/config.h"

#include <ini.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct config_run {
    const char *at; /* next line */
    const char *file;
    const struct config_key *keys;
    void *target;
    FILE *report;
    unsigned line;
    const char *section;  /* that the lines are in now, without a name of its own */
    bool is_key_expected; /* the line is neither blank, comment nor section, and no key was found */
    bool is_section_unknown; /* said already: its keys are passed over */
    bool has_failed;
    bool *seen; /* one for each key */
};

static void complain(struct config_run *run, const char *format, ...) PRINTF_LIKE(2, 3);

static void complain(struct config_run *run, const char *format, ...)
{
    va_list arguments;
    run->has_failed = true;
    fprintf(run->report, "%s:%u: ", run->file, run->line);
    va_start(arguments, format);
    vfprintf(run->report, format, arguments);
    va_end(arguments);
    fputc('\n', run->report);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

/* Narrows [start, end) to what counts: no white space around it, no comment. */
static void trim_line(const char **start, const char **end)
{
    while (*start < *end && is_space(**start))
        (*start)++;
    if (*start < *end && (**start == '#' || **start == ';'))
        *end = *start;
    for (const char *at = *start; at < *end; at++) {
        if (*at == ';' && at > *start && is_space(at[-1]))
            *end = at;
    }
    while (*end > *start && is_space((*end)[-1]))
        (*end)--;
}

static bool has_control(const char *start, const char *end)
{
    for (const char *at = start; at < end; at++) {
        if (((unsigned char)*at < 0x20 && *at != '\t') || *at == 0x7f)
            return true;
    }
    return false;
}

/* "[a], [b] and [c]" of the sections that exist. */
static void list_sections(const struct config_key *keys, char *buffer, size_t cap)
{
    size_t len = 0;
    buffer[0] = '\0';
    for (const struct config_key *key = keys; key->section != NULL; key++) {
        bool is_first = true;
        for (const struct config_key *k = keys; k < key; k++)
            is_first = is_first && strcmp(k->section, key->section) != 0;
        if (!is_first || len >= cap)
            continue;
        int count = snprintf(buffer + len, cap - len, "%s[%s%s]", len > 0 ? ", " : "", key->section,
                             key->name == NULL ? " NAME" : "");
        len += count > 0 ? (size_t)count : 0;
    }
}

/* ", "-separated names of the keys of one section. */
static void list_keys(const struct config_key *keys, const char *section, char *buffer, size_t cap)
{
    size_t len = 0;
    buffer[0] = '\0';
    for (const struct config_key *key = keys; key->section != NULL; key++) {
        if (strcmp(key->section, section) != 0 || key->name == NULL || len >= cap)
            continue;
        int count = snprintf(buffer + len, cap - len, "%s%s", len > 0 ? ", " : "", key->name);
        len += count > 0 ? (size_t)count : 0;
    }
}

/* The section's first row; NULL: there is none of that name. */
static const struct config_key *find_section(const struct config_key *keys, const char *section,
                                             size_t len)
{
    for (const struct config_key *key = keys; key->section != NULL; key++) {
        if (strlen(key->section) == len && memcmp(key->section, section, len) == 0)
            return key;
    }
    return NULL;
}

/* One more [section NAME]: its keys begin anew. */
static bool begin_named(struct config_run *run, const struct config_key *first, const char *name,
                        size_t len)
{
    char text[CONFIG_LINE_MAX + 1];
    while (len > 0 && is_space(*name)) {
        name++;
        len--;
    }
    memcpy(text, name, len);
    text[len] = '\0';
    memcpy((char *)run->target + first->offset, &run->line, sizeof(run->line));
    for (const struct config_key *key = run->keys; key->section != NULL; key++) {
        if (strcmp(key->section, first->section) == 0)
            run->seen[key - run->keys] = false;
    }
    const int error = len > 0 ? first->parse(text, run->target, first) : ERR_INVALID;
    if (error == ERR_EXISTS)
        complain(run, "[%s %s] is given twice; allowed: once", first->section, text);
    else if (error != ERR_OK)
        complain(run, "[%s %s]: bad name; allowed: %s", first->section, text, first->allowed);
    return error == ERR_OK;
}

/* A line "[section]"; returns whether inih may see it. */
static bool check_section(struct config_run *run, const char *start, const char *end)
{
    char allowed[512];
    run->is_section_unknown = true;
    if (end[-1] != ']') {
        complain(run, "a section is written [name], alone on its line");
        return false;
    }
    const size_t len = (size_t)(end - start) - 2;
    size_t word = 0;
    while (word < len && !is_space(start[1 + word]))
        word++;
    const struct config_key *first = find_section(run->keys, start + 1, word);
    if (first == NULL || (first->name != NULL && word != len)) {
        list_sections(run->keys, allowed, sizeof allowed);
        complain(run, "there is no section [%.*s]; allowed: %s", (int)len, start + 1, allowed);
        return false;
    }
    run->is_section_unknown =
        first->name == NULL && !begin_named(run, first, start + 1 + word, len - word);
    run->section = first->section;
    return !run->is_section_unknown;
}

/* Is this line (trimmed, not empty) fit for inih? */
static bool check_line(struct config_run *run, const char *start, const char *end)
{
    if (has_control(start, end)) {
        complain(run, "the line has a control character; only plain text is allowed");
        return false;
    }
    if (end - start > CONFIG_LINE_MAX) {
        complain(run, "the line is too long; allowed: at most %d characters", CONFIG_LINE_MAX);
        return false;
    }
    if (*start == '[')
        return check_section(run, start, end);
    run->is_key_expected = !run->is_section_unknown;
    return !run->is_section_unknown;
}

static void finish_line(struct config_run *run)
{
    if (run->is_key_expected)
        complain(run, "expected \"key = value\", a [section] or a comment");
    run->is_key_expected = false;
}

/* ini_reader: hands inih the next line, an empty one in place of those it should not see. */
static char *next_line(char *buffer, int cap, void *stream)
{
    struct config_run *run = stream;
    finish_line(run);
    if (*run->at == '\0')
        return NULL;
    run->line++;
    const char *start = run->at, *end = start + strcspn(start, "\n");
    run->at = *end == '\n' ? end + 1 : end;
    trim_line(&start, &end);
    if (start < end && !check_line(run, start, end))
        start = end;
    const size_t len = (size_t)(end - start);
    /* CONFIG_LINE_MAX is below inih's own limit; a build of it with less must not cut silently. */
    if (cap < 2 || len > (size_t)cap - 2) {
        complain(run, "the line is too long; allowed: at most %d characters", cap - 2);
        run->is_key_expected = false;
        snprintf(buffer, (size_t)cap, "\n");
        return buffer;
    }
    memcpy(buffer, start, len);
    buffer[len] = '\n';
    buffer[len + 1] = '\0';
    return buffer;
}

static const struct config_key *find_key(const struct config_key *keys, const char *section,
                                         const char *name)
{
    for (const struct config_key *key = keys; key->section != NULL; key++) {
        if (strcmp(key->section, section) == 0 && key->name != NULL && strcmp(key->name, name) == 0)
            return key;
    }
    return NULL;
}

/* ini_handler: one key and its value. 1 always, as every problem is told here. */
static int take_value(void *user, const char *section, const char *name, const char *value)
{
    struct config_run *run = user;
    run->is_key_expected = false;
    if (run->is_section_unknown)
        return 1;
    if (section[0] != '\0')
        section = run->section; /* inih has it with its name */
    if (section[0] == '\0') {
        char allowed[512];
        list_sections(run->keys, allowed, sizeof allowed);
        complain(run, "%s stands before the first section; allowed: %s", name, allowed);
        return 1;
    }
    const struct config_key *key = find_key(run->keys, section, name);
    if (key == NULL) {
        char allowed[512];
        list_keys(run->keys, section, allowed, sizeof allowed);
        complain(run, "there is no key \"%s\" in [%s]; allowed: %s", name, section, allowed);
        return 1;
    }
    const size_t index = (size_t)(key - run->keys);
    if (run->seen[index] && !key->is_repeatable) {
        complain(run, "[%s] %s is given twice; allowed: once", section, name);
        return 1;
    }
    run->seen[index] = true;
    if (value[0] == '\0')
        complain(run, "[%s] %s has no value; allowed: %s", section, name, key->allowed);
    else if (key->parse(value, run->target, key) != ERR_OK)
        complain(run, "[%s] %s = %s: bad value; allowed: %s", section, name,
                 key->is_secret ? "…" : value, key->allowed);
    return 1;
}

int config_parse(const char *text, const char *file, const struct config_key *keys, void *target,
                 FILE *report)
{
    size_t count = 0;
    while (keys[count].section != NULL)
        count++;
    bool *seen = calloc(count + 1, sizeof *seen);
    if (seen == NULL)
        return ERR_NOMEM;
    if (strncmp(text, "\xef\xbb\xbf", 3) == 0) /* byte order mark of some editors */
        text += 3;
    struct config_run run = {
        .at = text, .file = file, .keys = keys, .target = target, .report = report, .seen = seen};
    const int result = ini_parse_stream(next_line, &run, take_value, &run);
    free(seen);
    if (result < 0)
        return ERR_NOMEM;
    return run.has_failed || result > 0 ? ERR_INVALID : ERR_OK;
}
