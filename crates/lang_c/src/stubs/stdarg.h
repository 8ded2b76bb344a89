typedef __builtin_va_list va_list;
typedef __builtin_va_list __gnuc_va_list;
#ifdef __cplusplus
extern "C" {
#endif
void __builtin_va_start(__builtin_va_list, ...);
void __builtin_va_end(__builtin_va_list);
void __builtin_va_copy(__builtin_va_list, __builtin_va_list);
#ifdef __cplusplus
}
#endif
#define va_start(list, last) __builtin_va_start(list, last)
#define va_end(list) __builtin_va_end(list)
#define va_arg(list, type) __builtin_va_arg(list, type)
#define va_copy(to, from) __builtin_va_copy(to, from)
#define __va_copy(to, from) __builtin_va_copy(to, from)
