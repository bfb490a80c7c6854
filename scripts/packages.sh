# Sourced by run and test: the one list of what the machine must have, and its installation.
#
# Each row: group, Debian package, and a probe that tells whether it is there, however it came to be there:
# `cmd NAME` a program, `lib NAME` a pkg-config module, `header NAME` a C header, `python NAME` a Python module,
# `runtime` the sanitizer runtime of clang-19. Groups: build and model for run, all of them for test; comfort is what
# oll can be built without.
PACKAGES='
build gcc cmd cc
build libc6-dev header stdio.h
build cmake cmd cmake
build ninja-build cmd ninja
build pkg-config cmd pkg-config
build libssl-dev lib libcrypto
build libcurl4-openssl-dev lib libcurl
comfort libedit-dev lib libedit
comfort libzstd-dev lib libzstd
model python3 cmd python3
model python3-pip python pip
check clang-19 cmd clang-19
check libclang-rt-19-dev runtime -
check llvm-19 cmd llvm-symbolizer-19
check clang-format-19 cmd clang-format-19
check docker-registry cmd docker-registry
check nghttp2-proxy cmd nghttpx
check zsh cmd zsh
check fish cmd fish
check groff cmd groff
check btrfs-progs cmd mkfs.btrfs
check openssh-client cmd ssh-keygen
check debootstrap cmd debootstrap
check chromium cmd chromium
check chromium-driver cmd chromedriver
check python3-venv python ensurepip
check python3-jinja2 python jinja2
check python3-jsonschema python jsonschema
check python3-yaml python yaml
check nghttp2-client cmd h2load
'

die() {
  printf 'Error: %s\n' "$*" >&2
  exit 1
}

say() {
  printf '%s\n' "$*" >&2
}

probe() {
  case $1 in
    cmd) command -v "$2" >/dev/null 2>&1 ;;
    lib) pkg-config --exists "$2" 2>/dev/null ;;
    header) printf '#include <%s>\n' "$2" | cc -E -x c - >/dev/null 2>&1 ;;
    python) python3 -c "import $2" >/dev/null 2>&1 ;;
    runtime) ls "$(clang-19 -print-resource-dir 2>/dev/null)"/lib/*/*clang_rt.asan*.a >/dev/null 2>&1 ;;
  esac
}

# missing_packages GROUP...: names of the packages whose probe fails, one a line.
missing_packages() {
  local group package kind name
  while read -r group package kind name; do
    case " $* " in
      *" $group "*) probe "$kind" "$name" || printf '%s\n' "$package" ;;
    esac
  done <<<"$PACKAGES"
}

# install_packages GROUP...: installs what is missing, or stops with its names.
install_packages() {
  local missing sudo=
  missing=$(missing_packages "$@" | tr '\n' ' ')
  missing=${missing% }
  [ -n "$missing" ] || return 0
  command -v apt-get >/dev/null 2>&1 ||
    die "missing on this system (names of Debian's packages): $missing; install them and run this again"
  if [ "$(id -u)" -ne 0 ]; then
    sudo=sudo
    command -v sudo >/dev/null 2>&1 || die "missing packages: $missing; run as root: apt-get install $missing"
  fi
  say "installing Debian packages: $missing"
  local log
  log=$(mktemp) || die "no space for temporary files in ${TMPDIR:-the temporary folder}"
  # An index of one source that cannot be refreshed is no reason to stop: the install below tells.
  $sudo apt-get update </dev/null >"$log" 2>&1
  if ! $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    -o DPkg::Lock::Timeout=300 $missing </dev/null >>"$log" 2>&1; then
    tail -n 15 "$log" >&2
    local reason
    reason=$(failure_reason "$log")
    rm -f "$log"
    die "cannot install $missing: ${reason:-apt-get failed, its last lines are above}"
  fi
  rm -f "$log"
  missing=$(missing_packages "$@" | tr '\n' ' ')
  [ -z "$missing" ] || die "still missing after the installation: $missing"
}

# install_comfort: tries to install what would be nice to have, and says what goes on without it.
install_comfort() {
  local missing
  missing=$(missing_packages comfort | tr '\n' ' ')
  [ -z "$missing" ] || (install_packages comfort) 2>/dev/null || say "going on without ${missing% } (libedit: line editing in the chat; libzstd: compressed bodies of requests)"
}

# free_mib FOLDER: free space in MiB.
free_mib() {
  df -Pk "$1" | awk 'NR == 2 {print int($4 / 1024)}'
}

# failure_reason LOG: the cause in a few words where the text of apt or pip tells it, else nothing.
failure_reason() {
  if grep -qiE 'no space left|not enough free space|disk quota' "$1"; then
    printf 'the disk is full'
  elif grep -qiE 'could not resolve|name resolution|network is unreachable|failed to establish a new connection|connection (timed out|refused)|could not connect|failed to fetch|connecttimeout|no matching distribution|unable to locate package|no installation candidate' "$1"; then
    printf 'no network, or the package index cannot be reached'
  fi
}
