#include "kernels/grouped_conv2d.h"

namespace reds {
namespace {

struct Sums {
  using Sum = float;

  template <int32_t kRows>
  static void Add(const grouped_conv2d::Position<float>& position, const float* weights,
                  float (&sums)[kRows]) {
    grouped_conv2d::SumInside(position, weights, sums);
  }
};

}  // namespace

void Run(const GroupedConv2D<float>& conv) { grouped_conv2d::Walk<Sums>(conv); }

}  // namespace reds
