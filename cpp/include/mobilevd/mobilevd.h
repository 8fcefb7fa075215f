/* MobileVD's C API: a bundle and a picture in, the frames of a clip out.
 *
 *   mobilevd_pipeline* pipeline = NULL;
 *   mobilevd_open("bundles/mini", NULL, &pipeline);
 *   mobilevd_clip clip;
 *   mobilevd_clip_of(pipeline, &clip);
 *   uint8_t* frames = malloc(clip.bytes);
 *   mobilevd_generate_file(pipeline, "photo.jpg", NULL, frames, clip.bytes);
 *   mobilevd_close(pipeline);
 *
 * Frames: uint8 RGB, [frames, height, width, 3], rows from the top, no padding. The same bundle,
 * picture and request give the same bytes as mobilevd_runner on the same machine.
 *
 * Ownership: what mobilevd_open gives is freed by mobilevd_close. Everything else belongs to the
 * caller; nothing passed in is kept after the call. Strings that are returned belong to the
 * library, see each function.
 *
 * Errors: every function that can fail returns a mobilevd_status and then leaves its outputs alone,
 * except frames, whose bytes are undefined. mobilevd_last_error() says in one line what is wrong
 * and what to do. No exception leaves the library, and a null pointer where one is needed is
 * MOBILEVD_USAGE.
 *
 * Threads: any thread may call. Clips of one process are made one after another, whatever the
 * number of pipelines, since all share one pool of threads: a second call waits for its turn. A
 * pipeline must not be closed while another thread uses it.
 *
 * Versions: a struct starts with its size, which its initialiser sets: an app built with an older
 * header runs with a newer library of the same major version. Compare mobilevd_api_version() with
 * MOBILEVD_API_VERSION.
 */
#ifndef MOBILEVD_MOBILEVD_H
#define MOBILEVD_MOBILEVD_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define MOBILEVD_API __attribute__((visibility("default")))
#else
#define MOBILEVD_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Major and minor. A new major version may break apps, a minor one adds. */
#define MOBILEVD_API_MAJOR 1
#define MOBILEVD_API_MINOR 1
#define MOBILEVD_API_VERSION (MOBILEVD_API_MAJOR * 1000 + MOBILEVD_API_MINOR)

typedef enum mobilevd_status {
  MOBILEVD_OK = 0,
  MOBILEVD_DATA = 1,      /* a bad bundle or picture, NaN in a stage, too little memory allowed */
  MOBILEVD_USAGE = 2,     /* a bad argument, or a MOBILEVD_ISA that this CPU does not have */
  MOBILEVD_CANCELLED = 3, /* the progress callback asked to stop */
  MOBILEVD_INTERNAL = 4   /* out of memory, or a bug */
} mobilevd_status;

/* An opened bundle. */
typedef struct mobilevd_pipeline mobilevd_pipeline;

/* How to run, for the life of a pipeline: start from MOBILEVD_OPTIONS_INIT. */
typedef struct mobilevd_options {
  size_t struct_size;
  int32_t threads;        /* of the whole process; 0: as many as an earlier pipeline asked for, else
                           * one for each performance core */
  int32_t skip_hashes;    /* not 0: do not compare every file with its sha256 (faster to open) */
  int32_t keep_loaded;    /* not 0: keep the stages in memory between clips (faster, more memory) */
  uint64_t max_memory_mb; /* refuse a bundle whose estimated peak is above this, and a picture file
                           * that takes more to read; 0: no limit */
  const char* packed_weights; /* folder that keeps XNNPACK's packed weights, as an app's cache, so
                               * that the next load maps them; "none"; null: the user's cache
                               * folder, for stages of 64 MB and more */
} mobilevd_options;
#define MOBILEVD_OPTIONS_INIT {sizeof(mobilevd_options), 0, 0, 0, 0, NULL}

/* `done` of `total` program runs are over and `stage` ("unet", ...) made or makes the next one.
 * Called in the thread that generates. Return 0 to go on, anything else to cancel. It must not
 * throw, must not start a clip of the same pipeline (MOBILEVD_USAGE) and must not wait for another
 * thread's clip. */
