/* Contexts: numbered, never reused, one caller at a time in each; and the memory that each has given out. */
#ifndef CONTEXT_H
#define CONTEXT_H

#include <pthread.h>
#include <stdbool.h>

#include "rknn_abi.h"

/* The server's description of a model: this, then the attributes of each input, then of each output. */
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
    rknn_tensor_attr nhwc;
};

/* How an input's data are to be read, or an output's written; `memory` is set by rknn_set_io_mem. */
struct binding {
    struct memory *memory; /* NULL: not bound */
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
    uint8_t *device; /* what the NPU sees of tensor memory; NULL where that is what the CPU sees */
};

/* "General API and zero-copy API cannot be called together" (RKNPU user guide 2.3.0, chapter 5). */
enum interface { ANY_INTERFACE, GENERAL_INTERFACE, BOUND_INTERFACE };

struct context {
    rknn_context id;
    struct context *next;
    unsigned references; /* guarded by the registry's lock */
    bool destroyed;      /* guarded by `busy`, as is all that follows */
    pthread_mutex_t busy;
    int connection;
    uint32_t flags; /* of rknn_init */
    bool strict_sync; /* only rknn_mem_sync carries memory between CPU and NPU */
    bool has_weight_memory, has_internal_memory;
    enum interface interface;
    struct description model;
    struct tensor *tensors; /* inputs, then outputs */
    struct binding *bindings;
    struct memory *memories;
    int64_t run_duration;
};

/* Takes over the connection and the tensors, on failure too. Returns the new id, or 0 when memory is short. */
rknn_context context_add(int connection, uint32_t flags, const struct description *model, struct tensor *tensors);

/* Returns the context with its lock held, or NULL when there is none of that id. */
struct context *context_enter(rknn_context id);
void context_leave(struct context *context);

/* Ends the life of a context that has been entered; context_leave is still due. */
void context_remove(struct context *context);

/* Whether a context that has used one interface may be asked for another. */
bool context_is_free_for(const struct context *context, enum interface wanted);

/* Settle how an input's data are read. NC1HWC2 holds the model's own type alone, and is taken as it is only with
 * pass_through; without it the data are NHWC, which the CPU converts (RKNPU user guide 2.3.0, chapter 5). */
bool tensor_settle_input(const struct tensor *tensor, struct binding *how);

/* Remember memory given out, so that it can be given back once. NULL when memory is short. */
struct memory *memory_add(struct context *context, void *address, enum memory_kind kind);
struct memory *memory_find(const struct context *context, const void *address, enum memory_kind kind);
/* Free it; false when it is not ours, or not any more. */
bool memory_remove(struct context *context, void *address, enum memory_kind kind);

#endif
