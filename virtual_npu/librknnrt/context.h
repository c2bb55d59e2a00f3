/* Contexts: numbered, never reused, one caller at a time in each; and the memory that each has given out. */
#ifndef CONTEXT_H
#define CONTEXT_H

#include <pthread.h>
#include <stdbool.h>

#include "rknn_abi.h"

/* What the server tells of a model: this, then plain and native attributes of each input, then of each output. */
struct description {
    uint8_t key[16];
    uint32_t n_input;
    uint32_t n_output;
    uint32_t weight_size;
    uint32_t internal_size;
    char custom_string[1024];
};

struct tensor {
    rknn_tensor_attr plain;
    rknn_tensor_attr native;
};

/* A tensor bound to memory by rknn_set_io_mem. */
struct binding {
    rknn_tensor_mem *mem; /* NULL: not bound */
    uint32_t type;
    uint32_t format;
    uint32_t pass_through;
    uint32_t size;
};

enum memory_kind { OUTPUT_BUFFER, TENSOR_MEMORY };

struct memory {
    struct memory *next;
    void *address;
    enum memory_kind kind;
};

struct context {
    rknn_context id;
    struct context *next;
    unsigned references; /* guarded by the registry's lock */
    bool destroyed;      /* guarded by `busy`, as is all that follows */
    pthread_mutex_t busy;
    int connection;
    struct description model;
    struct tensor *tensors; /* inputs, then outputs */
    struct binding *bindings;
    struct memory *memories;
    int64_t run_duration;
};

/* Takes over the connection and the tensors, on failure too. Returns the new id, or 0 when memory is short. */
rknn_context context_add(int connection, const struct description *model, struct tensor *tensors);

/* Returns the context with its lock held, or NULL when there is none of that id. */
struct context *context_enter(rknn_context id);
void context_leave(struct context *context);

/* Ends the life of a context that has been entered; context_leave is still due. */
void context_remove(struct context *context);

/* Remember memory given out, so that it can be given back once. False when memory is short. */
bool memory_add(struct context *context, void *address, enum memory_kind kind);
bool memory_known(const struct context *context, const void *address, enum memory_kind kind);
/* Free it; false when it is not ours, or not any more. */
bool memory_remove(struct context *context, void *address, enum memory_kind kind);

#endif
