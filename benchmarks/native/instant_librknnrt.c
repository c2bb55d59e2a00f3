/* A librknnrt.so that computes nothing: every call that a session makes, and a run that spins SPIN_US microseconds.
 *
 * ROWS rows of CHANNELS channels and 10 outputs, of the TYPE (RKNN_TENSOR_*) that the environment names at rknn_init.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rknn_abi.h"

enum { OUTPUTS = 10 };
static uint32_t rows, channels;
static int type, spin_us;
static char *taken; /* where inputs_set copies to, as the vendor's does */

static int from_environment(const char *name, int otherwise) {
    const char *value = getenv(name);
    return value ? atoi(value) : otherwise;
}

int rknn_init(rknn_context *context, void *model, uint32_t size, uint32_t flag, rknn_init_extend *extend) {
    (void)model, (void)size, (void)flag, (void)extend;
    rows = (uint32_t)from_environment("ROWS", 1);
    channels = (uint32_t)from_environment("CHANNELS", 64);
    type = from_environment("TYPE", RKNN_TENSOR_FLOAT16);
    spin_us = from_environment("SPIN_US", 0);
    taken = realloc(taken, (size_t)rows * channels * sizeof(float));
    return rknn_dup_context(context, context);
}

int rknn_dup_context(rknn_context *context_in, rknn_context *context_out) {
    static rknn_context last;
    (void)context_in;
    *context_out = ++last;
    return RKNN_SUCC;
}

int rknn_query(rknn_context context, int command, void *info, uint32_t size) {
    (void)context;
    memset(info, 0, size);
    if (command == RKNN_QUERY_IN_OUT_NUM) {
        *(rknn_input_output_num *)info = (rknn_input_output_num){1, 1};
        return RKNN_SUCC;
    }
    bool input = command == RKNN_QUERY_INPUT_ATTR || command == RKNN_QUERY_NATIVE_INPUT_ATTR;
    bool native = command == RKNN_QUERY_NATIVE_INPUT_ATTR || command == RKNN_QUERY_NATIVE_OUTPUT_ATTR;
    uint32_t width = input ? channels : OUTPUTS, item = type == RKNN_TENSOR_INT8 ? 1 : 2, lane = 16 / item;
    uint32_t planes = (width + lane - 1) / lane;
    rknn_tensor_attr attr = {.fmt = native  ? RKNN_TENSOR_NC1HWC2
                                    : input ? RKNN_TENSOR_NHWC
                                            : RKNN_TENSOR_NCHW,
                             .type = type,
                             .qnt_type = type == RKNN_TENSOR_FLOAT16 ? 0 : 2,
                             .scale = 0.03f,
                             .zp = type == RKNN_TENSOR_INT8 ? 3 : 0,
                             .n_dims = native ? 5 : 4,
                             .dims = {1, native ? planes : width, rows, 1, lane},
                             .n_elems = rows * (native ? planes * lane : width)};
    attr.size = attr.size_with_stride = attr.n_elems * item;
    memcpy(info, &attr, sizeof attr);
    return RKNN_SUCC;
}

int rknn_inputs_set(rknn_context context, uint32_t n_inputs, rknn_input inputs[]) {
    (void)context, (void)n_inputs;
    memcpy(taken, inputs->buf, inputs->size);
    return RKNN_SUCC;
}

int rknn_run(rknn_context context, void *extend) {
    (void)context, (void)extend;
    struct timespec start, now;
    for (clock_gettime(CLOCK_MONOTONIC, &start), now = start;
         (now.tv_sec - start.tv_sec) * 1e6 + (now.tv_nsec - start.tv_nsec) * 1e-3 < spin_us;)
        clock_gettime(CLOCK_MONOTONIC, &now);
    return RKNN_SUCC;
}

int rknn_outputs_get(rknn_context context, uint32_t n_outputs, rknn_output outputs[], void *extend) {
    (void)context, (void)n_outputs, (void)extend;
    memset(outputs->buf, 0, outputs->size);
    return RKNN_SUCC;
}

rknn_tensor_mem *rknn_create_mem(rknn_context context, uint32_t size) {
    (void)context;
    rknn_tensor_mem *mem = calloc(1, sizeof *mem);
    *mem = (rknn_tensor_mem){.virt_addr = aligned_alloc(4096, (size + 4095u) & ~4095u), .size = size};
    return memset(mem->virt_addr, 0, size), mem;
}

int rknn_destroy_mem(rknn_context context, rknn_tensor_mem *mem) {
    (void)context;
    free(mem->virt_addr);
    free(mem);
    return RKNN_SUCC;
}

int rknn_outputs_release(rknn_context context, uint32_t n_outputs, rknn_output outputs[]) {
    return (void)context, (void)n_outputs, (void)outputs, RKNN_SUCC;
}

int rknn_set_io_mem(rknn_context context, rknn_tensor_mem *mem, rknn_tensor_attr *attr) {
    return (void)context, (void)mem, (void)attr, RKNN_SUCC;
}

int rknn_mem_sync(rknn_context context, rknn_tensor_mem *mem, int mode) {
    return (void)context, (void)mem, (void)mode, RKNN_SUCC;
}

int rknn_set_core_mask(rknn_context context, int core_mask) { return (void)context, (void)core_mask, RKNN_SUCC; }

int rknn_destroy(rknn_context context) { return (void)context, RKNN_SUCC; }
