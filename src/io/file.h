/* Files as wholes: reading with a cap, replacing atomically, creating secrets. Paths are used as
 * given; where a function returns ERR_IO, errno says why. */
#ifndef IO_FILE_H
#define IO_FILE_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Reads a regular file of at most cap bytes. ret_data gets a NUL behind its len bytes (ret_len may
 * be NULL only if the text holds no NUL: ERR_INVALID else); the caller frees. ERR_NOT_FOUND,
 * ERR_LIMIT: longer than cap, ERR_INVALID: not a regular file, ERR_NOMEM, ERR_IO. */
MUST_USE int file_read(const char *path, size_t cap, char **ret_data, size_t *ret_len);
/* As file_read, for keys: ERR_REFUSED where group or others may read or write the file, or where it
 * is owned neither by this user nor by root. The caller wipes what it got before it frees it. */
MUST_USE int file_read_secret(const char *path, size_t cap, char **ret_data, size_t *ret_len);
/* Replaces or creates the file so that it holds either the old or the new content whatever happens:
 * temporary file in the same directory, fsync, rename, fsync of the directory. A symbolic link at
 * path is replaced, not followed. */
MUST_USE int file_write_atomic(const char *path, const void *data, size_t len, mode_t mode);
/* Which file a path names, and how long it is. */
struct file_mark {
    dev_t device;
    ino_t inode;
    size_t len;
};
/* As file_write_atomic(), and what to know it by. */
MUST_USE int file_write_marked(const char *path, const void *data, size_t len, mode_t mode,
                               struct file_mark *ret_mark);
/* Overwrites bytes inside of that file, and waits until they are on the disk. ERR_STATE: the path
 * names another file by now, or none, or its length has changed; nothing is written then.
 * ERR_INVALID: not inside of it. After ERR_IO some of the bytes may be there. */
MUST_USE int file_write_inside(const char *path, const struct file_mark *mark, size_t at,
                               const void *data, size_t len);
/* Creates a file of mode 0600; ERR_EXISTS, never overwrites or follows a link. Nothing is left
 * behind on failure. */
MUST_USE int file_create_secret(const char *path, const void *data, size_t len);
/* Makes a directory and those above it that are missing (they get mode 0755, it gets mode). An
 * existing one is left as it is; ERR_INVALID where something else is in the way. */
MUST_USE int file_make_directory(const char *path, mode_t mode);
/* Makes the directory that path's file is to lie in, with mode. */
MUST_USE int file_make_parent(const char *path, mode_t mode);
/* What went wrong, for people: call at once, it looks at errno for ERR_IO. Never NULL. */
const char *file_error_text(int error);

#endif
