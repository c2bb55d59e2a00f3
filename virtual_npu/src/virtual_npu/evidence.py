"""How each rule of the executor's arithmetic is known: measured on silicon, from the simulator, or assumed.

``docs/virtual-npu.md`` shows the same as a table, and a test holds that the two agree.
"""

from __future__ import annotations

from typing import Final

from virtual_npu.rule import Evidence, Kind, Rule, count_by_kind, follows, sentence

__all__ = ["RULES", "Evidence", "Kind", "Rule", "count_by_kind", "follows", "sentence", "table"]


def table() -> str:
    """Return all rules as a Markdown table."""
    lines = ["| unit | rule | changes | evidence | question of the probe |", "|---|---|---|---|---|"]
    for rule in RULES:
        question = f"`{rule.question}`" if rule.question else ""
        evidence = f"[{rule.evidence.kind.value}] {rule.evidence}"
        lines.append(f"| {rule.unit} | {rule.text} | {rule.changes} | {evidence} | {question} |")
    return "\n".join(lines) + "\n"


_NOTES: Final = "github.com/gregordinary/rockchip-npu-notes at 224b1390"
_CONVERTED: Final = "RK3588, programs with CVT_TYPE 1; the vendor's have 0, which is taken to be alike"
_SIMULATED: Final = "480 files of four toolkits, compared with the vendor's simulator"


def _measured(page: str, extent: str) -> Evidence:
    return Evidence(Kind.SILICON, f"{_NOTES}, {page}", "September 2026", extent)


def _simulated(what: str = _SIMULATED) -> Evidence:
    return Evidence(Kind.SIMULATOR, what)


def _assumed(why: str) -> Evidence:
    return Evidence(Kind.ASSUMED, why)


