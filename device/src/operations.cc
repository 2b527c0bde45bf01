// Every operation, for programs that do not say which ones they need.

#include "reds/operations.h"

// A program's own list also takes its place where all objects are linked without an archive.
extern __attribute__((weak)) const reds_operation* const reds_operations[];

const reds_operation* const reds_operations[] = {
    &reds_conv_2d_int8,
    &reds_grouped_conv_2d_int8,
    &reds_depthwise_conv_2d_int8,
    &reds_fully_connected_int8,
    &reds_average_pool_2d_int8,
    &reds_max_pool_2d_int8,
    &reds_relu_int8,
    &reds_softmax_int8,
    &reds_add_int8,
    &reds_concatenation_int8,
    &reds_leaky_relu_int8,
    &reds_logistic_int8,
    &reds_tanh_int8,
    &reds_hard_swish_int8,
    &reds_pad_int8,
    &reds_mul_int8,
    &reds_sub_int8,
    &reds_mean_int8,
    &reds_prelu_int8,
    &reds_requantize_int8,
    &reds_resize_nearest_neighbor_int8,
    &reds_transpose_conv_int8,
    &reds_strided_slice_int8,
#ifndef REDS_INT8_ONLY
    &reds_conv_2d_float32,
    &reds_grouped_conv_2d_float32,
    &reds_depthwise_conv_2d_float32,
    &reds_fully_connected_float32,
    &reds_average_pool_2d_float32,
    &reds_max_pool_2d_float32,
    &reds_relu_float32,
    &reds_softmax_float32,
    &reds_add_float32,
    &reds_concatenation_float32,
    &reds_leaky_relu_float32,
    &reds_logistic_float32,
    &reds_tanh_float32,
    &reds_hard_swish_float32,
    &reds_pad_float32,
    &reds_mul_float32,
    &reds_sub_float32,
    &reds_mean_float32,
    &reds_prelu_float32,
    &reds_resize_nearest_neighbor_float32,
    &reds_transpose_conv_float32,
    &reds_strided_slice_float32,
#endif
    nullptr,
};
