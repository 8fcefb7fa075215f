// google-benchmark of linear on the model's shapes (kernels/shapes), float32, one thread. GFLOP/s
// counts 2 M K per output of the weight; GB/s each array once.
#include <sstream>
#include <string>

#include "mobilevd/kernels/linear.h"
#include "testing/bench_main.h"

namespace mobilevd::kernels {
namespace {

void run(benchmark::State& state, const LinearShape& shape, const std::string& epilogue) {
  const Activation activation = epilogue == "geglu"  ? Activation::kGeglu
                                : epilogue == "silu" ? Activation::kSilu
                                                     : Activation::kNone;
  const std::size_t outputs = shape.out_features * (epilogue == "geglu" ? 2 : 1);
  const std::size_t x_size = shape.rows * shape.in_features;
  const std::size_t out_size = shape.rows * shape.out_features;
  const std::size_t residual_size = epilogue == "residual" ? out_size : 0;
  const std::size_t weight_size = packed_linear_size(shape, activation);
  BenchBuffer x(x_size), packed(weight_size), bias(outputs), residual(residual_size), out(out_size);
  BenchBuffer scratch(linear_scratch_bytes(shape, 1) / sizeof(float));
  for (BenchBuffer* buffer : {&x, &packed, &bias, &residual}) buffer->fill();
  const float* const added = residual_size > 0 ? residual.data() : nullptr;
  const bool ok = measure(state, [&] {
    return linear(x.data(), packed.data(), bias.data(), added, out.data(), shape, activation,
                  scratch.data(), 1);
  });
  if (!ok) return;
  const double bytes = sizeof(float) * (x_size + weight_size + residual_size + out_size);
  state.counters["GFLOP/s"] = rate(state, 2e-9 * shape.rows * shape.in_features * outputs);
  state.counters["GB/s"] = rate(state, 1e-9 * bytes);
}

bool read_cases(std::istream& fields, std::vector<BenchCase>* cases) {
  LinearShape shape;
  std::string epilogue;
  if (!(fields >> shape.rows >> shape.in_features >> shape.out_features >> epilogue)) return false;
  std::ostringstream name;
  name << "linear/" << shape.rows << "x" << shape.in_features << "x" << shape.out_features << "/"
       << epilogue;
  cases->push_back(
      {name.str(), [shape, epilogue](benchmark::State& state) { run(state, shape, epilogue); }});
  return true;
}

}  // namespace
}  // namespace mobilevd::kernels

int main(int argc, char** argv) {
  using namespace mobilevd::kernels;
  return bench_main(argc, argv, "linear", ScalarReference::kLeftOut, read_cases);
}
