/* clip BUNDLE PHOTO CLIP.rgb: an app in one function. Writes the frames as raw RGB, which
 * `ffmpeg -f rawvideo -pix_fmt rgb24 -s WIDTHxHEIGHT -r FPS -i CLIP.rgb clip.mp4` makes a film of. */
#include <mobilevd/mobilevd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static volatile sig_atomic_t interrupted = 0;

static void on_interrupt(int number) {
  (void)number;
  interrupted = 1;
}

/* Called after each program run; not 0 cancels. */
static int on_progress(void* user, const char* stage, int32_t done, int32_t total) {
  fprintf((FILE*)user, "%d/%d %s\n", (int)done, (int)total, done == total ? "done" : stage);
  return interrupted;
}

static int save(const char* path, const uint8_t* bytes, size_t size) {
  FILE* file = fopen(path, "wb");
  if (file == NULL) return 0;
  const int written = fwrite(bytes, 1, size, file) == size;
  return fclose(file) == 0 && written;
}

int main(int argc, char** argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: clip BUNDLE PHOTO CLIP.rgb\n");
    return MOBILEVD_USAGE;
  }
  signal(SIGINT, on_interrupt);
  mobilevd_capture_log();

  mobilevd_pipeline* pipeline = NULL;
  mobilevd_clip clip;
  uint8_t* frames = NULL;
  mobilevd_request request = MOBILEVD_REQUEST_INIT;
  request.seed = 7;
  request.progress = on_progress;
  request.user = stderr;

  mobilevd_status status = mobilevd_open(argv[1], NULL, &pipeline);
  if (status == MOBILEVD_OK) status = mobilevd_clip_of(pipeline, &clip);
  if (status == MOBILEVD_OK) {
    frames = malloc(clip.bytes);
    status = mobilevd_generate_file(pipeline, argv[2], &request, frames, clip.bytes);
  }
  if (status != MOBILEVD_OK) {
    fprintf(stderr, "clip: %s\n", mobilevd_last_error());
  } else if (!save(argv[3], frames, clip.bytes)) {
    fprintf(stderr, "clip: cannot write %s\n", argv[3]);
    status = MOBILEVD_DATA;
  } else {
    printf("%d frames of %dx%d, MobileVD %s\n", (int)clip.frames, (int)clip.width,
           (int)clip.height, mobilevd_version());
  }
  free(frames);
  mobilevd_close(pipeline);
  return status;
}
