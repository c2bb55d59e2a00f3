/* Rockchip's C API over the virtual NPU: the model lives in a server, this library forwards to it.
 *
 * Every function may be called from any thread; calls on one context take turns. What the API leaves open is decided
 * for safety: a number that names no context, memory given back twice, sizes that do not fit: a code, never a crash.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "context.h"
#include "exchange.h"
#include "memory.h"
#include "rknn_abi.h"

/* The newest runtime whose calls are offered here; the text is what tools look for in the file. */
__attribute__((used)) static const char library_version[] = "librknnrt version: 2.5.0 (virtual NPU)";
enum { VERSION_STARTS = sizeof "librknnrt version: " - 1, TENSOR_LIMIT = 256 };

static struct tensor *output_of(const struct context *context, uint32_t index) {
    return &context->tensors[context->model.n_input + index];
}

/* Read a model out of a file; NULL when it cannot be read. */
static void *read_file(const char *path, uint32_t *size) {
    FILE *file = fopen(path, "rb");
    long length;
    void *data = NULL;
    if (!file) return NULL;
    if (!fseek(file, 0, SEEK_END) && (length = ftell(file)) > 0 && length <= INT32_MAX && !fseek(file, 0, SEEK_SET) &&
        (data = malloc((size_t)length))) {
        *size = (uint32_t)length;
        if (fread(data, 1, *size, file) != *size) {
            free(data);
            data = NULL;
        }
    }
    fclose(file);
    return data;
}

/* Open a context by a request that the server answers with a description. */
static int open_context(uint32_t operation, uint32_t flags, const struct iovec *request, rknn_context *context) {
    int connection = exchange_connect();
    struct answer answer;
    struct description model;
    struct tensor *tensors;
    if (connection < 0) return RKNN_ERR_DEVICE_UNAVAILABLE;
    int code = exchange(connection, operation, request, 1, &answer);
    if (code) {
        close(connection);
        return code;
    }
    code = RKNN_ERR_FAIL;
    if (answer.size >= sizeof model) {
        memcpy(&model, answer.data, sizeof model);
        size_t rest = answer.size - sizeof model;
        bool sound = model.n_input <= TENSOR_LIMIT && model.n_output <= TENSOR_LIMIT &&
                     rest == (model.n_input + model.n_output) * sizeof *tensors;
        if (sound && (tensors = malloc(rest ? rest : 1))) {
            memcpy(tensors, (char *)answer.data + sizeof model, rest);
            *context = context_add(connection, flags, &model, tensors);
            free(answer.data);
            return *context ? RKNN_SUCC : RKNN_ERR_MALLOC_FAIL;
        }
        if (sound) code = RKNN_ERR_MALLOC_FAIL;
    }
    free(answer.data);
    close(connection);
    return code;
}

int rknn_init(rknn_context *context, void *model, uint32_t size, uint32_t flag, rknn_init_extend *extend) {
    if (!context || !model || flag & ~(uint32_t)RKNN_FLAG_ALL) return RKNN_ERR_PARAM_INVALID;
    if (flag & RKNN_FLAG_SHARE_WEIGHT_MEM && !(extend && extend->ctx)) return RKNN_ERR_PARAM_INVALID;
    *context = 0;
    void *read = size ? NULL : read_file(model, &size);
    if (!size) return RKNN_ERR_MODEL_INVALID;
    char *data = read ? read : model;
    int code = RKNN_ERR_PARAM_INVALID;
    if (!extend || !extend->real_model_size) {
        code = open_context(OPERATION_LOAD, flag, &(struct iovec){data, size}, context);
    } else if (extend->real_model_offset >= 0 && (uint32_t)extend->real_model_offset <= size &&
               extend->real_model_size <= size - (uint32_t)extend->real_model_offset) {
        struct iovec part = {data + extend->real_model_offset, extend->real_model_size};
        code = open_context(OPERATION_LOAD, flag, &part, context);
    }
    free(read);
    return code;
}

