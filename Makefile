# make demo: a photograph becomes a clip.   make test: everything that is checked.
# Both set up what they need: .venv, the C++ build, the exported mini.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV ?= .venv
# A package index for torch alone, where the default one has no CPU build of the pinned version:
# make TORCH_INDEX=https://... demo
TORCH_INDEX ?=
TORCH = torch==2.13.0 $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
JOBS ?= $(shell nproc)

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
# cmake, ctest and ninja come from pip.
WITH_VENV := PATH="$(abspath $(BIN)):$$PATH"
# Not the folder of a plain `pip install .`, which builds without tests.
BUILD := build/make
MINI := build/bundles/mini
MINI_FP16 := build/bundles/mini-fp16
MINI_INT8 := build/bundles/mini-int8
MINI_VULKAN := build/bundles/mini-vulkan
AARCH64_PACKAGE := build/packages/aarch64-linux
ANDROID_PACKAGE := build/packages/android-arm64
CPP_SOURCES := CMakeLists.txt pyproject.toml \
  $(shell find cmake cpp kernels android_runner tests/cpp -type f -not -name '*.py' \
    -not -name '*.pyc' 2>/dev/null)
PACK_SOURCES := $(wildcard android_runner/*.py android_runner/*.sh) cmake/fetch_executorch.py
EXPORT_SOURCES := python/mobilevd/presets.py \
  $(shell find python/mobilevd/models python/mobilevd/export python/mobilevd/compress \
    python/mobilevd/kernels python/mobilevd/weights -type f -not -name '*.pyc' \
    -not -path '*/bench/*' 2>/dev/null)
CPP_FORMATTED = $(shell find cpp kernels android_runner tests/cpp -name '*.cc' -o -name '*.h')

.PHONY: help demo test test-packages test-slow full-size full-size-bench full-size-precision precision test-vulkan test-python test-cpp test-sanitizers test-valgrind \
  test-aarch64 test-aarch64-runner lint format bench bundle aarch64-bundle android-bundle android-needs install clean
help:
	@echo "make demo     photograph, digits -> out/demo/{clip,digits}.mp4, contact sheets, result.json"
	@echo "make test     pytest, ctest, sanitizers, ARM under qemu, lint; also one by one:"
	@echo "              make test-python test-cpp test-sanitizers test-aarch64 test-aarch64-runner lint"
	@echo "make test-valgrind  the kernels alone, under valgrind and installed; CI runs it, too"
	@echo "make test-slow  what takes minutes: full sizes"
	@echo "make full-size  export and clip of mobilevd-512x256, random weights: 45 minutes, 14 GB of disk"
	@echo "make full-size-bench  mobilevd-512x256 and -xs against every peer: hours, 40 GB of disk"
	@echo "make full-size-precision  full-size, then fp16 and int8 beside it: an hour, 25 GB of disk"
	@echo "make precision  mini in fp32, fp16 and int8: size, time, memory, PSNR and SSIM"
	@echo "make test-vulkan  mini on a Vulkan driver, with a runtime that you give"
	@echo "make bench    the kernels against their peers"
	@echo "make bundle   export the shipped mini to $(MINI)"
	@echo "make aarch64-bundle  runner, libraries and mini for 64-bit ARM Linux: $(AARCH64_PACKAGE)"
	@echo "make android-bundle  the same for Android, with an NDK and an ExecuTorch that you give"
	@echo "make format   ruff and clang-format, in place"

# torch first: an unpinned range, or executorch's own, may bring a CUDA build of several GB.
$(VENV)/.torch:
	@$(PYTHON) -c 'import ensurepip, os, sysconfig; \
	  open(os.path.join(sysconfig.get_path("include"), "Python.h"))' 2>/dev/null && \
	  command -v g++ >/dev/null || \
	  { echo "Needed first: apt-get install g++ python3-venv python3-dev"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install "pip>=24"
	@$(PIP) install --dry-run --quiet --report $(VENV)/plan.json $(TORCH) && \
	  if grep -q '"name": "nvidia' $(VENV)/plan.json && [ -z "$(TORCH_CUDA)" ]; then \
	    echo "Your package index has no CPU build of torch 2.13.0, only CUDA's (several GB):" \
	      "name an index that has one (make TORCH_INDEX=... demo) or say make TORCH_CUDA=1"; \
	    exit 1; fi
	$(PIP) install $(TORCH)
	$(PIP) install executorch==1.5.1
	@touch $@

$(VENV)/.requirements: $(VENV)/.torch pyproject.toml
	$(PIP) install "scikit-build-core>=0.11" "pybind11>=3" "cmake>=3.28" ninja
	$(BIN)/python cmake/requirements.py dev > $(VENV)/requirements.txt
	$(PIP) install -r $(VENV)/requirements.txt
	@touch $@

# Editable: Python sources are used where they are; C++ is built in build/ and reused.
$(VENV)/.built: $(VENV)/.requirements $(CPP_SOURCES)
	CMAKE_BUILD_PARALLEL_LEVEL=$(JOBS) $(WITH_VENV) \
	  $(PIP) install --no-build-isolation --no-deps -e . -Cbuild-dir=$(BUILD) -Ccmake.define.MOBILEVD_TESTS=ON
	@touch $@

install: $(VENV)/.built

bundle: $(MINI)/bundle.json
$(MINI)/bundle.json: $(VENV)/.built $(EXPORT_SOURCES)
	@mkdir -p $(dir $(MINI))
	$(BIN)/mobilevd export --model mini -o $(MINI)
build/bundles/mini-%/bundle.json: $(VENV)/.built $(EXPORT_SOURCES)
	@mkdir -p $(dir $(@D))
	$(BIN)/mobilevd export --model mini --precision $* -o $(@D)
$(MINI_VULKAN)/bundle.json: $(VENV)/.built $(EXPORT_SOURCES)
	@mkdir -p $(dir $(MINI_VULKAN))
	$(BIN)/mobilevd export --model mini --backend vulkan --precision fp16 -o $(MINI_VULKAN)

# Folders that start from anywhere: android_runner/README.md.
PACK = $(BIN)/python android_runner/pack.py --bundle $(MINI)
aarch64-bundle: $(AARCH64_PACKAGE)/package.json
$(AARCH64_PACKAGE)/package.json: $(MINI)/bundle.json $(CPP_SOURCES) $(PACK_SOURCES)
	$(BIN)/python cmake/fetch_executorch.py
	$(WITH_VENV) cmake --preset aarch64-linux >/dev/null
	$(WITH_VENV) cmake --build --preset aarch64-linux -j $(JOBS)
	$(WITH_VENV) cmake --install build/aarch64-linux --prefix build/aarch64-linux/install --strip >/dev/null
	$(PACK) build/aarch64-linux/install --search build/executorch-aarch64/executorch/lib \
	  --search $$(dirname $$(aarch64-linux-gnu-g++ -print-file-name=libc.so.6)) \
	  --search $$(dirname $$(aarch64-linux-gnu-g++ -print-file-name=libstdc++.so.6)) -o $(@D)

# Not run in CI: neither is to be had there.
android-needs:
	@[ -n "$$ANDROID_NDK" ] && [ -n "$$EXECUTORCH_ANDROID" ] || { \
	  echo "make android-bundle needs ANDROID_NDK (r28 or newer) and EXECUTORCH_ANDROID (an ExecuTorch" \
	    "installed for Android): android_runner/README.md" >&2; exit 1; }
android-bundle: android-needs $(MINI)/bundle.json
	$(WITH_VENV) cmake --preset android-arm64 >/dev/null
	$(WITH_VENV) cmake --build --preset android-arm64 -j $(JOBS)
	$(WITH_VENV) cmake --install build/android-arm64 --prefix build/android-arm64/install --strip >/dev/null
	$(PACK) build/android-arm64/install -o $(ANDROID_PACKAGE) \
	  --search $$(echo "$$ANDROID_NDK"/toolchains/llvm/prebuilt/*/sysroot/usr/lib/aarch64-linux-android)

