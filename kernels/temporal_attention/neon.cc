// NEON, part of every AArch64 CPU.
#include "simd/neon.h"

#include "temporal_attention/temporal_attention_inl.h"

namespace mobilevd::kernels {

const TemporalAttentionVariant kTemporalAttentionNeon = {temporal_attention_items<Neon, float>,
                                                         temporal_attention_items<Neon, Half>};

}  // namespace mobilevd::kernels
