"""Pack the runner and every library it needs into one folder that starts from anywhere.

The folder holds ``package.json``, written last, and the files that it lists::

    {
     "schema": 1,
     "version": "0.1.0",                     of MobileVD
     "executorch": "1.5.1",
     "abi": "arm64-v8a",                     as Android names it: arm64-v8a, x86_64
     "os": "android",                        or "linux-gnu": glibc, with its own loader
     "page_size": 16384,                     the smallest alignment of any LOAD segment
     "runner": "mobilevd_runner",            what to start, relative to the folder
     "bundle": "bundle",                     folder of the bundle, or null
     "files": {"lib/libmobilevd_ops.so": {"sha256": "...", "bytes": 1, "executable": false}, ...}
    }

``files`` are all files below the folder except ``package.json``, by relative path with "/", sorted;
files with ``executable`` get mode 0755, the others 0644. There are no links.

``runner`` is started with the runner's own arguments and the caller's working directory. For
``linux-gnu`` it is a script of /bin/sh that starts the packed loader with the packed libraries; for
``android`` the program itself, whose run path is relative. Where the CPU cannot run the files,
``MOBILEVD_EMULATOR`` in the script's environment names the program to run them by
(``qemu-aarch64-static``; one word, found on the PATH).
"""
