/* How many processors this process may use. */
#ifndef IO_PROCESSORS_H
#define IO_PROCESSORS_H

/* At least 1: what the process is confined to counts, not what the machine has. */
unsigned processors_count(void);

#endif