typedef int (*mobilevd_progress)(void* user, const char* stage, int32_t done, int32_t total);

/* One clip: start from MOBILEVD_REQUEST_INIT, which takes what the bundle says. */
typedef struct mobilevd_request {
  size_t struct_size;
  uint64_t seed;              /* of the noise */
  int32_t steps;              /* sampling steps, 1..1000; 0: the bundle's */
  double fps;                 /* told to the model, 1..1000; 0: the bundle's */
  double motion_bucket;       /* amount of motion, 0..1023; negative: the bundle's */
  double noise_aug;           /* noise added to the picture, 0..10; negative: the bundle's */
  mobilevd_progress progress; /* or null */
  void* user;                 /* handed to progress */
} mobilevd_request;
#define MOBILEVD_REQUEST_INIT {sizeof(mobilevd_request), 0, 0, 0.0, -1.0, -1.0, NULL, NULL}

/* What the clips of a bundle are; stays as it is within a major version. */
typedef struct mobilevd_clip {
  int32_t frames, height, width;
  double fps;   /* unless a request says otherwise */
  size_t bytes; /* frames * height * width * 3 */
} mobilevd_clip;

/* MOBILEVD_API_VERSION of the library, and MobileVD's version ("0.1.0"). */
MOBILEVD_API int32_t mobilevd_api_version(void);
MOBILEVD_API const char* mobilevd_version(void);

/* What was wrong with the last call of this thread that failed; "" before. Valid until the next
 * call of this thread. */
MOBILEVD_API const char* mobilevd_last_error(void);

/* Takes ExecuTorch's own log off stderr for the whole process, and puts its last error into
 * mobilevd_last_error(). For apps; a library in somebody else's process leaves it alone. */
MOBILEVD_API void mobilevd_capture_log(void);

/* Loads a shared library that registers a further ExecuTorch backend (Vulkan, QNN) into the
 * process, before bundles that need it are opened. */
MOBILEVD_API mobilevd_status mobilevd_load_backend(const char* library);

/* Reads and checks a bundle; loads no stage yet. `options` may be null. On success *pipeline is to
 * be closed; on failure it is null. */
MOBILEVD_API mobilevd_status mobilevd_open(const char* bundle_folder,
                                           const mobilevd_options* options,
                                           mobilevd_pipeline** pipeline);

/* Frees a pipeline; null is allowed. */
MOBILEVD_API void mobilevd_close(mobilevd_pipeline* pipeline);

/* How large the buffer for frames must be. */
MOBILEVD_API mobilevd_status mobilevd_clip_of(const mobilevd_pipeline* pipeline,
                                              mobilevd_clip* clip);

/* Makes a clip from a JPEG or PNG file into `frames`, which holds `bytes` >= mobilevd_clip.bytes.
 * The picture is cropped to the clip's aspect ratio, centred. `request` may be null.
 *
 * To know each stage's peak memory, a clip begins the process's own anew: VmHWM in
 * /proc/self/status, by way of /proc/self/clear_refs. An app that watches VmHWM reads it before. */
MOBILEVD_API mobilevd_status mobilevd_generate_file(mobilevd_pipeline* pipeline,
                                                    const char* image_path,
                                                    const mobilevd_request* request,
                                                    uint8_t* frames, size_t bytes);

/* The same from pixels: uint8 RGB, [height, width, 3], top row first; `row_bytes` from one row to
 * the next, at least 3 * width. */
MOBILEVD_API mobilevd_status mobilevd_generate_rgb(mobilevd_pipeline* pipeline,
                                                   const uint8_t* pixels, int32_t width,
                                                   int32_t height, size_t row_bytes,
                                                   const mobilevd_request* request, uint8_t* frames,
                                                   size_t bytes);

/* Times, memory, settings, threads and ISA of the pipeline's last clip: the JSON that
 * `mobilevd_runner
 * --json` writes. "" before the first. Valid until the pipeline's next clip or its end. */
MOBILEVD_API const char* mobilevd_last_result(const mobilevd_pipeline* pipeline);

#ifdef __cplusplus
}
#endif

#endif /* MOBILEVD_MOBILEVD_H */
