/* Reads the text files of this folder in tests: "name = value" lines, cases parted by empty lines,
 * '#' starts a comment line. VECTORS_DIR is given by the build. */
#ifndef VECTORS_H
#define VECTORS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VECTORS_FIELDS_MAX 32

struct vector_case {
    size_t count;
    char *names[VECTORS_FIELDS_MAX];
    char *values[VECTORS_FIELDS_MAX];
};

static inline FILE *vectors_open(const char *file)
{
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s", VECTORS_DIR, file);
    FILE *in = fopen(path, "r");
    if (in == NULL)
        abort();
    return in;
}

static inline void vector_case_done(struct vector_case *c)
{
    for (size_t i = 0; i < c->count; i++) {
        free(c->names[i]);
        free(c->values[i]);
    }
    c->count = 0;
}

/* Frees the case before and reads the next one; false at the end of the file. c starts zeroed. */
static inline bool vectors_next(FILE *in, struct vector_case *c)
{
    char *line = NULL;
    size_t cap = 0;

    vector_case_done(c);
    while (getline(&line, &cap, in) >= 0) {
        line[strcspn(line, "\r\n")] = '\0';
        if (line[0] == '#')
            continue;
        if (line[0] == '\0') {
            if (c->count > 0)
                break;
            continue;
        }
        char *equals = strstr(line, " =");
        if (equals == NULL || c->count == VECTORS_FIELDS_MAX)
            abort();
        *equals = '\0';
        const char *value = equals + 2;
        c->names[c->count] = strdup(line);
        c->values[c->count++] = strdup(*value == ' ' ? value + 1 : value);
    }
    free(line);
    return c->count > 0;
}

/* NULL if the case has no such field. */
static inline const char *vector_find(const struct vector_case *c, const char *name)
{
    for (size_t i = 0; i < c->count; i++) {
        if (strcmp(c->names[i], name) == 0)
            return c->values[i];
    }
    return NULL;
}

/* Aborts where the field is missing. */
static inline const char *vector_text(const struct vector_case *c, const char *name)
{
    const char *value = vector_find(c, name);
    if (value == NULL) {
        fprintf(stderr, "vector lacks %s\n", name);
        abort();
    }
    return value;
}

static inline unsigned long vector_number(const struct vector_case *c, const char *name)
{
    return strtoul(vector_text(c, name), NULL, 0);
}

/* Decodes hex into ret; returns the length. */
static inline size_t vector_hex(const struct vector_case *c, const char *name, uint8_t *ret,
                                size_t cap)
{
    const char *text = vector_text(c, name);
    size_t len = strlen(text) / 2;

    if (len > cap || strlen(text) % 2 != 0)
        abort();
    for (size_t i = 0; i < len; i++) {
        unsigned int byte;
        if (sscanf(text + 2 * i, "%2x", &byte) != 1)
            abort();
        ret[i] = (uint8_t)byte;
    }
    return len;
}

#endif
