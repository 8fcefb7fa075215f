#include "mobilevd/kernels/dispatch.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "mobilevd/kernels/temporal_attention.h"

namespace mobilevd::kernels {
namespace {

std::string list_of_isas() {
  std::size_t count = 0;
  const Isa* isas = available_isas(&count);
  std::string list;
  for (std::size_t i = 0; i < count; ++i) list += (i ? ", " : "") + std::string(isa_name(isas[i]));
  return list;
}

TEST(Dispatch, ScalarIsAlwaysThere) {
  std::size_t count = 0;
  const Isa* isas = available_isas(&count);
  ASSERT_GE(count, 1u);
  EXPECT_EQ(isas[0], Isa::kScalar);
}

/// MOBILEVD_EXPECT_ISA: what the CPU must get, set by tests that choose the CPU (testing/).
TEST(Dispatch, BestIsaIsChosenUnlessOneIsForced) {
  if (std::getenv("MOBILEVD_ISA") != nullptr) GTEST_SKIP() << "MOBILEVD_ISA is set";
  std::size_t count = 0;
  const Isa* isas = available_isas(&count);
  EXPECT_STREQ(isa_name(isa()), isa_name(isas[count - 1]));
  if (const char* expected = std::getenv("MOBILEVD_EXPECT_ISA")) {
    EXPECT_STREQ(isa_name(isa()), expected) << "available: " << list_of_isas();
  }
}

TEST(Dispatch, EveryAvailableIsaCanBeForced) {
  const Isa before = isa();
  std::size_t count = 0;
  const Isa* isas = available_isas(&count);
  for (std::size_t i = 0; i < count; ++i) {
    EXPECT_TRUE(set_isa(isa_name(isas[i])).ok());
    EXPECT_EQ(isa(), isas[i]);
  }
  EXPECT_TRUE(set_isa(isa_name(before)).ok());
}

/// temporal_attention has no variant for int8 instructions: a forced one is not what it runs on.
TEST(Dispatch, LastIsaIsThatOfTheVariantThatRan) {
  const Isa before = isa();
  const float x[8] = {};
  float out[8] = {};
  const TemporalAttentionShape shape{1, 1, 1, 1, 8, 8};
  std::size_t count = 0;
  const Isa* isas = available_isas(&count);
  for (std::size_t i = 0; i < count; ++i) {
    ASSERT_TRUE(set_isa(isa_name(isas[i])).ok());
    ASSERT_TRUE(temporal_attention(x, x, x, out, shape, 1.0f).ok());
    Isa expected = isas[i];
    if (expected == Isa::kAvx512Vnni) expected = Isa::kAvx512;
    if (expected > Isa::kNeon) expected = Isa::kNeon;
    EXPECT_STREQ(isa_name(last_isa()), isa_name(expected)) << isa_name(isas[i]);
  }
  EXPECT_TRUE(set_isa(isa_name(before)).ok());
}

TEST(Dispatch, UnknownNameListsWhatThereIsAndChangesNothing) {
  const Isa before = isa();
  for (const char* name : {"mmx", "", "AVX2", static_cast<const char*>(nullptr)}) {
    const Status status = set_isa(name);
    EXPECT_EQ(status.code, StatusCode::kInvalidArgument);
    EXPECT_NE(std::string(status.message).find(list_of_isas()), std::string::npos)
        << status.message;
  }
  EXPECT_EQ(isa(), before);
}

/// Run by ctest in processes with MOBILEVD_ISA=scalar and MOBILEVD_ISA=mmx, and without.
TEST(Environment, VariableIsHonouredOrReported) {
  const char* wanted = std::getenv("MOBILEVD_ISA");
  if (wanted == nullptr || list_of_isas().find(wanted) != std::string::npos) {
    EXPECT_TRUE(startup_status().ok());
    if (wanted != nullptr) {
      EXPECT_STREQ(isa_name(isa()), wanted);
    }
    return;
  }
  EXPECT_EQ(startup_status().code, StatusCode::kUnsupported);
  EXPECT_NE(std::strstr(startup_status().message, wanted), nullptr) << startup_status().message;
  EXPECT_NE(std::strstr(startup_status().message, list_of_isas().c_str()), nullptr);

  const float x[8] = {};
  float out[8] = {};
  const TemporalAttentionShape shape{1, 1, 1, 1, 8, 8};
  EXPECT_EQ(temporal_attention(x, x, x, out, shape, 1.0f).code, StatusCode::kUnsupported);
  EXPECT_TRUE(set_isa("scalar").ok());  // an explicit choice mends it
  EXPECT_TRUE(temporal_attention(x, x, x, out, shape, 1.0f).ok());
}

}  // namespace
}  // namespace mobilevd::kernels