int rknn_dup_context(rknn_context *context_in, rknn_context *context_out) {
    uint8_t key[sizeof((struct description *)0)->key];
    if (!context_in || !context_out) return RKNN_ERR_PARAM_INVALID;
    struct context *context = context_enter(*context_in);
    if (!context) return RKNN_ERR_CTX_INVALID;
    memcpy(key, context->model.key, sizeof key);
    *context_out = 0;
    /* Inside, so that the model cannot go away meanwhile. */
    int code = open_context(OPERATION_JOIN, context->flags, &(struct iovec){key, sizeof key}, context_out);
    context_leave(context);
    return code;
}

int rknn_destroy(rknn_context id) {
    struct context *context = context_enter(id);
    if (!context) return RKNN_ERR_CTX_INVALID;
    context_remove(context);
    context_leave(context);
    return RKNN_SUCC;
}

static int copy_answer(void *info, uint32_t room, const void *answer, size_t size) {
    if (room < size) return RKNN_ERR_PARAM_INVALID;
    memcpy(info, answer, size);
    return RKNN_SUCC;
}

enum attribute { PLAIN, NATIVE, NATIVE_NHWC };

static int query_attr(const struct context *context, void *info, uint32_t size, bool output, enum attribute which) {
    uint32_t index;
    if (size < sizeof(rknn_tensor_attr)) return RKNN_ERR_PARAM_INVALID;
    memcpy(&index, info, sizeof index);
    if (index >= (output ? context->model.n_output : context->model.n_input)) return RKNN_ERR_PARAM_INVALID;
    const struct tensor *tensor = output ? output_of(context, index) : &context->tensors[index];
    const rknn_tensor_attr *attr = which == PLAIN ? &tensor->plain : which == NATIVE ? &tensor->native : &tensor->nhwc;
    return copy_answer(info, size, attr, sizeof *attr);
}

static int query(const struct context *context, int command, void *info, uint32_t size) {
    const struct description *model = &context->model;
    switch (command) {
    case RKNN_QUERY_IN_OUT_NUM: {
        rknn_input_output_num found = {model->n_input, model->n_output};
        return copy_answer(info, size, &found, sizeof found);
    }
    case RKNN_QUERY_INPUT_ATTR:
    case RKNN_QUERY_CURRENT_INPUT_ATTR:
        return query_attr(context, info, size, false, PLAIN);
    case RKNN_QUERY_OUTPUT_ATTR:
    case RKNN_QUERY_CURRENT_OUTPUT_ATTR:
        return query_attr(context, info, size, true, PLAIN);
    case RKNN_QUERY_NATIVE_INPUT_ATTR:
    case RKNN_QUERY_CURRENT_NATIVE_INPUT_ATTR:
        return query_attr(context, info, size, false, NATIVE);
    case RKNN_QUERY_NATIVE_OUTPUT_ATTR:
    case RKNN_QUERY_CURRENT_NATIVE_OUTPUT_ATTR:
        return query_attr(context, info, size, true, NATIVE);
    case RKNN_QUERY_NATIVE_NHWC_INPUT_ATTR:
        return query_attr(context, info, size, false, NATIVE_NHWC);
    case RKNN_QUERY_NATIVE_NHWC_OUTPUT_ATTR:
        return query_attr(context, info, size, true, NATIVE_NHWC);
    case RKNN_QUERY_PERF_RUN: {
        rknn_perf_run found = {context->run_duration};
        return copy_answer(info, size, &found, sizeof found);
    }
    case RKNN_QUERY_SDK_VERSION: {
        rknn_sdk_version found = {.drv_version = "0.9.8 (virtual NPU)"};
        strcpy(found.api_version, library_version + VERSION_STARTS);
        return copy_answer(info, size, &found, sizeof found);
    }
    case RKNN_QUERY_MEM_SIZE: {
        if (!(context->flags & (RKNN_FLAG_MEM_ALLOC_OUTSIDE | RKNN_FLAG_COLLECT_MODEL_INFO_ONLY)))
            return RKNN_ERR_PARAM_INVALID;
        rknn_mem_size found = {.total_weight_size = model->weight_size,
                               .total_internal_size = model->internal_size,
                               .total_dma_allocated_size = (uint64_t)model->weight_size + model->internal_size};
        return copy_answer(info, size, &found, sizeof found);
    }
    case RKNN_QUERY_CUSTOM_STRING:
        return copy_answer(info, size, model->custom_string, sizeof model->custom_string);
    default: /* profiles are not collected; a static model has no range of shapes */
        return RKNN_ERR_PARAM_INVALID;
    }
}