demo: out/demo/clip.mp4 out/demo/digits.mp4
	@echo "out/demo: clip.mp4, contact_sheet.png, result.json of a photograph; digits*, of what mini knows best"

# Pictures that training never saw (training/data): a photograph, and two handwritten digits.
out/demo/photo.jpg: $(VENV)/.built
	@mkdir -p $(@D)
	$(BIN)/python -c 'import shutil; \
	  from mobilevd.training.data.photographs import HELD_OUT, package_file; \
	  shutil.copy(package_file(*HELD_OUT[0]), "$@")'
out/demo/digits.png: $(VENV)/.built
	@mkdir -p $(@D)
	$(BIN)/python -c 'from PIL import Image; from mobilevd.training.data import MovingDigits, clip_rng; \
	  Image.fromarray(MovingDigits("test").draw(clip_rng(14, 3), 1, (64, 64)).frames[0]).save("$@")'

# $(call clip,picture,prefix of the other files)
define clip
	$(BIN)/mobilevd_runner --bundle $(MINI) --image $(1) --seed 7 \
	  --output out/demo/$(2)frames --json out/demo/$(2)result.json
	$(BIN)/mobilevd encode out/demo/$(2)frames -o $@ --fps 7 --image $(1) \
	  --contact-sheet out/demo/$(2)contact_sheet.png
