#!/bin/sh
# Starts the runner of this folder with the libraries and the loader of this folder, wherever it lies.
here=$(readlink -f "$0") || exit 1
here=${here%/*}
case $here in
  *[:\;]*)
    echo "mobilevd_runner: the folder's path may hold neither ':' nor ';': $here" >&2
    exit 2
    ;;
esac
exec ${MOBILEVD_EMULATOR:+"$MOBILEVD_EMULATOR"} "$here/lib/@LOADER@" --library-path "$here/lib" \
  "$here/bin/mobilevd_runner" "$@"
