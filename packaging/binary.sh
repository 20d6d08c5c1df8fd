# What the scripts that pack the binary have in common; sourced by them, with $here set.
root=$(cd "$here/.." && pwd)

# build_static: builds the static binary. Only the last step of linking differs from `cargo build
# --release`, so that both share what was compiled. It needs the C library's archive (libc.a), which
# Debian has beside its headers.
build_static() {
    cargo rustc --release --locked --manifest-path "$root/Cargo.toml" --package leveret --bin leveret \
        "$@" -- -C target-feature=+crt-static
}

# release_binary: the path of the binary to pack; builds it unless LEVERET_BIN names one.
release_binary() {
    if [ -n "${LEVERET_BIN:-}" ]; then
        realpath "$LEVERET_BIN"
        return
    fi
    build_static --quiet >&2
    realpath "${CARGO_TARGET_DIR:-$root/target}/release/leveret"
}

# linked BINARY: the names of the libraries that it is linked with; none, if it is static.
linked() {
    readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'
}

# must_be_static BINARY: ends the script if it is not.
must_be_static() {
    if [ -n "$(linked "$1")" ] || readelf -lW "$1" | grep -q INTERP; then
        echo "$1 is not static: leave LEVERET_BIN away, or see build_static in packaging/binary.sh" >&2
        exit 1
    fi
}

# glibc_needed BINARY: the oldest version of glibc that has all that it uses.
glibc_needed() {
    readelf --dyn-syms --wide "$1" | grep -o 'GLIBC_[0-9.]*' | sed s/GLIBC_// | sort -Vu | tail -1
}
