// C++
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#define __hw(n) __attribute__((heapwise_opaque(n)))
namespace std {
class __hw(32) string;
class __hw(32) wstring;
class __hw(16) string_view;
class __hw(272) ostream;
class __hw(280) istream;
class __hw(288) iostream;
class __hw(512) ofstream;
class __hw(520) ifstream;
class __hw(528) fstream;
class __hw(392) stringstream;
class __hw(376) ostringstream;
class __hw(384) istringstream;
class __hw(8) exception;
class __hw(16) runtime_error;
class __hw(16) logic_error;
class __hw(16) invalid_argument;
class __hw(16) out_of_range;
class __hw(16) length_error;
class __hw(16) overflow_error;
class __hw(16) domain_error;
class __hw(16) range_error;
class __hw(8) bad_alloc;
class __hw(8) bad_cast;
class __hw(8) exception_ptr;
class __hw(16) error_code;
class __hw(32) system_error;
class __hw(40) mutex;
class __hw(40) recursive_mutex;
class __hw(40) timed_mutex;
class __hw(56) shared_mutex;
class __hw(48) condition_variable;
class __hw(8) thread;
class __hw(8) jthread;
class __hw(40) path;
class __hw(16) any;
class __hw(5000) mt19937;
class __hw(2) random_device;
class __hw(32) regex;
template <class T> class __hw(24) vector;
template <class T> class __hw(24) list;
template <class T> class __hw(8) forward_list;
template <class T> class __hw(80) deque;
template <class T> class __hw(80) queue;
template <class T> class __hw(80) stack;
template <class T> class __hw(32) priority_queue;
template <class T> class __hw(48) set;
template <class T> class __hw(48) multiset;
template <class T> class __hw(56) unordered_set;
template <class K, class V> class __hw(48) map;
template <class K, class V> class __hw(48) multimap;
template <class K, class V> class __hw(56) unordered_map;
template <class K, class V> class __hw(56) unordered_multimap;
template <class T> class __hw(8) unique_ptr;
template <class T> class __hw(16) shared_ptr;
template <class T> class __hw(16) weak_ptr;
template <class T> class __hw(8) auto_ptr;
template <class T> class __hw(16) enable_shared_from_this;
template <class T> class __hw(24) optional;
template <class T> class __hw(32) function;
template <class T> class __hw(16) span;
template <class T> class __hw(16) future;
template <class T> class __hw(24) promise;
template <class T> class __hw(8) lock_guard;
template <class T> class __hw(16) unique_lock;
template <class T> class __hw(8) shared_lock;
template <class T> class __hw(8) scoped_lock;
template <class T> class __hw(32) basic_string;
template <class T> class __hw(16) initializer_list;
template <class T> class __hw(8) hash;
template <class A, class B> struct pair { A first; B second; pair(const A &a, const B &b) : first(a), second(b) {} pair() {} };
template <class T, size_t N> struct array {
    T __items[N];
    T &operator[](size_t i) { return __items[i]; }
    T &at(size_t i) { return __items[i]; }
    T &front() { return __items[0]; }
    T &back() { return __items[N - 1]; }
    T *data() { return __items; }
    T *begin() { return __items; }
    T *end() { return __items + N; }
    size_t size() const { return N; }
    bool empty() const { return N == 0; }
    void fill(const T &value) { for (size_t i = 0; i < N; i++) __items[i] = value; }
};
template <class T> struct atomic {
    T __value;
    atomic() {}
    atomic(T value) : __value(value) {}
    T load(int order = 0) const { return __value; }
    void store(T value, int order = 0) { __value = value; }
    operator T() const { return __value; }
};
struct nothrow_t {};
extern const nothrow_t nothrow;
extern ostream cout, cerr, clog;
extern istream cin;
template <class T> const T &min(const T &a, const T &b) { return b < a ? b : a; }
template <class T> const T &max(const T &a, const T &b) { return a < b ? b : a; }
template <class T> void swap(T &a, T &b) { T kept = a; a = b; b = kept; }
template <class A, class B> pair<A, B> make_pair(A a, B b) { return pair<A, B>(a, b); }
template <class T, class A> unique_ptr<T> make_unique(A, ...);
template <class T> unique_ptr<T> make_unique();
template <class T, class A> shared_ptr<T> make_shared(A, ...);
template <class T> shared_ptr<T> make_shared();
string to_string(long value);
int stoi(const string &text);
void terminate() __attribute__((noreturn));
}
