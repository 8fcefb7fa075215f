#include "runtime/trial_process.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "runtime/error.h"

namespace mobilevd {
namespace {

[[noreturn]] void run_child(const std::function<void()>& work, unsigned seconds, int output) {
  dup2(output, STDERR_FILENO);
  const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (nowhere >= 0) dup2(nowhere, STDOUT_FILENO);
  // Handlers of this process (a Python interpreter's, a sanitizer's) have nothing to do here.
  for (const int number : {SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGINT, SIGTERM, SIGALRM}) {
    std::signal(number, SIG_DFL);
  }
  alarm(seconds);
  try {
    work();
  } catch (...) {
    _exit(1);
  }
  _exit(0);  // no destructors, no atexit: they belong to the parent
}

/// Reads to the end; keeps the last 4 KB.
std::string read_tail(int file) {
  std::string text;
  char part[1024];
  for (;;) {
    const ssize_t count = read(file, part, sizeof part);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return text;
    text.append(part, static_cast<std::size_t>(count));
    if (text.size() > 8192) text.erase(0, text.size() - 4096);
  }
}

std::string last_line(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  const std::size_t start = text.find_last_of('\n');
  return text.substr(start == std::string::npos ? 0 : start + 1, 300);
}

}  // namespace

Trial try_in_child(const std::function<void()>& work, unsigned seconds) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    throw Error(std::string("cannot make a pipe: ") + std::strerror(errno));
  }
  const pid_t child = fork();
  if (child < 0) {
    const std::string reason = std::strerror(errno);
    close(ends[0]);
    close(ends[1]);
    throw Error("cannot start a process: " + reason);
  }
  if (child == 0) run_child(work, seconds, ends[1]);
  close(ends[1]);
  const std::string said = last_line(read_tail(ends[0]));
  close(ends[0]);
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno == EINTR) continue;
    // Who ignores SIGCHLD is not told how a child ended.
    return {false, std::string("how it ended is not known: ") + std::strerror(errno), said};
  }
  if (WIFSIGNALED(status)) {
    const bool late = WTERMSIG(status) == SIGALRM;
    return {false,
            late ? "not done after " + std::to_string(seconds) + " s" : strsignal(WTERMSIG(status)),
            said};
  }
  const int code = WEXITSTATUS(status);
  return {code == 0, code == 0 ? "" : "exit code " + std::to_string(code), said};
}

}  // namespace mobilevd
