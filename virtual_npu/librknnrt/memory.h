/* Tensor memory that is bound to inputs and outputs, as a run reads and writes it. */
#ifndef MEMORY_H
#define MEMORY_H

#include "context.h"
#include "exchange.h"

/* Whether weights and inner tensors have the memory that the flags of rknn_init leave to the caller. */
bool memory_is_complete(const struct context *context);

/* What the NPU reads of a bound input. */
void *memory_input(const struct context *context, const struct binding *bound);

/* Write a bound output as the NPU does; returns a code. */
int memory_write_output(const struct context *context, const struct binding *bound, const struct answer *answer);

#endif
