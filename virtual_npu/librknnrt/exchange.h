/* One request and its answer over the socket of `python -m virtual_npu.c_api.server`.
 *
 * Little-endian, as both machines are. Request: operation and length (two uint32), then that many bytes. Answer: code
 * (int32, one of RKNN_*), length (uint32), then that many bytes: the result, or on failure a text for people.
 */
#ifndef EXCHANGE_H
#define EXCHANGE_H

#include <stdint.h>
#include <sys/uio.h>

enum {
    OPERATION_LOAD = 1,   /* model file -> description */
    OPERATION_JOIN = 2,   /* 16 bytes that name a loaded model -> description */
    OPERATION_CORES = 3,  /* core mask */
    OPERATION_INPUT = 4,  /* index, type, format, pass_through (uint32 each), data */
    OPERATION_RUN = 5,    /* -> microseconds (int64) */
    OPERATION_OUTPUT = 6, /* index, type, format (uint32 each) -> data */
};

struct answer {
    void *data; /* to be freed by the caller; NULL where there is none */
    uint32_t size;
};

/* Connect to the server; a descriptor, or -1. */
int exchange_connect(void);

/* Returns the server's code, or RKNN_ERR_DEVICE_UNAVAILABLE when it is gone. The data are set only on success. */
int exchange(int connection, uint32_t operation, const struct iovec *parts, int count, struct answer *answer);

#endif
