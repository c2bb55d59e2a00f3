/* The part of Rockchip's C API that this library offers, declared anew.
 *
 * Names, values and layouts follow the public description of the API: Rockchip's "RKNPU API Reference, RKNNRT",
 * chapters on data structures and error codes, and the item pages of the Rust binding rknpu2-sys on docs.rs.
 * Only 64-bit machines: there a context is a 64-bit number.
 */
#ifndef RKNN_ABI_H
#define RKNN_ABI_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t rknn_context;

enum {
    RKNN_SUCC = 0,
    RKNN_ERR_FAIL = -1,
    RKNN_ERR_DEVICE_UNAVAILABLE = -3,
    RKNN_ERR_MALLOC_FAIL = -4,
    RKNN_ERR_PARAM_INVALID = -5,
    RKNN_ERR_MODEL_INVALID = -6,
    RKNN_ERR_CTX_INVALID = -7,
    RKNN_ERR_INPUT_INVALID = -8,
    RKNN_ERR_OUTPUT_INVALID = -9
};

enum { RKNN_MAX_DIMS = 16, RKNN_MAX_NAME_LEN = 256 };

/* Of rknn_init; RKNN_FLAG_ALL are those that the reference of 2.3.2 has, priorities (1, 2) among them. */
enum {
    RKNN_FLAG_MEM_ALLOC_OUTSIDE = 0x10,
    RKNN_FLAG_SHARE_WEIGHT_MEM = 0x20,
    RKNN_FLAG_COLLECT_MODEL_INFO_ONLY = 0x100,
    RKNN_FLAG_INTERNAL_ALLOC_OUTSIDE = 0x200,
    RKNN_FLAG_DISABLE_FLUSH_INPUT_MEM_CACHE = 0x4000,
    RKNN_FLAG_DISABLE_FLUSH_OUTPUT_MEM_CACHE = 0x8000,
    RKNN_FLAG_ALL = 0x3ffff
};

enum {
    RKNN_QUERY_IN_OUT_NUM = 0,
    RKNN_QUERY_INPUT_ATTR = 1,
    RKNN_QUERY_OUTPUT_ATTR = 2,
    RKNN_QUERY_PERF_RUN = 4,
    RKNN_QUERY_SDK_VERSION = 5,
    RKNN_QUERY_MEM_SIZE = 6,
    RKNN_QUERY_CUSTOM_STRING = 7,
    RKNN_QUERY_NATIVE_INPUT_ATTR = 8,
    RKNN_QUERY_NATIVE_OUTPUT_ATTR = 9,
    RKNN_QUERY_NATIVE_NHWC_INPUT_ATTR = 10,
    RKNN_QUERY_NATIVE_NHWC_OUTPUT_ATTR = 11,
    RKNN_QUERY_CURRENT_INPUT_ATTR = 14,
    RKNN_QUERY_CURRENT_OUTPUT_ATTR = 15,
    RKNN_QUERY_CURRENT_NATIVE_INPUT_ATTR = 16,
    RKNN_QUERY_CURRENT_NATIVE_OUTPUT_ATTR = 17
};

enum {
    RKNN_TENSOR_FLOAT32 = 0,
    RKNN_TENSOR_FLOAT16 = 1,
    RKNN_TENSOR_INT8 = 2,
    RKNN_TENSOR_UINT8 = 3,
    RKNN_TENSOR_INT16 = 4,
    RKNN_TENSOR_UINT16 = 5,
    RKNN_TENSOR_INT32 = 6,
    RKNN_TENSOR_UINT32 = 7,
    RKNN_TENSOR_INT64 = 8,
    RKNN_TENSOR_BOOL = 9
};

enum { RKNN_TENSOR_NCHW = 0, RKNN_TENSOR_NHWC = 1, RKNN_TENSOR_NC1HWC2 = 2, RKNN_TENSOR_UNDEFINED = 3 };

enum { RKNN_TENSOR_MEMORY_FLAGS_ALLOC_INSIDE = 1, RKNN_TENSOR_MEMORY_FLAGS_FROM_FD = 2 };

enum { RKNN_MEMORY_SYNC_TO_DEVICE = 1, RKNN_MEMORY_SYNC_FROM_DEVICE = 2, RKNN_MEMORY_SYNC_BIDIRECTIONAL = 3 };

typedef struct {
    uint32_t n_input;
    uint32_t n_output;
} rknn_input_output_num;