int rknn_query(rknn_context id, int command, void *info, uint32_t size) {
    struct context *context = context_enter(id);
    if (!context) return RKNN_ERR_CTX_INVALID;
    int code = info ? query(context, command, info, size) : RKNN_ERR_PARAM_INVALID;
    context_leave(context);
    return code;
}

int rknn_set_core_mask(rknn_context id, int core_mask) {
    struct context *context = context_enter(id);
    struct answer answer;
    if (!context) return RKNN_ERR_CTX_INVALID;
    int code = exchange(context->connection, OPERATION_CORES, &(struct iovec){&core_mask, 4}, 1, &answer);
    free(answer.data);
    context_leave(context);
    return code;
}

int rknn_set_batch_core_num(rknn_context id, int core_num) {
    struct context *context = context_enter(id);
    if (!context) return RKNN_ERR_CTX_INVALID;
    context_leave(context);
    return core_num >= 1 && core_num <= 3 ? RKNN_SUCC : RKNN_ERR_PARAM_INVALID;
}

int rknn_set_input_shapes(rknn_context id, uint32_t n_inputs, rknn_tensor_attr attr[]) {
    struct context *context = context_enter(id);
    if (!context) return RKNN_ERR_CTX_INVALID;
    int code = attr && n_inputs == context->model.n_input ? RKNN_SUCC : RKNN_ERR_PARAM_INVALID;
    for (uint32_t i = 0; !code && i < n_inputs; i++) { /* the model is static: its own shape, or none */
        const rknn_tensor_attr *own = &context->tensors[i].plain;
        if (attr[i].index != i || attr[i].n_dims != own->n_dims || memcmp(attr[i].dims, own->dims, 4 * own->n_dims))
            code = RKNN_ERR_PARAM_INVALID;
    }
    context_leave(context);
    return code;
}

int rknn_set_input_shape(rknn_context id, rknn_tensor_attr *attr) { return rknn_set_input_shapes(id, 1, attr); }

static int send_input(struct context *context, uint32_t index, const struct binding *how, void *data) {
    uint32_t head[] = {index, how->type, how->format, how->pass_through};
    struct iovec parts[] = {{head, sizeof head}, {data, how->size}};
    struct answer answer;
    int code = exchange(context->connection, OPERATION_INPUT, parts, 2, &answer);
    free(answer.data);
    return code;
}

static int fetch_output(struct context *context, uint32_t index, int32_t type, int32_t format, struct answer *answer) {
    uint32_t head[] = {index, (uint32_t)type, (uint32_t)format};
    return exchange(context->connection, OPERATION_OUTPUT, &(struct iovec){head, sizeof head}, 1, answer);
}

int rknn_inputs_set(rknn_context id, uint32_t n_inputs, rknn_input inputs[]) {
    struct context *context = context_enter(id);
    if (!context) return RKNN_ERR_CTX_INVALID;
    bool is_asked = inputs && n_inputs && context_is_free_for(context, GENERAL_INTERFACE);
    int code = !is_asked                           ? RKNN_ERR_PARAM_INVALID
               : n_inputs > context->model.n_input ? RKNN_ERR_INPUT_INVALID
                                                   : RKNN_SUCC;
    for (uint32_t i = 0; !code && i < n_inputs; i++) {
        const rknn_input *input = &inputs[i];
        struct binding how = {.type = (uint32_t)input->type,
                              .format = (uint32_t)input->fmt,
                              .pass_through = input->pass_through,
                              .size = input->size};
        bool is_sound = input->buf && input->size && input->index < context->model.n_input &&
                        tensor_settle_input(&context->tensors[input->index], &how);
        code = is_sound ? send_input(context, input->index, &how, input->buf) : RKNN_ERR_INPUT_INVALID;
        if (!code) context->interface = GENERAL_INTERFACE;
    }
    context_leave(context);
    return code;
}