endef
out/demo/clip.mp4: out/demo/photo.jpg $(MINI)/bundle.json
	$(call clip,$<)
out/demo/digits.mp4: out/demo/digits.png $(MINI)/bundle.json
	$(call clip,$<,digits_)

lint: $(VENV)/.built
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run -Werror $(CPP_FORMATTED)

format: $(VENV)/.requirements
	$(BIN)/ruff check --fix-only -q .
	$(BIN)/ruff format -q .
	$(BIN)/clang-format -i $(CPP_FORMATTED)

# Everything that is checked; each part is a target of its own. What it needs beyond `make demo` is
# looked for first.
TESTS := test-python test-cpp test-sanitizers test-aarch64 test-aarch64-runner
test: test-packages $(TESTS) lint

test-packages:
	@missing=; need() { command -v $$1 >/dev/null || [ -e $$1 ] || missing="$$missing $$2"; }; \
	need /usr/src/googletest googletest; \
	need aarch64-linux-gnu-g++ g++-aarch64-linux-gnu; need qemu-aarch64-static qemu-user-static; \
	need mksh mksh; need toybox toybox; need adb adb; \
	[ -z "$$missing" ] || { echo "make test needs: apt-get install$$missing" \
	  "(without: make test-cpp test-sanitizers lint)" >&2; exit 1; }

BUNDLES := $(MINI)/bundle.json $(MINI_VULKAN)/bundle.json
WITH_BUNDLES := MOBILEVD_MINI_BUNDLE=$(abspath $(MINI)) \
  MOBILEVD_MINI_VULKAN_BUNDLE=$(abspath $(MINI_VULKAN)) MOBILEVD_BUILD=$(abspath $(BUILD))
test-python: $(BUNDLES)
	$(WITH_BUNDLES) $(BIN)/python -m pytest -n $(JOBS) --dist loadscope

# Minutes each; not part of make test.
test-slow: $(BUNDLES)
	$(WITH_BUNDLES) $(BIN)/python -m pytest -m slow

# The bundle stays in build/full-size; a second run exports nothing.
full-size: $(VENV)/.built
	MOBILEVD_FULL_SIZE=$(abspath build) $(BIN)/python -m pytest -m full_size

# Hours, on an idle machine; what was cut off goes on. The figures of results/full-size.
PEERS_OF := mobilevd-512x256 mobilevd-xs
full-size-bench: $(VENV)/.built
	for preset in $(PEERS_OF); do \
	  $(BIN)/mobilevd bench --preset $$preset --peers --weights random:0 --work build/peers \
	    --delete-converted \
	    --json results/full-size/peers-$$preset.json || exit; done
	$(BIN)/python -m mobilevd.evaluate.peers $(PEERS_OF:%=results/full-size/peers-%.json) \
	  > results/full-size/peers.md

# Exports of fp16 and of int8, which calibrates on clips of the whole model, and a clip of each.
FULL_SIZE := build/full-size/mobilevd-512x256
$(FULL_SIZE)-%/bundle.json: $(VENV)/.built $(EXPORT_SOURCES)
	$(BIN)/mobilevd export --preset mobilevd-512x256 --weights random:0 --precision $* -o $(@D)
