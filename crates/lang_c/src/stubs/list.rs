stubs! {
    "stddef.h": "stddef.h" "cstddef" "linux/stddef.h";
    "stdint.h": "stdint.h" "cstdint" "stdint-gcc.h" "linux/types.h" "asm/types.h";
    "inttypes.h": "inttypes.h" "cinttypes";
    "stdbool.h": "stdbool.h" "cstdbool";
    "stdarg.h": "stdarg.h" "cstdarg" "varargs.h";
    "limits.h": "limits.h" "climits" "sys/limits.h" "linux/limits.h";
    "stdlib.h": "stdlib.h" "cstdlib" "malloc.h" "alloca.h";
    "string.h": "string.h" "cstring" "strings.h" "memory.h";
    "stdio.h": "stdio.h" "cstdio";
    "errno.h": "errno.h" "cerrno" "sys/errno.h" "asm/errno.h" "linux/errno.h";
    "assert.h": "assert.h" "cassert";
    "ctype.h": "ctype.h" "cctype";
    "wchar.h": "wchar.h" "cwchar" "wctype.h" "cwctype" "uchar.h" "cuchar";
    "sys_types.h": "sys/types.h" "sys/_types.h" "bits/types.h" "sys/uio.h";
    "time.h": "time.h" "ctime" "sys/time.h" "sys/timeb.h";
    "setjmp.h": "setjmp.h" "csetjmp";
    "signal.h": "signal.h" "csignal" "sys/signal.h" "ucontext.h" "sys/ucontext.h";
    "unistd.h": "unistd.h" "sys/unistd.h";
    "fcntl.h": "fcntl.h" "sys/fcntl.h" "sys/file.h";
    "sys_stat.h": "sys/stat.h";
    "posix.h": "sys/wait.h" "sys/mman.h" "poll.h" "sys/poll.h" "sys/select.h" "sys/resource.h" "dirent.h" "sys/dir.h" "dlfcn.h" "pwd.h" "grp.h" "sys/utsname.h" "sys/times.h" "utime.h" "sys/statvfs.h" "sys/statfs.h" "sys/vfs.h" "sys/mount.h" "termios.h" "termio.h" "sys/ioctl.h" "sys/termios.h" "syslog.h" "sys/syslog.h" "getopt.h" "regex.h" "glob.h" "fnmatch.h" "ftw.h" "locale.h" "clocale" "xlocale.h" "langinfo.h" "iconv.h" "semaphore.h" "sys/epoll.h" "sys/inotify.h" "sys/eventfd.h" "sys/timerfd.h" "sys/signalfd.h" "sys/sendfile.h" "sys/random.h" "sys/prctl.h" "execinfo.h" "err.h" "error.h" "libgen.h" "spawn.h" "search.h" "pty.h" "util.h" "libutil.h" "sys/ipc.h" "sys/shm.h" "sys/sem.h" "sys/msg.h" "sched.h" "endian.h" "sys/endian.h" "byteswap.h" "sys/param.h" "sys/cdefs.h" "features.h" "sys/sysmacros.h" "sys/syscall.h" "syscall.h" "sys/sysinfo.h" "paths.h" "crypt.h" "sys/stropts.h" "stropts.h" "sysexits.h" "sys/user.h" "sys/ptrace.h" "sys/personality.h" "sys/auxv.h" "link.h" "utmp.h" "utmpx.h" "shadow.h" "mntent.h" "wordexp.h" "monetary.h" "nl_types.h" "ulimit.h" "aio.h" "mqueue.h" "fenv.h" "cfenv" "complex.h" "ccomplex" "stdnoreturn.h" "stdalign.h" "tgmath.h" "values.h";
    "pthread.h": "pthread.h" "threads.h";
    "socket.h": "sys/socket.h" "netinet/in.h" "netinet/tcp.h" "netinet/udp.h" "netinet/ip.h" "arpa/inet.h" "netdb.h" "sys/un.h" "net/if.h" "ifaddrs.h" "linux/if.h" "netinet/in_systm.h" "arpa/nameser.h" "resolv.h";
    "math.h": "math.h" "cmath";
    "float.h": "float.h" "cfloat";
    "cpp.h": "string" "string_view" "iostream" "ostream" "istream" "fstream" "sstream" "iomanip" "ios" "iosfwd" "streambuf" "exception" "stdexcept" "new" "typeinfo" "typeindex" "vector" "list" "forward_list" "deque" "queue" "stack" "set" "unordered_set" "map" "unordered_map" "memory" "memory_resource" "optional" "variant" "any" "tuple" "utility" "functional" "algorithm" "numeric" "iterator" "array" "span" "bitset" "initializer_list" "thread" "mutex" "shared_mutex" "condition_variable" "future" "atomic" "chrono" "random" "regex" "filesystem" "limits" "type_traits" "ratio" "complex" "valarray" "locale" "codecvt" "system_error" "scoped_allocator" "concepts" "ranges" "compare" "coroutine" "numbers" "bit" "charconv" "source_location" "stop_token" "semaphore" "latch" "barrier" "format" "version";
    "stdatomic.h": "stdatomic.h";
}
