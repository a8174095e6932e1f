/* DNS messages as resolvers send them, for the tests of the codec and of what builds on it. */
#ifndef TESTS_DNS_SAMPLES_H
#define TESTS_DNS_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

/* www.example.net A? -> CNAME home.detec.example.net -> A 0.0.0.1, with EDNS 1232, RD RA AD. */
static const uint8_t SAMPLE_CNAME_A[] = {
    0x1a, 0x2b, 0x81, 0xa0, 0,    1,   0,   2,   0,   0,    0,   1, /* header */
    3,    'w',  'w',  'w',  7,    'e', 'x', 'a', 'm', 'p',  'l', 'e',  3,  'n', 'e', 't', 0,
    0,    1,    0,    1,                                                   /* 12 */
    0xc0, 12,   0,    5,    0,    1,   0,   0,   1,   0x2c, 0,   13,       /* 33: CNAME, TTL 300 */
    4,    'h',  'o',  'm',  'e',  5,   'd', 'e', 't', 'e',  'c', 0xc0, 16, /* 45 */
    0xc0, 45,   0,    1,    0,    1,   0,   0,   0,   0x3c, 0,   4,    0,  0,   0,   1, /* 58: A,
                                                                                           TTL 60 */
    0,    0,    41,   4,    0xd0, 0,   0,   0,   0,   0,    0, /* 74: OPT */
};
#define SAMPLE_CNAME_A_TTL_AT   64
#define SAMPLE_CNAME_A_RDATA_AT 70

/* detec.example.net SOA? NXDOMAIN-less answer of BIND: one SOA, with its names compressed. */
static const uint8_t SAMPLE_SOA[] = {
    0xbe, 0xef, 0x84, 0x00, 0,    1,   0,    1,    0,    0,    0,    0, /* header, AA */
    7,    'e',  'x',  'a',  'm',  'p', 'l',  'e',  3,    'n',  'e',  't',
    0,    0,    6,    0,    1,                                           /* 12 */
    0xc0, 12,   0,    6,    0,    1,   0,    0,    0x0e, 0x10, 0,    38, /* 29 */
    2,    'n',  's',  0xc0, 12,   10,  'h',  'o',  's',  't',  'm',  'a',
    's',  't',  'e',  'r',  0xc0, 12, /* 41 */
    0x78, 0xb2, 0x3c, 0x01, 0,    0,   0x1c, 0x20, 0,    0,    0x0e, 0x10,
    0,    0x12, 0x75, 0,    0,    0,   0,    5,
};

/* _detec._tcp.example.net SRV? two records, and an A in the additional section. */
static const uint8_t SAMPLE_SRV[] = {
    0,    7,    0x81, 0x80, 0,   1,   0,   2,   0,   0,   0,   1, /* header */
    6,    '_',  'd',  'e',  't', 'e', 'c', 4,   '_', 't', 'c', 'p', 7,   'e', 'x', 'a', 'm',
    'p',  'l',  'e',  3,    'n', 'e', 't', 0,   0,   33,  0,   1, /* 12 */
    0xc0, 12,   0,    33,   0,   1,   0,   0,   0,   60,  0,   21,  0,   20,  0,   0,   0x11,
    0x94,                                                                        /* 41 */
    1,    'b',  7,    'e',  'x', 'a', 'm', 'p', 'l', 'e', 3,   'n', 'e', 't', 0, /* 59 */
    0xc0, 12,   0,    33,   0,   1,   0,   0,   0,   60,  0,   21,  0,   10,  0,   5,   0x11,
    0x94, 1,    'A',  7,    'e', 'x', 'a', 'm', 'p', 'l', 'e', 3,   'n', 'e', 't', 0,   1,
    'a',  0xc0, 24,   0,    1,   0,   1,   0,   0,   0,   60,  0,   4,   203, 0,   113, 10,
};

/* home.detec.example.net IPSECKEY?: a gateway by name, one by IPv4, and the kind that Detec uses.
 */
static const uint8_t SAMPLE_IPSECKEY[] = {
    0,    9,   0x81, 0x80, 0,    1,    0,    3,    0,   0,  0,  0,         /* header */
    4,    'h', 'o',  'm',  'e',  3,    'n',  'e',  't', 0,  0,  45, 0,  1, /* 12 */
    0xc0, 12,  0,    45,   0,    1,    0,    0,    0,   5,  0,  12, 5,  3,  2,  2,  'g', 'w', 3,
    'n',  'e', 't',  0,    0xaa, 0xc0, 12,   0,    45,  0,  1,  0,  0,  0,  5,  0,  9,   6,   1,
    2,    192, 0,    2,    1,    0xbb, 0xcc, 0xc0, 12,  0,  45, 0,  1,  0,  0,  0,  5,   0,   35,
    10,   0,   4,    1,    2,    3,    4,    5,    6,   7,  8,  9,  10, 11, 12, 13, 14,  15,  16,
    17,   18,  19,   20,   21,   22,   23,   24,   25,  26, 27, 28, 29, 30, 31, 32,
};

/* Query of a stub resolver: Home.Detec.example.NET A?, RD, EDNS 1400 with a cookie. */
static const uint8_t SAMPLE_QUERY[] = {
    0x42, 0x42, 0x01, 0x00, 0,    1, 0,   0,    0,   0,   0,   1, /* header */
    4,    'H',  'o',  'm',  'e',  5, 'D', 'e',  't', 'e', 'c', 7, 'e', 'x',
    'a',  'm',  'p',  'l',  'e',  3, 'N', 'E',  'T', 0,   0,   1, 0,   1, /* 12 */
    0,    0,    41,   0x05, 0x78, 0, 0,   0x80, 0,   0,   12,  0, 10,  0,
    8,    1,    2,    3,    4,    5, 6,   7,    8,
};

#endif
