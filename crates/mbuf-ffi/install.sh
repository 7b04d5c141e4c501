#!/usr/bin/env bash
# Builds the library and installs it: libmbuf.a, libmbuf.so with its versioned names, headers, mbuf.pc, manual pages.
#
#     DESTDIR=/stage PREFIX=/usr LIBDIR=/usr/lib64 crates/mbuf-ffi/install.sh
#
# With LIBRARIES=dir it installs the libraries that are in dir and builds none.
set -euo pipefail
here=$(dirname "$0")

prefix=${PREFIX:-/usr/local}
libdir=${LIBDIR:-$prefix/lib}
dest=${DESTDIR:-}
version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"/\1/p' "$here/../../Cargo.toml")
libraries=${LIBRARIES:-}
if [ -z "$libraries" ]; then
    cargo build --release --manifest-path "$here/Cargo.toml"
    libraries=${CARGO_TARGET_DIR:-$here/../../target}/release
fi

include=$dest$prefix/include
manual=$dest$prefix/share/man/man9
install -d "$include/mbuf" "$dest$libdir/pkgconfig" "$manual"
install -m 644 "$here/include/mbuf.h" "$include/"
install -m 644 "$here"/include/mbuf/*.h "$include/mbuf/"
install -m 644 "$here"/man/*.9 "$manual/"
install -m 644 "$libraries/libmbuf.a" "$dest$libdir/"
install -m 755 "$libraries/libmbuf.so" "$dest$libdir/libmbuf.so.$version"
ln -sf "libmbuf.so.$version" "$dest$libdir/libmbuf.so.${version%%.*}"
ln -sf "libmbuf.so.${version%%.*}" "$dest$libdir/libmbuf.so"
sed "s|@PREFIX@|$prefix|; s|@LIBDIR@|$libdir|; s|@VERSION@|$version|" "$here/mbuf.pc.in" >"$dest$libdir/pkgconfig/mbuf.pc"
chmod 644 "$dest$libdir/pkgconfig/mbuf.pc"
