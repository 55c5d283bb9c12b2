# To be sourced in the root of the copy: unpacks .offline/packages.tar.zst once per machine, to $SITE, and puts it on the path behind
# this folder. benchmarks/gpu.sh does so itself. Ray's workers inherit all of it.
SITE=${SITE:-/tmp/ire-site}
if [ ! -e "$SITE/.complete" ]; then
    mkdir -p "$SITE"
    if command -v zstd >/dev/null; then zstd -dc --long=27 .offline/packages.tar.zst | tar -xf - -C "$SITE"
    else python3 - "$SITE" <<'P'
import sys, tarfile, pyarrow  # pyarrow brings zstd
with pyarrow.input_stream(".offline/packages.tar.zst", compression="zstd") as stream:
    tarfile.open(fileobj=stream, mode="r|").extractall(sys.argv[1], filter="fully_trusted")
P
    fi && { python3 -m compileall -q -j 0 "$SITE" >/dev/null; touch "$SITE/.complete"; }
fi
export PYTHONPATH="$PWD:$SITE${PYTHONPATH:+:$PYTHONPATH}" RAY_USAGE_STATS_ENABLED=0
