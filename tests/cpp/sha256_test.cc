#include "runtime/sha256.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "scratch_folder.h"

namespace mobilevd {
namespace {

std::string digest(const std::string& text) {
  Sha256 hash;
  hash.update(text.data(), text.size());
  return hash.hex_digest();
}

// Vectors of FIPS 180-2, appendix B.
TEST(Sha256, KnownAnswers) {
  EXPECT_EQ(digest(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(digest("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(digest(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, PiecesGiveTheSameAsTheWhole) {
  const std::string text(300, 'x');
  for (std::size_t piece = 1; piece < 130; ++piece) {
    Sha256 hash;
    for (std::size_t at = 0; at < text.size(); at += piece) {
      hash.update(text.data() + at, std::min(piece, text.size() - at));
    }
    EXPECT_EQ(hash.hex_digest(), digest(text)) << "pieces of " << piece;
  }
}

TEST(Sha256, TheCpusInstructionsDoTheSameAsPortableCode) {
  const Sha256Blocks of_cpu = sha256_blocks_of_cpu();
  if (of_cpu == nullptr) GTEST_SKIP() << "this CPU has no instructions for it";
  std::mt19937 random(7);
  std::vector<std::uint8_t> blocks(64 * 9);
  for (std::uint8_t& byte : blocks) byte = static_cast<std::uint8_t>(random());
  for (std::size_t count = 0; count <= 9; ++count) {
    std::uint32_t got[8], want[8];
    for (int i = 0; i < 8; ++i) got[i] = want[i] = random();
    of_cpu(got, blocks.data(), count);
    sha256_blocks_portable(want, blocks.data(), count);
    for (int i = 0; i < 8; ++i) EXPECT_EQ(got[i], want[i]) << count << " blocks, word " << i;
  }
}

using Sha256File = testing::ScratchFolder;

TEST_F(Sha256File, ReadsAFileAndNamesAMissingOne) {
  put("abc", "abc");
  EXPECT_EQ(sha256_of_file(path("abc")), digest("abc"));
  EXPECT_NE(testing::error_of([&] { sha256_of_file(path("none")); }).find("none"),
            std::string::npos);
}

}  // namespace
}  // namespace mobilevd
