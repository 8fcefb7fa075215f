#include "runtime/xxh64.h"

#include <gtest/gtest.h>

#include "runtime/error.h"
#include "scratch_folder.h"

namespace mobilevd {
namespace {

std::uint64_t digest(const std::string& text) {
  Xxh64 hash;
  hash.update(text.data(), text.size());
  return hash.digest();
}

// What xxHash's own library gives.
TEST(Xxh64, KnownAnswers) {
  EXPECT_EQ(digest(""), 0xef46db3751d8e999u);
  EXPECT_EQ(digest("a"), 0xd24ec4f1a98c6e5bu);
  EXPECT_EQ(digest("abc"), 0x44bc2cf5ad770999u);
  EXPECT_EQ(digest("abcdefghijklmnopqrstuvwxyz"), 0xcfe1f278fa89835cu);
  EXPECT_EQ(digest("Nobody inspects the spammish repetition"), 0xfbcea83c8a378bf1u);
}

TEST(Xxh64, PiecesGiveTheSameAsTheWhole) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += static_cast<char>(i * 7);
  for (std::size_t piece = 1; piece < 70; ++piece) {
    Xxh64 hash;
    for (std::size_t at = 0; at < text.size(); at += piece) {
      hash.update(text.data() + at, std::min(piece, text.size() - at));
    }
    EXPECT_EQ(hash.digest(), digest(text)) << piece;
  }
}

TEST(Xxh64, EveryBitCounts) {
  for (std::size_t size : {1u, 4u, 8u, 31u, 32u, 45u, 64u}) {
    const std::string text(size, '\0');
    for (std::size_t bit = 0; bit < 8 * size; ++bit) {
      std::string other = text;
      other[bit / 8] = static_cast<char>(1 << (bit % 8));
      EXPECT_NE(digest(other), digest(text)) << size << " " << bit;
    }
  }
}

class Xxh64File : public testing::ScratchFolder {};

TEST_F(Xxh64File, IsReadWhole) {
  put("text", "abc");
  EXPECT_EQ(xxh64_of_file(path("text")), "44bc2cf5ad770999");
  EXPECT_THROW(xxh64_of_file(path("none")), Error);
}

}  // namespace
}  // namespace mobilevd
