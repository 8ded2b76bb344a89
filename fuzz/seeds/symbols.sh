#!/bin/sh
# Makes the seeds of the target "symbols": small ELF files with every kind of debug information.
set -eu
out=$(cd "$(dirname "$0")" && pwd)/symbols
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"
cd "$work"
cat > a.c <<'C'
static inline int twice(int x) { return x * 2; }
int work(int n) { return twice(n) + twice(n * n); }
int _start(void) { return work(3); }
C
cat > b.cc <<'C'
namespace ns { template<class T> struct Box { T value; Box(T v) : value(v) {} T get() const { return value; } }; }
int work(int n) { ns::Box<int> box(n); return box.get(); }
extern "C" int _start() { return work(3); }
C
link="-nostdlib -static -Wl,-z,max-page-size=16,-z,noseparate-code,--build-id"
gcc -O2 -g -gdwarf-4 $link a.c -o "$out/dwarf4"
gcc -O2 -g -gdwarf-5 $link a.c -o "$out/dwarf5"
gcc -O2 -g -gdwarf-5 -gz=zlib $link a.c -o "$out/zlib"
gcc -O2 -g -gsplit-dwarf $link a.c -o "$out/split"
gcc -O0 -g -gdwarf-2 -gstrict-dwarf $link a.c -o "$out/dwarf2"
g++ -O1 -g $link b.cc -o "$out/cpp"
gcc -O2 $link a.c -o "$out/plain"
gcc -O2 -s $link a.c -o "$out/stripped"
gcc -O2 -shared -fPIC -nostdlib -Wl,-z,max-page-size=16,-z,noseparate-code a.c -o "$out/shared"
if objcopy --compress-debug-sections=zstd "$out/dwarf5" "$out/zstd" 2>/dev/null; then :; else rm -f "$out/zstd"; fi
objcopy --only-keep-debug "$out/dwarf4" a.debug
objcopy --strip-debug --add-gnu-debuglink=a.debug "$out/dwarf4" "$out/debuglink"
printf '#! /usr/bin/env python3 -u\n' > "$out/script"
