/* Configuration files: INI (libinih) checked against a table of the keys that exist. Every problem
 * is one message that names file, line, key and what is allowed. A comment is a line that starts
 * with ';' or '#', or the rest of a line from a ';' that follows white space. White space around
 * keys and values does not count; a value cannot go on in the next line. */
#ifndef BASE_CONFIG_H
#define BASE_CONFIG_H

#include "base/error.h"
#include <stddef.h>
#include <stdio.h>

/* Longest line that counts, without its comment and the white space around it. */
#define CONFIG_LINE_MAX 180

struct config_key;

/* Parses one value into target (the struct that config_parse was given). Returns ERR_OK, or
 * ERR_INVALID for a value that the key does not allow. May be called again for a repeated key. */
typedef int config_parse_value(const char *value, void *target, const struct config_key *key);

struct config_key {
    const char *section;
    const char *name;
    config_parse_value *parse;
    size_t offset;       /* of the member in target */
    size_t cap;          /* size of a text member */
    const char *allowed; /* for the message: "a port from 1 to 65535" */
    int is_repeatable;   /* else a second one is an error */
    int is_secret;       /* messages do not show the value */
};

/* A row without a name stands before the keys of its section and makes it one of many: each is
 * written [section NAME] and has all the keys once. parse gets NAME at each of them (ERR_EXISTS:
 * there is one of that name already); the line's number is put into the unsigned at offset first.
 */

/* text: the file's content, NUL-terminated; file: its name for messages. keys ends with a NULL
 * section. All errors of a file are reported, one line each, to `report` (file:line: message).
 * ERR_INVALID if there was any; target is then partly filled and must not be used. */
MUST_USE int config_parse(const char *text, const char *file, const struct config_key *keys,
                          void *target, FILE *report);

/* Ready-made parsers for common kinds of value; each writes at target + key->offset. */
/* char[cap] */
int config_parse_text(const char *value, void *target, const struct config_key *key);
/* char[NAME_TEXT_CAP], canonical */
int config_parse_name(const char *value, void *target, const struct config_key *key);
/* bool: yes or no */
int config_parse_bool(const char *value, void *target, const struct config_key *key);
/* uint16_t, not 0 */
int config_parse_port(const char *value, void *target, const struct config_key *key);
/* uint64_t, microseconds */
int config_parse_duration(const char *value, void *target, const struct config_key *key);
/* struct endpoint; the port is needed */
int config_parse_endpoint(const char *value, void *target, const struct config_key *key);
/* struct address */
int config_parse_address(const char *value, void *target, const struct config_key *key);
/* struct prefix */
int config_parse_prefix(const char *value, void *target, const struct config_key *key);

#endif
