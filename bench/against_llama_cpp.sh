#!/usr/bin/env bash
# Compares `oll bench` with llama.cpp, run alternately on the same files, threads and tests.
#
#   bench/against_llama_cpp.sh [OPTION]... MODEL... [-- ARGUMENT OF `oll bench`]...
#
# MODEL is a file, or SHAPE:TYPE (1b:q4_k_m) for one that oll makes up. llama.cpp comes from the source inside the
# Python package llama-cpp-python and is built here, for this machine.
#
#   --avx2           build llama.cpp for AVX2 alone and hold oll to that level
#   --peer PROGRAM   compare with this llama-bench instead (no download, no build)
#   --peer-args W    further arguments for it, e.g. "-rtr 1"
#   --version V      version of llama-cpp-python (default: the newest)
#   --rounds N       rounds of each test (default 5)
#   --oll PROGRAM    oll to measure (default: build/oll)
#   --build-only     stop when the peer is built; prints its path
#
# Source and builds are kept in ${XDG_CACHE_HOME:-~/.cache}/oll/peers.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
oll=$root/build/oll
peer= version= isa=native rounds=5 build_only=
peer_args=() models=() rest=()

die() {
  printf 'Error: %s\n' "$*" >&2
  exit 1
}

usage() {
  sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
  exit "${1:-0}"
}

while [ $# -gt 0 ]; do
  case $1 in
    --avx2) isa=avx2 ;;
    --build-only) build_only=1 ;;
    --peer | --peer-args | --version | --rounds | --oll)
      [ $# -ge 2 ] || die "$1 needs a value"
      case $1 in
        --peer) peer=$2 ;;
        --peer-args) peer_args=(--peer-args "$2") ;;
        --version) version=$2 ;;
        --rounds) rounds=$2 ;;
        --oll) oll=$2 ;;
      esac
      shift
      ;;
    -h | --help) usage ;;
    --)
      shift
      rest=("$@")
      break
      ;;
    -*) die "unknown option $1 (--help lists them)" ;;
    *) models+=("$1") ;;
  esac
  shift
done

# fetch_source FOLDER: unpacks the source of llama-cpp-python below FOLDER; prints the path of llama.cpp in it.
fetch_source() {
  local found
  found=$(find "$1" -maxdepth 3 -path '*/vendor/llama.cpp' -type d 2>/dev/null | sort -V | tail -n 1)
  if [ -z "$found" ]; then
    printf 'fetching the source of llama-cpp-python\n' >&2
    mkdir -p "$1"
    python3 -m pip download --quiet --no-deps --no-binary llama-cpp-python --dest "$1" \
      "llama-cpp-python${version:+==$version}" >&2 || die "pip cannot fetch llama-cpp-python"
    tar -xzf "$(find "$1" -name 'llama_cpp_python-*.tar.gz' | sort -V | tail -n 1)" -C "$1"
    found=$(find "$1" -maxdepth 3 -path '*/vendor/llama.cpp' -type d | sort -V | tail -n 1)
    [ -n "$found" ] || die "the package has no vendor/llama.cpp"
  fi
  printf '%s\n' "$found"
}

# build_peer SOURCE BUILD: llama-bench and llama-batched-bench, optimised for the chosen instructions.
build_peer() {
  local flags=(-DGGML_NATIVE=ON)
  if [ "$isa" = avx2 ]; then
    flags=(-DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON)
  fi
  printf 'building llama.cpp (%s) in %s\n' "$isa" "$2" >&2
  cmake -S "$1" -B "$2" -DCMAKE_BUILD_TYPE=Release "${flags[@]}" -DBUILD_SHARED_LIBS=OFF -DLLAMA_CURL=OFF \
    -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF >"$2.log" 2>&1 &&
    cmake --build "$2" --parallel "$(nproc)" --target llama-bench llama-batched-bench >>"$2.log" 2>&1 ||
    die "the build failed; see $2.log"
}

if [ -z "$peer" ]; then
  cache=${XDG_CACHE_HOME:-$HOME/.cache}/oll/peers
  build=$cache/build-$isa${version:+-$version}
  peer=$build/bin/llama-bench
  if [ ! -x "$peer" ]; then
    source=$(fetch_source "$cache/source${version:+-$version}")
    build_peer "$source" "$build"
  fi
fi
[ -x "$peer" ] || die "$peer is no program"
if [ -n "$build_only" ]; then
  printf '%s\n' "$peer"
  exit 0
fi

[ ${#models[@]} -gt 0 ] || usage 2 >&2
[ -x "$oll" ] || die "$oll is missing: build oll first, or name it with --oll"
if [ "$isa" = avx2 ]; then
  export OLL_CPU_ISA=avx2
fi

for model in "${models[@]}"; do
  case $model in
    *:*) what=(--forge "$model") ;;
    *) what=("$model") ;;
  esac
  printf '\n%s, %s, against %s\n\n' "$model" "$isa" "$peer"
  "$oll" bench "${what[@]}" --against "$peer" --rounds "$rounds" ${peer_args[@]+"${peer_args[@]}"} \
    ${rest[@]+"${rest[@]}"}
done