FLOAT16_SUMS: Final = Rule(
    "float16_sums",
    "CORE",
    "Each aligned group of 32 float16 products is summed exactly and rounded once to float32; the groups are "
    "added in order, from zero.",
    "0.02 to 0.14 % of float16 outputs against one rounding, by a step",
    _measured("chips/rk3588.md", "131 million elements, two RK3588, three cores"),
    "sum_order",
)
LANE_ZERO: Final = Rule(
    "lane_zero",
    "CORE",
    "On output channels that are multiples of 16 one group's sum is now and then low by 2^(4 C - 44); not "
    "computed, allowed for.",
    "single outputs of a real board, by a step at most",
    _measured("chips/rk3588.md", "1 in 16,384 such outputs of attention data on core 2"),
    "lane_zero",
)
INTEGER_SUMS: Final = Rule(
    "integer_sums",
    "CORE",
    "Sums of int8 and int16 products are exact; past 32 bits they saturate.",
    "every integer output",
    _measured("chips/rk3588.md and encodings/out-cvt-converter.md", "RK3588, all cores"),
    "int16_sums",
)
SHORTENED_SUMS: Final = Rule(
    "shortened_sums",
    "CORE",
    "CLIP_TRUNCATE drops a sum's lowest bits, halves to even, before the bias is added.",
    "int8 layers whose biases pass 32 bits",
    _simulated("int8 files with large biases, compared with the vendor's simulator"),
)
SPREAD_POINT: Final = Rule(
    "spread_point",
    "CORE",
    "A depthwise convolution of one point multiplies each channel by its weight.",
    "MatMul networks of one feature",
    _simulated(),
)
FLOAT_ADDENDS: Final = Rule(
    "float_addends",
    "DPU",
    "A float16 layer's bias is added to the sum in float32.",
    "every float16 output, by a step at most",
    _simulated(),
    "bias_precision",
)
FLOAT_FACTORS: Final = Rule(
    "float_factors",
    "DPU",
    "A float program's factor multiplies in float32, and BN multiplies before it adds.",
    "the place of a lookup, by 2^-24 of it",
    _assumed("softmax's exponential meets its table's range so and not otherwise"),
)
CHANNEL_SCALING: Final = Rule(
    "channel_scaling",
    "DPU",
    "BS adds, then multiplies, and shifts with halves to even, by a field for products below zero and one "
    "for others; the result saturates at 32 bits.",
    "0.006 % of int8 outputs against a shift that keeps all bits, by a step",
    _measured("encodings/out-cvt-converter.md", "RK3588 and RK3576; rounding also in ork-driver"),
    "int8_output_rounding",
)
NEGATIVE_FACTORS: Final = Rule(
    "negative_factors",
    "DPU",
    "MUL_PRELU multiplies values below 0 alone.",
    "LeakyRelu, PRelu and Abs",
    _assumed("NVDLA's unit of that name; graphs with these layers meet float64 so"),
)
KERNEL_OFFSETS: Final = Rule(
    "kernel_offsets",
    "DPU",
    "A kernel's offset counts with OW_SRC set, and is added to each of its weights; else one register holds "
    "it for all.",
    "int8 layers with asymmetric weights",
    _measured("encodings/out-cvt-converter.md", "RK3588"),
)
INTEGER_NORM: Final = Rule(
    "integer_norm",
    "DPU",
    "BN of an integer program multiplies, adds and shifts and keeps all bits.",
    "the place of an integer lookup, by a part of its step",
    _assumed("nothing was published of it; NVDLA's unit of that name rounds"),
)
RELU: Final = Rule(
    "relu",
    "DPU",
    "ReLU is the larger of a value and 0; a limit above is a number of the values' own kind.",
    "every ReLU",
    _simulated(),
    "relu_of_nan",
)
ELEMENTWISE: Final = Rule(
    "elementwise",
    "DPU",
    "Sums, differences and products of two float16 values are exact and rounded once.",
    "refined tanh and logistic",
    _measured("chips/rk3588.md", "up to 40,000 elements an operation, RK3588"),
    "division",
)
FUSED_ADDITION: Final = Rule(
    "fused_addition",
    "DPU",
    "A float16 layer's sum is not rounded before it is added to another layer's result, or multiplied by it.",
    "outputs in two parts by an added product: the second part",
    _assumed("no register asks for a rounding there; the vendor's simulator, layer by layer, has one"),
    "conv_add",
)
LARGER_OF_TWO: Final = Rule(
    "larger_of_two",
    "DPU",
    "EW_ALU_ALGO 0 gives the larger of two elements.",
    "Max of two convolutions",
    _assumed("NVDLA numbers its algorithms so; graphs with Max meet float64 so"),
)
DIVISION: Final = Rule(
    "division",
    "DPU",
    "A quotient of two float16 values is rounded once.",
    "refined tanh and logistic, by a step",
    _simulated(),
    "division",
)
INTEGER_ELEMENTWISE: Final = Rule(
    "integer_elementwise",
    "DPU",
    "Operations on two integers keep all bits up to the output's conversion.",
    "int16 tanh and logistic, by a step",
    _assumed("sums and products were measured to be exact and to saturate, in other programs"),
)
LOOKUP_LINES: Final = Rule(
    "lookup_lines",
    "LUT",
    "Between two entries a lookup lies on a straight line.",
    "every tanh, logistic and softmax",
    _measured("encodings/dpu-lut-activation.md", "sigmoid, exp and tanh over their ranges, RK3588"),
    "tanh_between_entries",
)
LOOKUP_ENDS: Final = Rule(
    "lookup_ends",
    "LUT",
    "Beyond the tables the end values hold, where the registers' slopes are 0.",
    "saturated tanh and logistic, by 5e-3",
    _assumed("NVDLA's lookup tables"),
    "tanh_beyond_table",
)
LOOKUP_SLOPES: Final = Rule(
    "lookup_slopes",
    "LUT",
    "A slope of the registers leads on below the first entry, or above the last.",
    "logistic functions that are layers of their own, Elu, Softplus",
    _assumed("NVDLA's lookup tables; graphs with these layers meet float64 so"),
)
LOOKUP_INDEX: Final = Rule(
    "lookup_index",
    "LUT",
    "A float program's place in the table is rounded to an integer, and so is what comes out of it.",
    "float16 tanh and logistic by 9e-5",
    _assumed(
        f"inferred from the bands and the 97 spikes in 4,001 points of an ELU that {_NOTES}, "
        "encodings/dpu-lut-activation.md, publishes: unrounded, there would be 98"
    ),
    "lookup_fine_tanh",
)
LOOKUP_SIDE: Final = Rule(
    "lookup_side",
    "LUT",
    "The registers' ranges choose between the two tables, and on their seam the upper one counts.",
    "lookups whose inputs are all on one side of zero",
    _assumed("the notes say the sign of the input; their exponential and softmax are against it"),
    "lookup_fine_tanh",
)
LOOKUP_OFFSET: Final = Rule(
    "lookup_offset",
    "DPU",
    "OUT_CVT_OFFSET of a float program, 1 where it looks up, is an integer added to the result.",
    "float16 tanh and logistic by 3e-5",
    _measured("encodings/dpu-lut-activation.md", _CONVERTED),
    "lookup_fine_tanh",
)
LOOKUP_ZERO: Final = Rule(
    "lookup_zero",
    "DPU",
    "A result of exactly 0 comes out as 2^(17 - MINUS_EXP), where MINUS_EXP is not 0.",
    "no table of the vendor's: with the offset none of their results is 0",
    _measured("encodings/dpu-lut-activation.md", f"six heights of spikes, {_CONVERTED}"),
    "lookup_fine_tanh",
)
SOFTMAX_OFFSET: Final = Rule(
    "softmax_offset",
    "DPU",
    "In a softmax the offset is added to each exponential, so that a sum over K classes is K / 32768 larger.",
    "float16 softmax, by 0.0063 over 525 classes",
    _assumed("the offset was measured behind other tables; nobody has published a softmax's shares"),
    "lookup_fine_softmax",
)
INTEGER_LOOKUP: Final = Rule(
    "integer_lookup",
    "LUT",
    "An integer program's lookup rounds its place and its result, halves up.",
    "int8 and int16 tanh and logistic, by a step",
    _simulated("int8 files: 99 to 100 % of outputs equal the vendor's simulator's"),
)
LARGER_OF_CONSTANT: Final = Rule(
    "larger_of_constant",
    "DPU",
    "The larger of a value and a register is taken after the lookup.",
    "logistic functions that are layers of their own",
    _simulated("ten files with such a layer"),
)
LARGEST_CHANNEL: Final = Rule(
    "largest_channel",
    "DPU",
    "MINMAX_CTL 7 gives the largest channel of each point.",
    "softmax on the NPU",
    _simulated(),
)
OUTPUT_CONVERSION: Final = Rule(
    "output_conversion",
    "DPU",
    "OUT_CVT multiplies by a signed number of 16 bits, shifts with halves to even or away from zero as "
    "CVT_ROUND says, adds the offset, and saturates.",
    "every integer output",
    _measured("encodings/out-cvt-converter.md", "RK3588 and RK3576"),
    "int8_output_rounding",
)
FLOAT_OUTPUT: Final = Rule(
    "float_output",
    "DPU",
    "Results are rounded from float32 to float16 to nearest, halves to even; subnormals are kept.",
    "every float16 output, by a step",
    _simulated(),
    "output_rounding",
)
BFLOAT16_OUTPUT: Final = Rule(
    "bfloat16_output",
    "DPU",
    "OUT_PRECISION 3 is bfloat16: results are rounded to nearest, halves to even.",
    "layer normalization, by 2e-3 of a value",
    _assumed("nobody has published it; the programs compute layer normalization so and not otherwise"),
)
UNCONVERTED: Final = Rule(
    "unconverted",
    "DPU",
    "A float16 program between int16 and int16 takes and gives the bits of float16 as they are.",
    "Sqrt, Pow 0.5 and ReduceL2",
    _assumed("the reading in which the program computes a square root"),
)
SHARED_SURFACES: Final = Rule(
    "shared_surfaces",
    "DPU",
    "RDMA_COMB_USE 3 has two readers fetch surfaces of float32 in turn.",
    "Elu, Softplus and Swish",
    _assumed(
        "the addresses that the programs give the two readers; graphs with these layers meet float64 so"
    ),
)
OVERFLOW: Final = Rule(
    "overflow",
    "DPU",
    "Results from 65,520 on become infinity; NaN stays NaN.",
    "rows far outside the example",
    _assumed("IEEE 754; nobody has published it"),
    "overflow",
)
POOLING_FACTORS: Final = Rule(
    "pooling_factors",
    "PPU",
    "The PPU multiplies what the DPU hands it, in float16, by two factors without a rounding between them.",
    "averages over points",
    _assumed("nobody has published it"),
)
CORES_WAIT: Final = Rule(
    "cores_wait",
    "PC",
    "A core that reads what another makes waits for it: layers run one after the other.",
    "one run on several cores at once",
    _assumed("no register that can be read says how core 1 waits in a chain of elementwise layers"),
    "cores_wait",
)
INPUT_HEIGHT: Final = Rule(
    "input_height",
    "CNA",
    "An input's height past its 11 published bits is read as it is written.",
    "files of 2,048 rows and more, which `convert` no longer writes",
    _assumed("the vendor's toolkits write heights of up to 5,632 without a warning"),
    "rows_a_task",
)