full-size-precision: full-size $(FULL_SIZE)-fp16/bundle.json $(FULL_SIZE)-int8/bundle.json
	$(BIN)/mobilevd compare $(FULL_SIZE) $(FULL_SIZE)-fp16 $(FULL_SIZE)-int8 --no-stages --clips 1 \
	  --repeat 1 --json results/full-size/precision.json

# The table of results/precision.
precision: $(MINI)/bundle.json $(MINI_FP16)/bundle.json $(MINI_INT8)/bundle.json
	$(BIN)/mobilevd compare $(MINI) $(MINI_FP16) $(MINI_INT8) --model mini --clips 15 --threads 1 \
	  --json out/precision.json

# No package has a Vulkan runtime: "Vulkan and QNN" in android_runner/README.md.
test-vulkan: $(BUNDLES)
	@[ -f "$$MOBILEVD_VULKAN_RUNTIME" ] || { echo "make test-vulkan needs MOBILEVD_VULKAN_RUNTIME=" \
	  "the path of a shared library that registers VulkanBackend" >&2; exit 1; }
	$(WITH_BUNDLES) $(BIN)/python -m pytest -m vulkan

CTEST = $(WITH_VENV) ctest --output-on-failure --no-tests=error -j $(JOBS)
WITH_MINI := MOBILEVD_MINI_BUNDLE=$(abspath $(MINI))
test-cpp: $(MINI)/bundle.json
	$(WITH_MINI) $(CTEST) --test-dir $(BUILD)

# The thread sanitizer of GCC 12 does not know the address layouts of newer Linux kernels, hence
# setarch -R where it is allowed.
test-sanitizers: $(MINI)/bundle.json
	$(WITH_VENV) cmake --preset asan >/dev/null
	$(WITH_VENV) cmake --build --preset asan -j $(JOBS)
	$(CTEST) --preset asan
	$(WITH_MINI) ASAN_OPTIONS=detect_leaks=1 $(CTEST) --test-dir build/asan -L '^bundle$$'
	$(WITH_VENV) cmake --preset tsan >/dev/null
	$(WITH_VENV) cmake --build --preset tsan -j $(JOBS)
	$(WITH_VENV) $$(setarch -R true 2>/dev/null && echo setarch -R) ctest --preset tsan -j $(JOBS)

# The kernels alone, as their own project: installed and used by the example, and under valgrind.
test-valgrind: $(VENV)/.requirements
	@command -v valgrind >/dev/null && command -v pkg-config >/dev/null || { \
	  echo "make test-valgrind needs: apt-get install valgrind pkg-config" >&2; exit 1; }
	$(WITH_VENV) cmake -Wno-deprecated -S kernels -B build/kernels -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo \
	  -DMOBILEVD_KERNELS_OPTIMIZE=-O1 -DMOBILEVD_KERNELS_TESTS=ON -DMOBILEVD_KERNELS_VALGRIND=ON >/dev/null
	$(WITH_VENV) cmake --build build/kernels -j $(JOBS)
	$(CTEST) --test-dir build/kernels -R '^kernels_'

# The ARM variants of the kernels that the package has, each on an emulated CPU without better.
test-aarch64: test-packages $(AARCH64_PACKAGE)/package.json
	$(WITH_VENV) cmake --preset aarch64-linux -Wno-deprecated -DMOBILEVD_KERNELS_TESTS=ON >/dev/null
	$(WITH_VENV) cmake --build build/aarch64-linux -j $(JOBS) --target mobilevd_kernels_test
	$(CTEST) --test-dir build/aarch64-linux/kernels

# The runner for ARM, packed and run whole.
test-aarch64-runner: test-packages $(AARCH64_PACKAGE)/package.json
	MOBILEVD_AARCH64_PACKAGE=$(abspath $(AARCH64_PACKAGE)) $(BIN)/python -m pytest -m aarch64

# The figures of kernels/README.md: on an idle machine, then with --markdown (see there).
bench: $(VENV)/.built
	@mkdir -p out
	OMP_WAIT_POLICY=passive $(BIN)/mobilevd bench --json out/bench.json

clean:
	rm -rf build out
