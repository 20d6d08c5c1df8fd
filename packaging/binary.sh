# What the scripts that pack the binary have in common; sourced by them, with $here set.
root=$(cd "$here/.." && pwd)

# release_binary: the path of the binary to pack; builds it unless LEVERET_BIN names one.
release_binary() {
    if [ -n "${LEVERET_BIN:-}" ]; then
        realpath "$LEVERET_BIN"
        return
    fi
    cargo build --release --locked --quiet --manifest-path "$root/Cargo.toml" >&2
    realpath "${CARGO_TARGET_DIR:-$root/target}/release/leveret"
}

# linked BINARY: the names of the libraries that it is linked with.
linked() {
    readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'
}

# linked_paths BINARY: where these are, but for the loader.
linked_paths() {
    ldd "$1" | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p'
}

# glibc_needed BINARY: the oldest version of glibc that has all that it uses.
glibc_needed() {
    readelf --dyn-syms --wide "$1" | grep -o 'GLIBC_[0-9.]*' | sed s/GLIBC_// | sort -Vu | tail -1
}
