#!/bin/bash
# Packs what sweeps need and a machine without network lacks, if that has Linux on x86-64, Python 3.12, PyTorch 2.11 or later and the
# packages that usually come with it (torchvision, transformers, pyarrow, pandas, scikit-learn, tensorboard, typer, pytest and theirs).
#
#     bash benchmarks/offline/pack.sh        # here: .offline/packages.tar.zst, about 30 MiB; git ignores the folder
#     cp CIFAR-10-ARCHIVE .offline/          # for the stages with CIFAR: whatever `ire data prepare` reads
#     bash benchmarks/gpu.sh STAGE ...       # there, in a copy of this folder with .offline in it
#
# PIP (pip), PYTHON (3.12) and WHEELS, a folder that keeps the downloads, may be set. Needs unzip, strip and zstd.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
wheels=${WHEELS:-$work/wheels} site=$work/site
download() {
    "${PIP:-pip}" download -q --no-deps --only-binary=:all: --python-version "${PYTHON:-3.12}" --implementation cp --platform any \
        $(printf -- '--platform manylinux_2_%s_x86_64 ' 34 28 27 24 17 12 5) --platform manylinux2014_x86_64 --platform manylinux1_x86_64 \
        -d "$wheels" "$@"
}
# Ray with its extras default, tune and train, and Optuna, less what is never imported (py-spy, virtualenv); then what else `ire`
# and the tests that use a GPU import. ire/optim/ needs none of them.
[ -d "$wheels" ] || {
    download ray==2.60.0 optuna==5.0.0 tomli_w pytorch_optimizer schedulefree tensorboardX six jsonschema jsonschema-specifications referencing \
        rpds-py pydantic annotated-types typing-inspection aiohttp_cors colorful smart_open opencensus opencensus-context google-api-core \
        googleapis-common-protos google-auth proto-plus pyasn1 pyasn1-modules opentelemetry-api opentelemetry-sdk opentelemetry-proto \
        opentelemetry-semantic-conventions opentelemetry-exporter-prometheus alembic Mako colorlog SQLAlchemy greenlet
    download "pydantic-core==$(unzip -p "$wheels"/pydantic-[0-9]*.whl '*/METADATA' | grep -oP '^Requires-Dist: pydantic-core==\K\S+')"
}
mkdir -p "$site" .offline
for wheel in "$wheels"/*.whl; do unzip -q -o "$wheel" -d "$site"; done
for lib in "$site"/*.data/{purelib,platlib}; do [ ! -d "$lib" ] || cp -r "$lib"/. "$site"; done
cd "$site"
rm -rf ./*.data ray/jars ray/rllib ray/serve ray/llm ray/cpp ray/dashboard/client/build ray/includes
find . \( -name tests -o -name test -o -name examples -o -name benchmarks \) -type d -not -path './ray/core/*' -prune -exec rm -rf {} +
find . -type f \( -name '*.map' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.pyi' -o -name '*.h' -o -name '*.c' \) -delete
find . -type f \( -name '*.so' -o -name '*.so.*' -o -name gcs_server -o -name raylet \) -exec strip --strip-unneeded {} + 2>/dev/null || true
cd "$OLDPWD"
tar -C "$site" --sort=name --owner=0 --group=0 --mtime=@0 -cf - . | zstd -q -f -T0 -15 --long=27 -o .offline/packages.tar.zst
du -shc .offline/* $(git ls-files) | sed -n '/packages/p; $s/total/all that travels/p'