static int run(struct context *context) {
    const uint32_t inputs = context->model.n_input, all = inputs + context->model.n_output;
    struct answer answer;
    int code = RKNN_SUCC;
    if (context->flags & RKNN_FLAG_COLLECT_MODEL_INFO_ONLY || !memory_is_complete(context)) return RKNN_ERR_FAIL;
    for (uint32_t i = 0; !code && i < inputs; i++) {
        const struct binding *bound = &context->bindings[i];
        if (bound->memory) code = send_input(context, i, bound, memory_input(context, bound));
    }
    if (code || (code = exchange(context->connection, OPERATION_RUN, NULL, 0, &answer))) return code;
    if (answer.size == sizeof context->run_duration) memcpy(&context->run_duration, answer.data, answer.size);
    free(answer.data);
    for (uint32_t i = inputs; !code && i < all; i++) {
        const struct binding *bound = &context->bindings[i];
        if (!bound->memory) continue;
        code = fetch_output(context, i - inputs, (int32_t)bound->type, (int32_t)bound->format, &answer);
        if (!code) code = memory_write_output(context, bound, &answer);
        free(answer.data);
    }
    return code;
}

int rknn_run(rknn_context id, void *extend) {
    struct context *context = context_enter(id);
    (void)extend; /* always waits, as the API's default does */
    if (!context) return RKNN_ERR_CTX_INVALID;
    int code = run(context);
    context_leave(context);
    return code;
}

int rknn_wait(rknn_context id, void *extend) {
    struct context *context = context_enter(id);
    (void)extend;
    if (!context) return RKNN_ERR_CTX_INVALID;
    context_leave(context);
    return RKNN_SUCC;
}

static int get_output(struct context *context, uint32_t index, rknn_output *output) {
    const rknn_tensor_attr *attr = &output_of(context, index)->plain;
    struct answer answer;
    int code = fetch_output(context, index, output->want_float ? RKNN_TENSOR_FLOAT32 : attr->type, attr->fmt, &answer);
    if (code) return code;
    if (output->is_prealloc) {
        if (!output->buf || output->size < answer.size)
            code = RKNN_ERR_OUTPUT_INVALID;
        else
            memcpy(output->buf, answer.data, answer.size);
        free(answer.data);
    } else if (memory_add(context, answer.data, OUTPUT_BUFFER)) {
        output->buf = answer.data;
    } else {
        free(answer.data);
        code = RKNN_ERR_MALLOC_FAIL;
    }
    if (!code) {
        output->index = index;
        output->size = answer.size;
    }
    return code;
}

int rknn_outputs_get(rknn_context id, uint32_t n_outputs, rknn_output outputs[], void *extend) {
    struct context *context = context_enter(id);
    (void)extend;
    if (!context) return RKNN_ERR_CTX_INVALID;
    int code = !outputs || !context_is_free_for(context, GENERAL_INTERFACE) ? RKNN_ERR_PARAM_INVALID
               : n_outputs != context->model.n_output               ? RKNN_ERR_OUTPUT_INVALID
                                                                    : RKNN_SUCC;
    uint32_t got = 0;
    while (!code && got < n_outputs)
        if (!(code = get_output(context, got, &outputs[got]))) got++;
    for (uint32_t i = 0; code && i < got; i++) /* all or none */
        if (!outputs[i].is_prealloc && memory_remove(context, outputs[i].buf, OUTPUT_BUFFER)) outputs[i].buf = NULL;
    context_leave(context);
    return code;
}

int rknn_outputs_release(rknn_context id, uint32_t n_outputs, rknn_output outputs[]) {
    struct context *context = context_enter(id);
    if (!context) return RKNN_ERR_CTX_INVALID;
    int code = outputs ? RKNN_SUCC : RKNN_ERR_PARAM_INVALID;
    for (uint32_t i = 0; outputs && i < n_outputs; i++) {
        if (outputs[i].is_prealloc) continue;
        if (!memory_remove(context, outputs[i].buf, OUTPUT_BUFFER)) code = RKNN_ERR_OUTPUT_INVALID;
        outputs[i].buf = NULL;
    }
    context_leave(context);
    return code;
}
