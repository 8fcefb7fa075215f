#pragma once

#include <cstddef>

namespace mobilevd::kernels {

/// Columns of a panel of weights. Weights [n][k] (n outputs, k inputs, as torch.nn.Linear has them)
/// are packed once, at export, as [ceil(n / 16)][k][16], the last panel padded with zeros: one
/// layout that suits every ISA (one AVX-512 vector, two of AVX2, four of NEON), so that packed
/// files can be mapped on any machine.
constexpr int kPanelColumns = 16;

// Unnamed: included by the ISAs' translation units, which must not share functions.
namespace {
constexpr std::size_t panel_count(std::size_t n) { return (n + kPanelColumns - 1) / kPanelColumns; }
}  // namespace

}  // namespace mobilevd::kernels
