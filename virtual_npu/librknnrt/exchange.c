#define _GNU_SOURCE
#include "exchange.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "rknn_abi.h"

#define DEFAULT_SOCKET "/run/virtual_npu.sock"

enum { ANSWER_LIMIT = 1 << 28, TEXT_LIMIT = 1 << 12 };

static bool send_all(int connection, const void *data, size_t size) {
    for (const char *next = data; size;) {
        ssize_t sent = send(connection, next, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) return false;
        next += sent;
        size -= (size_t)sent;
    }
    return true;
}

static bool receive_all(int connection, void *data, size_t size) {
    for (char *next = data; size;) {
        ssize_t got = recv(connection, next, size, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        next += got;
        size -= (size_t)got;
    }
    return true;
}

int exchange_connect(void) {
    const char *path = getenv("VIRTUAL_NPU_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!path || !*path) path = DEFAULT_SOCKET;
    if (strlen(path) >= sizeof address.sun_path) return -1;
    strcpy(address.sun_path, path);
    int connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection >= 0 && connect(connection, (struct sockaddr *)&address, sizeof address)) {
        fprintf(stderr, "E virtual NPU: no server at %s: %s\n", path, strerror(errno));
        close(connection);
        return -1;
    }
    return connection;
}

/* After this the connection answers nothing more: what follows would not be at a frame's start. */
static int gone(int connection) {
    shutdown(connection, SHUT_RDWR);
    return RKNN_ERR_DEVICE_UNAVAILABLE;
}

int exchange(int connection, uint32_t operation, const struct iovec *parts, int count, struct answer *answer) {
    struct {
        int32_t code;
        uint32_t size;
    } header;
    uint32_t request[2] = {operation, 0};
    bool sent;

    *answer = (struct answer){0};
    for (int i = 0; i < count; i++) request[1] += (uint32_t)parts[i].iov_len;
    sent = send_all(connection, request, sizeof request);
    for (int i = 0; sent && i < count; i++) sent = send_all(connection, parts[i].iov_base, parts[i].iov_len);
    /* A server that refuses a request in the middle has left its reason. */
    if (!receive_all(connection, &header, sizeof header)) return gone(connection);
    if (header.code != RKNN_SUCC) {
        char text[TEXT_LIMIT + 1];
        if (header.size > TEXT_LIMIT || !receive_all(connection, text, header.size)) return gone(connection);
        text[header.size] = 0;
        if (header.size) fprintf(stderr, "E virtual NPU: %s\n", text);
        return header.code;
    }
    if (!sent || header.size > ANSWER_LIMIT) return gone(connection);
    if (header.size) {
        answer->data = malloc(header.size);
        if (!answer->data) {
            gone(connection);
            return RKNN_ERR_MALLOC_FAIL;
        }
        if (!receive_all(connection, answer->data, header.size)) {
            free(answer->data);
            answer->data = NULL;
            return gone(connection);
        }
        answer->size = header.size;
    }
    return RKNN_SUCC;
}