typedef struct {
    uint32_t index;
    uint32_t n_dims;
    uint32_t dims[RKNN_MAX_DIMS];
    char name[RKNN_MAX_NAME_LEN];
    uint32_t n_elems;
    uint32_t size;
    int32_t fmt;
    int32_t type;
    int32_t qnt_type;
    int8_t fl;
    int32_t zp;
    float scale;
    uint32_t w_stride;
    uint32_t size_with_stride;
    uint8_t pass_through;
    uint32_t h_stride;
} rknn_tensor_attr;

typedef struct {
    int64_t run_duration; /* microseconds */
} rknn_perf_run;

typedef struct {
    char api_version[256];
    char drv_version[256];
} rknn_sdk_version;

typedef struct {
    uint32_t total_weight_size;
    uint32_t total_internal_size;
    uint64_t total_dma_allocated_size;
    uint32_t total_sram_size;
    uint32_t free_sram_size;
    uint32_t reserved[10];
} rknn_mem_size;

typedef struct {
    char string[1024];
} rknn_custom_string;

typedef struct {
    void *virt_addr;
    uint64_t phys_addr;
    int32_t fd;
    int32_t offset;
    uint32_t size;
    uint32_t flags;
    void *priv_data;
} rknn_tensor_mem;

typedef struct {
    uint32_t index;
    void *buf;
    uint32_t size;
    uint8_t pass_through;
    int32_t type;
    int32_t fmt;
} rknn_input;

typedef struct {
    uint8_t want_float;
    uint8_t is_prealloc;
    uint32_t index;
    void *buf;
    uint32_t size;
} rknn_output;

typedef struct {
    rknn_context ctx;
    int32_t real_model_offset;
    uint32_t real_model_size;
    int32_t model_buffer_fd;
    uint32_t model_buffer_flags;
    uint8_t reserved[112];
} rknn_init_extend;

static_assert(sizeof(void *) == 8, "the layouts below are those of 64-bit machines");
static_assert(sizeof(rknn_tensor_attr) == 376 && offsetof(rknn_tensor_attr, zp) == 352, "rknn_tensor_attr");
static_assert(sizeof(rknn_input) == 32 && sizeof(rknn_output) == 24, "rknn_input, rknn_output");
static_assert(sizeof(rknn_tensor_mem) == 40 && sizeof(rknn_init_extend) == 136, "rknn_tensor_mem, rknn_init_extend");
static_assert(sizeof(rknn_mem_size) == 64, "rknn_mem_size");

#define RKNN_API __attribute__((visibility("default")))

RKNN_API int rknn_init(rknn_context *context, void *model, uint32_t size, uint32_t flag, rknn_init_extend *extend);
RKNN_API int rknn_dup_context(rknn_context *context_in, rknn_context *context_out);
RKNN_API int rknn_destroy(rknn_context context);
RKNN_API int rknn_query(rknn_context context, int command, void *info, uint32_t size);
RKNN_API int rknn_set_core_mask(rknn_context context, int core_mask);
RKNN_API int rknn_set_batch_core_num(rknn_context context, int core_num);
RKNN_API int rknn_set_input_shape(rknn_context context, rknn_tensor_attr *attr);
RKNN_API int rknn_set_input_shapes(rknn_context context, uint32_t n_inputs, rknn_tensor_attr attr[]);
RKNN_API int rknn_inputs_set(rknn_context context, uint32_t n_inputs, rknn_input inputs[]);
RKNN_API int rknn_run(rknn_context context, void *extend);
RKNN_API int rknn_wait(rknn_context context, void *extend);
RKNN_API int rknn_outputs_get(rknn_context context, uint32_t n_outputs, rknn_output outputs[], void *extend);
RKNN_API int rknn_outputs_release(rknn_context context, uint32_t n_outputs, rknn_output outputs[]);
RKNN_API rknn_tensor_mem *rknn_create_mem(rknn_context context, uint32_t size);
RKNN_API rknn_tensor_mem *rknn_create_mem2(rknn_context context, uint64_t size, uint64_t flags);
RKNN_API rknn_tensor_mem *rknn_create_mem_from_fd(rknn_context context, int32_t fd, void *virt_addr, uint32_t size,
                                                  int32_t offset);
RKNN_API int rknn_destroy_mem(rknn_context context, rknn_tensor_mem *mem);
RKNN_API int rknn_set_io_mem(rknn_context context, rknn_tensor_mem *mem, rknn_tensor_attr *attr);
RKNN_API int rknn_set_weight_mem(rknn_context context, rknn_tensor_mem *mem);
RKNN_API int rknn_set_internal_mem(rknn_context context, rknn_tensor_mem *mem);
RKNN_API int rknn_mem_sync(rknn_context context, rknn_tensor_mem *mem, int mode);

#endif
