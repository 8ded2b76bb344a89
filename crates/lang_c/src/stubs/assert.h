#undef assert
#ifdef NDEBUG
#define assert(...) ((void)0)
#else
#define assert(...) __heapwise_assume((__VA_ARGS__))
#endif
#if !defined __cplusplus && !defined static_assert
#define static_assert _Static_assert
#endif
