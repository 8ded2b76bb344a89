typedef struct { long __regs[25]; } jmp_buf[1];
typedef jmp_buf sigjmp_buf;
__HW_BEGIN
int setjmp(jmp_buf);
int _setjmp(jmp_buf);
int sigsetjmp(sigjmp_buf, int);
void longjmp(jmp_buf, int) __attribute__((noreturn));
void _longjmp(jmp_buf, int) __attribute__((noreturn));
void siglongjmp(sigjmp_buf, int) __attribute__((noreturn));
__HW_END
