#include "kernels/grouped_conv2d.h"

namespace reds {
namespace {

struct Sums {
  using Sum = int64_t;

  template <int32_t kRows>
  static void Add(const grouped_conv2d::Position<int16_t>& position, const int8_t* weights,
                  int64_t (&sums)[kRows]) {
    grouped_conv2d::SumInside(position, weights, sums);
  }
};

}  // namespace

void Run(const GroupedConv2D<int16_t>& conv) { grouped_conv2d::Walk<Sums>(conv); }

}  // namespace reds
