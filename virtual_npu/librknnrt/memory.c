/* Tensor memory: given out, bound to inputs and outputs, and carried between CPU and NPU. */
#define _GNU_SOURCE
#include "memory.h"

#include <stdlib.h>
#include <string.h>

static uint32_t type_size(int32_t type) {
    static const uint8_t sizes[] = {4, 2, 1, 1, 2, 2, 4, 4, 8, 1}; /* RKNN_TENSOR_FLOAT32 to RKNN_TENSOR_BOOL */
    return type >= 0 && (size_t)type < sizeof sizes ? sizes[type] : 0;
}

static uint8_t *cpu_side(const struct memory *memory) {
    const rknn_tensor_mem *mem = memory->address;
    return (uint8_t *)mem->virt_addr + mem->offset;
}

static uint8_t *npu_side(const struct memory *memory) {
    const rknn_tensor_mem *mem = memory->address;
    return memory->device ? memory->device + mem->offset : cpu_side(memory);
}

/* Whether rknn_run leaves it to rknn_mem_sync to carry a tensor's memory from or to the NPU. */
static bool needs_sync(const struct context *context, bool output) {
    uint32_t flag = output ? RKNN_FLAG_DISABLE_FLUSH_OUTPUT_MEM_CACHE : RKNN_FLAG_DISABLE_FLUSH_INPUT_MEM_CACHE;
    return context->strict_sync || context->flags & flag;
}

bool memory_is_complete(const struct context *context) {
    bool weights = context->flags & RKNN_FLAG_MEM_ALLOC_OUTSIDE;
    bool internal = weights || context->flags & RKNN_FLAG_INTERNAL_ALLOC_OUTSIDE;
    return (!weights || context->has_weight_memory) && (!internal || context->has_internal_memory);
}

/* What the CPU sees of an output until it has been synchronized: NaN as float16 or float32, -1 as an integer. */
enum { STALE = 0xff };

void *memory_input(const struct context *context, const struct binding *bound) {
    if (bound->memory->device && !needs_sync(context, false))
        memcpy(npu_side(bound->memory), cpu_side(bound->memory), bound->size);
    return npu_side(bound->memory);
}

int memory_write_output(const struct context *context, const struct binding *bound, const struct answer *answer) {
    if (answer->size > bound->size) return RKNN_ERR_OUTPUT_INVALID;
    memcpy(npu_side(bound->memory), answer->data, answer->size);
    if (!bound->memory->device) return RKNN_SUCC;
    if (needs_sync(context, true))
        memset(cpu_side(bound->memory), STALE, answer->size);
    else
        memcpy(cpu_side(bound->memory), answer->data, answer->size);
    return RKNN_SUCC;
}

/* Give out memory: our own when `data` is NULL. */
static rknn_tensor_mem *create_mem(rknn_context id, uint64_t size, int32_t fd, void *data, int32_t offset) {
    struct context *context = size && size <= UINT32_MAX ? context_enter(id) : NULL;
    if (!context) return NULL;
    bool apart = needs_sync(context, false) || needs_sync(context, true);
    rknn_tensor_mem *mem = calloc(1, sizeof *mem);
    void *inside = data ? NULL : calloc(1, size);
    uint8_t *device = apart ? malloc(size) : NULL;
    struct memory *memory = NULL;
    if (mem && (data || inside) && (device || !apart)) memory = memory_add(context, mem, TENSOR_MEMORY);
    if (memory) {
        if (device) memset(device, STALE, size);
        memory->device = device;
        *mem = (rknn_tensor_mem){
            .virt_addr = data ? data : inside,
            .fd = fd,
            .offset = offset,
            .size = (uint32_t)size,
            .flags = data ? RKNN_TENSOR_MEMORY_FLAGS_FROM_FD : RKNN_TENSOR_MEMORY_FLAGS_ALLOC_INSIDE};
    } else {
        free(device);
        free(inside);
        free(mem);
        mem = NULL;
    }
    context_leave(context);
    return mem;
}

rknn_tensor_mem *rknn_create_mem(rknn_context id, uint32_t size) { return create_mem(id, size, -1, NULL, 0); }

rknn_tensor_mem *rknn_create_mem2(rknn_context id, uint64_t size, uint64_t flags) {
    (void)flags; /* caching */
    return create_mem(id, size, -1, NULL, 0);
}

rknn_tensor_mem *rknn_create_mem_from_fd(rknn_context id, int32_t fd, void *virt_addr, uint32_t size, int32_t offset) {
    return virt_addr && offset >= 0 && (uint32_t)offset <= size ? create_mem(id, size, fd, virt_addr, offset) : NULL;
}

