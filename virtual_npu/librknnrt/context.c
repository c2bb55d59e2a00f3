#define _GNU_SOURCE
#include "context.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t registry = PTHREAD_MUTEX_INITIALIZER;
static struct context *first;
static rknn_context last_id;

static void discard(struct memory *memory) {
    if (memory->kind == TENSOR_MEMORY) {
        rknn_tensor_mem *mem = memory->address;
        if (mem->flags & RKNN_TENSOR_MEMORY_FLAGS_ALLOC_INSIDE) free(mem->virt_addr);
    }
    free(memory->address);
    free(memory->device);
    free(memory);
}

static void release(struct context *context) {
    while (context->memories) {
        struct memory *memory = context->memories;
        context->memories = memory->next;
        discard(memory);
    }
    close(context->connection);
    pthread_mutex_destroy(&context->busy);
    free(context->tensors);
    free(context->bindings);
    free(context);
}

static void drop(struct context *context) {
    pthread_mutex_lock(&registry);
    bool last = --context->references == 0;
    pthread_mutex_unlock(&registry);
    if (last) release(context);
}

rknn_context context_add(int connection, uint32_t flags, const struct description *model, struct tensor *tensors) {
    const char *strict = getenv("VIRTUAL_NPU_STRICT_SYNC");
    struct context *context = calloc(1, sizeof *context);
    struct binding *bindings = calloc((size_t)model->n_input + model->n_output, sizeof *bindings);
    if (!context || !bindings) {
        close(connection);
        free(tensors);
        free(bindings);
        free(context);
        return 0;
    }
    *context = (struct context){.references = 1,
                                .connection = connection,
                                .flags = flags,
                                .strict_sync = strict && strcmp(strict, "1") == 0,
                                .model = *model,
                                .tensors = tensors,
                                .bindings = bindings};
    pthread_mutex_init(&context->busy, NULL);
    pthread_mutex_lock(&registry);
    rknn_context id = context->id = ++last_id;
    context->next = first;
    first = context;
    pthread_mutex_unlock(&registry);
    return id;
}

struct context *context_enter(rknn_context id) {
    pthread_mutex_lock(&registry);
    struct context *context = first;
    while (context && context->id != id) context = context->next;
    if (context) context->references++;
    pthread_mutex_unlock(&registry);
    if (!context) return NULL;
    pthread_mutex_lock(&context->busy);
    if (!context->destroyed) return context;
    context_leave(context); /* it was destroyed while we waited */
    return NULL;
}

void context_leave(struct context *context) {
    pthread_mutex_unlock(&context->busy);
    drop(context);
}

void context_remove(struct context *context) {
    context->destroyed = true;
    pthread_mutex_lock(&registry);
    for (struct context **link = &first; *link; link = &(*link)->next)
        if (*link == context) {
            *link = context->next;
            break;
        }
    pthread_mutex_unlock(&registry);
    drop(context); /* the registry's own reference: the caller's is still there */
}

bool context_is_free_for(const struct context *context, enum interface wanted) {
    if (context->interface == ANY_INTERFACE || context->interface == wanted) return true;
    fprintf(stderr, "E virtual NPU: rknn_set_io_mem and the general calls cannot be used in one context\n");
    return false;
}

bool tensor_settle_input(const struct tensor *tensor, struct binding *how) {
    if (how->pass_through) how->type = (uint32_t)tensor->plain.type;
    if (how->format != RKNN_TENSOR_NC1HWC2) return true;
    if (tensor->native.fmt != RKNN_TENSOR_NC1HWC2 || how->type != (uint32_t)tensor->plain.type) return false;
    if (!how->pass_through) how->format = RKNN_TENSOR_NHWC;
    return true;
}

struct memory *memory_add(struct context *context, void *address, enum memory_kind kind) {
    struct memory *memory = malloc(sizeof *memory);
    if (!memory) return NULL;
    *memory = (struct memory){.next = context->memories, .address = address, .kind = kind};
    context->memories = memory;
    return memory;
}

struct memory *memory_find(const struct context *context, const void *address, enum memory_kind kind) {
    struct memory *memory = context->memories;
    while (memory && (memory->address != address || memory->kind != kind)) memory = memory->next;
    return address ? memory : NULL;
}

bool memory_remove(struct context *context, void *address, enum memory_kind kind) {
    struct memory *memory = memory_find(context, address, kind);
    if (!memory) return false;
    struct memory **link = &context->memories;
    while (*link != memory) link = &(*link)->next;
    *link = memory->next;
    discard(memory);
    return true;
}
