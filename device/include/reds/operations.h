// Which operations a firmware links.
//
// libreds brings a list of all its operations. A firmware that defines the list itself has the operations that it
// names and no others, and the linker leaves the kernels of the others out. `reds emit RUN -o model.tflite
// --operations operations.c` writes the list of a model; it is C and C++:
//
//   #include "reds/operations.h"
//
//   const reds_operation* const reds_operations[] = {
//       &reds_conv_2d_int8,
//       &reds_softmax_int8,
//       0,
//   };
//
// A firmware with several models names what they need together. The list must be linked as an object or before
// libreds, and with -Wl,--gc-sections.

#ifndef REDS_OPERATIONS_H
#define REDS_OPERATIONS_H

#ifdef __cplusplus
extern "C" {
#endif

// An operation on elements of one type. Its content is private.
typedef struct reds_operation reds_operation;

// What is linked; ends with a null pointer. Every reds_context runs these; reds_open answers REDS_ERROR_UNLINKED where
// a model needs another one.
extern const reds_operation* const reds_operations[];

extern const reds_operation reds_conv_2d_int8;
extern const reds_operation reds_grouped_conv_2d_int8;
extern const reds_operation reds_depthwise_conv_2d_int8;
extern const reds_operation reds_fully_connected_int8;
extern const reds_operation reds_average_pool_2d_int8;
extern const reds_operation reds_max_pool_2d_int8;
extern const reds_operation reds_relu_int8;
extern const reds_operation reds_softmax_int8;
extern const reds_operation reds_add_int8;
extern const reds_operation reds_concatenation_int8;
extern const reds_operation reds_leaky_relu_int8;
extern const reds_operation reds_logistic_int8;
extern const reds_operation reds_tanh_int8;
extern const reds_operation reds_hard_swish_int8;
extern const reds_operation reds_pad_int8;
extern const reds_operation reds_mul_int8;
extern const reds_operation reds_sub_int8;
extern const reds_operation reds_mean_int8;
extern const reds_operation reds_prelu_int8;
extern const reds_operation reds_requantize_int8;
extern const reds_operation reds_resize_nearest_neighbor_int8;
extern const reds_operation reds_transpose_conv_int8;
extern const reds_operation reds_strided_slice_int8;
extern const reds_operation reds_transpose_int8;
extern const reds_operation reds_batch_mat_mul_int8;
extern const reds_operation reds_quantize_int8;
extern const reds_operation reds_dequantize_int8;

// Not in a libreds for int8 alone.
extern const reds_operation reds_conv_2d_int16;
extern const reds_operation reds_grouped_conv_2d_int16;
extern const reds_operation reds_depthwise_conv_2d_int16;
extern const reds_operation reds_fully_connected_int16;
extern const reds_operation reds_average_pool_2d_int16;
extern const reds_operation reds_max_pool_2d_int16;
extern const reds_operation reds_relu_int16;
extern const reds_operation reds_softmax_int16;
extern const reds_operation reds_add_int16;
extern const reds_operation reds_concatenation_int16;
extern const reds_operation reds_pad_int16;
extern const reds_operation reds_mean_int16;
extern const reds_operation reds_requantize_int16;
extern const reds_operation reds_resize_nearest_neighbor_int16;
extern const reds_operation reds_strided_slice_int16;
extern const reds_operation reds_quantize_int16;
extern const reds_operation reds_dequantize_int16;

extern const reds_operation reds_conv_2d_float32;
extern const reds_operation reds_grouped_conv_2d_float32;
extern const reds_operation reds_depthwise_conv_2d_float32;
extern const reds_operation reds_fully_connected_float32;
extern const reds_operation reds_average_pool_2d_float32;
extern const reds_operation reds_max_pool_2d_float32;
extern const reds_operation reds_relu_float32;
extern const reds_operation reds_softmax_float32;
extern const reds_operation reds_add_float32;
extern const reds_operation reds_concatenation_float32;
extern const reds_operation reds_leaky_relu_float32;
extern const reds_operation reds_logistic_float32;
extern const reds_operation reds_tanh_float32;
extern const reds_operation reds_hard_swish_float32;
extern const reds_operation reds_pad_float32;
extern const reds_operation reds_mul_float32;
extern const reds_operation reds_sub_float32;
extern const reds_operation reds_mean_float32;
extern const reds_operation reds_prelu_float32;
extern const reds_operation reds_resize_nearest_neighbor_float32;
extern const reds_operation reds_transpose_conv_float32;
extern const reds_operation reds_strided_slice_float32;
extern const reds_operation reds_transpose_float32;
extern const reds_operation reds_batch_mat_mul_float32;

#ifdef __cplusplus
}
#endif

#endif