int rknn_destroy_mem(rknn_context id, rknn_tensor_mem *mem) {
    struct context *context = context_enter(id);
    if (!context) return RKNN_ERR_CTX_INVALID;
    struct memory *memory = memory_find(context, mem, TENSOR_MEMORY);
    for (uint32_t i = 0; memory && i < context->model.n_input + context->model.n_output; i++)
        if (context->bindings[i].memory == memory) context->bindings[i].memory = NULL;
    int code = memory_remove(context, mem, TENSOR_MEMORY) ? RKNN_SUCC : RKNN_ERR_PARAM_INVALID;
    context_leave(context);
    return code;
}

/* Find the tensor that an attribute was queried of: an index alone does not distinguish inputs from outputs. */
static int64_t find_tensor(const struct context *context, const rknn_tensor_attr *attr) {
    const uint32_t inputs = context->model.n_input, all = inputs + context->model.n_output;
    for (uint32_t i = 0; i < all; i++)
        if (attr->index == (i < inputs ? i : i - inputs) &&
            !strncmp(attr->name, context->tensors[i].plain.name, sizeof attr->name))
            return i;
    return -1;
}

/* Settle how bound memory is read or written; false where the tensor has no such type and layout, or it has no room. */
static bool settle(const struct context *context, uint32_t which, const rknn_tensor_attr *attr, struct binding *how) {
    const struct tensor *tensor = &context->tensors[which];
    const rknn_tensor_mem *mem = how->memory->address;
    bool input = which < context->model.n_input, native = attr->fmt == RKNN_TENSOR_NC1HWC2;
    how->type = (uint32_t)attr->type;
    how->format = (uint32_t)attr->fmt;
    how->pass_through = attr->pass_through;
    if (input && !tensor_settle_input(tensor, how)) return false;
    if (!input && native && (tensor->native.fmt != attr->fmt || attr->type != tensor->plain.type)) return false;
    const rknn_tensor_attr *laid_out = how->format == RKNN_TENSOR_NC1HWC2 ? &tensor->native : &tensor->plain;
    uint64_t size = (uint64_t)laid_out->n_elems * type_size((int32_t)how->type);
    how->size = (uint32_t)size;
    return size && size + (uint32_t)mem->offset <= mem->size;
}

int rknn_set_io_mem(rknn_context id, rknn_tensor_mem *mem, rknn_tensor_attr *attr) {
    struct context *context = context_enter(id);
    if (!context) return RKNN_ERR_CTX_INVALID;
    int code = RKNN_ERR_PARAM_INVALID;
    struct binding how = {.memory = memory_find(context, mem, TENSOR_MEMORY)};
    int64_t found = attr && how.memory ? find_tensor(context, attr) : -1;
    if (found >= 0 && context_is_free_for(context, BOUND_INTERFACE) && settle(context, (uint32_t)found, attr, &how)) {
        context->bindings[found] = how;
        context->interface = BOUND_INTERFACE;
        code = RKNN_SUCC;
    }
    context_leave(context);
    return code;
}

static int accept_mem(rknn_context id, rknn_tensor_mem *mem, bool weights) {
    struct context *context = context_enter(id);
    if (!context) return RKNN_ERR_CTX_INVALID;
    uint32_t needed = weights ? context->model.weight_size : context->model.internal_size;
    bool fits = memory_find(context, mem, TENSOR_MEMORY) && mem->size >= needed;
    if (fits) *(weights ? &context->has_weight_memory : &context->has_internal_memory) = true;
    context_leave(context);
    return fits ? RKNN_SUCC : RKNN_ERR_PARAM_INVALID;
}

/* Where weights and inner tensors lie is the server's affair: the memory is checked and not used. */
int rknn_set_weight_mem(rknn_context id, rknn_tensor_mem *mem) { return accept_mem(id, mem, true); }

int rknn_set_internal_mem(rknn_context id, rknn_tensor_mem *mem) { return accept_mem(id, mem, false); }

int rknn_mem_sync(rknn_context id, rknn_tensor_mem *mem, int mode) {
    struct context *context = context_enter(id);
    if (!context) return RKNN_ERR_CTX_INVALID;
    const struct memory *memory = memory_find(context, mem, TENSOR_MEMORY);
    bool sound = memory && mode >= RKNN_MEMORY_SYNC_TO_DEVICE && mode <= RKNN_MEMORY_SYNC_BIDIRECTIONAL;
    if (sound && memory->device) {
        bool output = false; /* in both directions the NPU's own writing stays */
        for (uint32_t i = 0; i < context->model.n_output; i++)
            output |= context->bindings[context->model.n_input + i].memory == memory;
        bool from_device = mode == RKNN_MEMORY_SYNC_FROM_DEVICE || (mode == RKNN_MEMORY_SYNC_BIDIRECTIONAL && output);
        size_t size = mem->size - (uint32_t)mem->offset;
        if (from_device)
            memcpy(cpu_side(memory), npu_side(memory), size);
        else
            memcpy(npu_side(memory), cpu_side(memory), size);
    }
    context_leave(context);
    return sound ? RKNN_SUCC : RKNN_ERR_PARAM_INVALID;
}