RULES: Final = (
    FLOAT16_SUMS,
    LANE_ZERO,
    INTEGER_SUMS,
    SHORTENED_SUMS,
    SPREAD_POINT,
    FLOAT_ADDENDS,
    FLOAT_FACTORS,
    CHANNEL_SCALING,
    NEGATIVE_FACTORS,
    KERNEL_OFFSETS,
    INTEGER_NORM,
    RELU,
    ELEMENTWISE,
    FUSED_ADDITION,
    LARGER_OF_TWO,
    DIVISION,
    INTEGER_ELEMENTWISE,
    LOOKUP_LINES,
    LOOKUP_ENDS,
    LOOKUP_SLOPES,
    LOOKUP_INDEX,
    LOOKUP_SIDE,
    LOOKUP_OFFSET,
    LOOKUP_ZERO,
    SOFTMAX_OFFSET,
    INTEGER_LOOKUP,
    LARGER_OF_CONSTANT,
    LARGEST_CHANNEL,
    OUTPUT_CONVERSION,
    FLOAT_OUTPUT,
    OVERFLOW,
    BFLOAT16_OUTPUT,
    UNCONVERTED,
    SHARED_SURFACES,
    POOLING_FACTORS,
    CORES_WAIT,
    INPUT_HEIGHT,
)
"""Every rule, unit by unit in the order in which values pass through them."""
