#include "runtime/output_file.h"

#include <fcntl.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdio>

#include "scratch_folder.h"

namespace mobilevd {
namespace {

using OutputFileTest = testing::ScratchFolder;

TEST_F(OutputFileTest, AppearsOnCommitOnly) {
  {
    OutputFile file(path("a"));
    file.write("xyz", 3);
    EXPECT_FALSE(std::filesystem::exists(path("a")));
    file.commit();
  }
  EXPECT_EQ(get("a"), "xyz");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(OutputFileTest, AbandonedLeavesTheOldOne) {
  put("a", "old");
  {
    OutputFile file(path("a"));
    file.write("new", 3);
  }
  EXPECT_EQ(get("a"), "old");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(OutputFileTest, FollowsALinkInsteadOfReplacingIt) {
  std::filesystem::create_directory(path("sub"));
  put("sub/real", "old");
  std::filesystem::create_symlink("sub/real", path("link"));
  write_file(path("link"), "new");
  EXPECT_TRUE(std::filesystem::is_symlink(path("link")));
  EXPECT_EQ(get("sub/real"), "new");
}

TEST_F(OutputFileTest, StandardOutputIsContinuedNotReplaced) {
  std::fflush(stdout);
  const int old = ::dup(STDOUT_FILENO);
  const int file = ::open(path("log").c_str(), O_WRONLY | O_CREAT, 0666);
  ::dup2(file, STDOUT_FILENO);
  const bool written = ::write(STDOUT_FILENO, "a", 1) == 1;
  write_file("/dev/stdout", "b");
  const bool more = ::write(STDOUT_FILENO, "c", 1) == 1;
  ::dup2(old, STDOUT_FILENO);
  ::close(file);
  ::close(old);
  EXPECT_TRUE(written && more);
  EXPECT_EQ(get("log"), "abc");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(OutputFileTest, FullDeviceAndMissingFolderAreErrors) {
  EXPECT_NE(testing::error_of([] { write_file("/dev/full", "x"); }).find("No space left"),
            std::string::npos);
  EXPECT_NE(testing::error_of([&] { write_file(path("none/a"), "x"); }).find("No such file"),
            std::string::npos);
}

TEST_F(OutputFileTest, WhatCannotBeWrittenIsKnownBefore) {
  const auto refusal = [&](const std::string& name) {
    return testing::error_of([&] { check_output_file(path(name), "--json"); });
  };
  EXPECT_EQ(refusal("none/a"), "--json: there is no folder " + path("none"));
  EXPECT_EQ(refusal("."), "--json is a folder");
  check_output_file("/dev/stdout", "--json");
  check_output_file("/dev/null", "--json");
  check_output_file(path("a"), "--json");

  std::filesystem::create_directory(path("sub"));
  put("sub/a", "old");
  std::filesystem::create_symlink("sub/a", path("link"));
  std::filesystem::permissions(path("sub"), std::filesystem::perms(0555));
  const uid_t user = ::getuid();
  // Root may write anywhere, so somebody else asks.
  ASSERT_EQ(user == 0 ? ::setresuid(65534, 65534, 0) : 0, 0);
  for (const char* name : {"sub/a", "link"}) {
    EXPECT_EQ(refusal(name), "--json: cannot write into " + path("sub") +
                                 ": Permission denied; choose another folder");
  }
  ASSERT_EQ(user == 0 ? ::setresuid(0, 0, 0) : 0, 0);
}

TEST_F(OutputFileTest, FileSizeLimitLeavesNothing) {
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit old_limit{};
  getrlimit(RLIMIT_FSIZE, &old_limit);
  rlimit limit = old_limit;
  limit.rlim_cur = 1000;
  setrlimit(RLIMIT_FSIZE, &limit);
  const std::string message =
      testing::error_of([&] { write_file(path("a"), std::string(5000, 'x')); });
  setrlimit(RLIMIT_FSIZE, &old_limit);
  EXPECT_NE(message.find("File too large"), std::string::npos) << message;
  EXPECT_EQ(entries(), 0u);
}

}  // namespace
}  // namespace mobilevd
