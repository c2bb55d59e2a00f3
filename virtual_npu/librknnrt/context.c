#define _GNU_SOURCE
#include "context.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t registry = PTHREAD_MUTEX_INITIALIZER;
static struct context *first;
static rknn_context last_id;

static void discard(void *address, enum memory_kind kind) {
    if (kind == TENSOR_MEMORY) {
        rknn_tensor_mem *mem = address;
        if (mem->flags & RKNN_TENSOR_MEMORY_FLAGS_ALLOC_INSIDE) free(mem->virt_addr);
    }
    free(address);
}

static void release(struct context *context) {
    while (context->memories) {
        struct memory *memory = context->memories;
        context->memories = memory->next;
        discard(memory->address, memory->kind);
        free(memory);
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

rknn_context context_add(int connection, const struct description *model, struct tensor *tensors) {
    struct context *context = calloc(1, sizeof *context);
    struct binding *bindings = calloc((size_t)model->n_input + model->n_output, sizeof *bindings);
    if (!context || !bindings) {
        close(connection);
        free(tensors);
        free(bindings);
        free(context);
        return 0;
    }
    *context = (struct context){
        .references = 1, .connection = connection, .model = *model, .tensors = tensors, .bindings = bindings};
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

bool memory_add(struct context *context, void *address, enum memory_kind kind) {
    struct memory *memory = malloc(sizeof *memory);
    if (!memory) return false;
    *memory = (struct memory){context->memories, address, kind};
    context->memories = memory;
    return true;
}

bool memory_known(const struct context *context, const void *address, enum memory_kind kind) {
    const struct memory *memory = context->memories;
    while (memory && (memory->address != address || memory->kind != kind)) memory = memory->next;
    return address && memory;
}

bool memory_remove(struct context *context, void *address, enum memory_kind kind) {
    for (struct memory **link = &context->memories; *link; link = &(*link)->next) {
        struct memory *memory = *link;
        if (memory->address != address || memory->kind != kind) continue;
        *link = memory->next;
        discard(address, kind);
        free(memory);
        return true;
    }
    return false;
}
