#include "runtime/trial_process.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

namespace mobilevd {
namespace {

TEST(TrialProcess, TouchesNothingHere) {
  int changed = 0;
  const Trial trial = try_in_child([&changed] { changed = 1; }, 10);
  EXPECT_TRUE(trial.survived);
  EXPECT_EQ(trial.said, "");
  EXPECT_EQ(changed, 0);
}

TEST(TrialProcess, TellsHowItEndedAndWhatItSaidLast) {
  const Trial trial = try_in_child(
      [] {
        std::fprintf(stderr, "%s\nthe reason\n\n", std::string(100000, 'x').c_str());
        std::abort();
      },
      10);
  EXPECT_FALSE(trial.survived);
  EXPECT_EQ(trial.ending, "Aborted");
  EXPECT_EQ(trial.said, "the reason");
}

TEST(TrialProcess, AnExitCodeAndAnExceptionAreEndings) {
  EXPECT_EQ(try_in_child([] { _exit(3); }, 10).ending, "exit code 3");
  const auto failing = [] { throw std::runtime_error("no"); };
  EXPECT_EQ(try_in_child(failing, 10).ending, "exit code 1");
}

TEST(TrialProcess, WhoIsNotToldTheEndDoesNotCallItSurvived) {
  const auto before = std::signal(SIGCHLD, SIG_IGN);
  const Trial trial = try_in_child([] { std::abort(); }, 10);
  std::signal(SIGCHLD, before);
  EXPECT_FALSE(trial.survived);
  EXPECT_NE(trial.ending.find("how it ended is not known"), std::string::npos) << trial.ending;
}

TEST(TrialProcess, IsEndedWhenItHangs) {
  const Trial trial = try_in_child(
      [] {
        for (;;) pause();
      },
      1);
  EXPECT_FALSE(trial.survived);
  EXPECT_EQ(trial.ending, "not done after 1 s");
}

}  // namespace
}  // namespace mobilevd
