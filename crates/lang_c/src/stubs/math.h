#define HUGE_VAL 1e999
#define HUGE_VALF 1e999f
#define INFINITY 1e999f
#define NAN (0.0f / 0.0f)
#define M_E 2.7182818284590452354
#define M_LN2 0.69314718055994530942
#define M_LN10 2.30258509299404568402
#define M_PI 3.14159265358979323846
#define M_PI_2 1.57079632679489661923
#define M_PI_4 0.78539816339744830962
#define M_SQRT2 1.41421356237309504880
#define FP_NAN 0
#define FP_INFINITE 1
#define FP_ZERO 2
#define FP_SUBNORMAL 3
#define FP_NORMAL 4
typedef double double_t;
typedef float float_t;
__HW_BEGIN
#define __HW_1(f) double f(double); float f##f(float); long double f##l(long double);
#define __HW_2(f) double f(double, double); float f##f(float, float); long double f##l(long double, long double);
__HW_1(acos) __HW_1(asin) __HW_1(atan) __HW_1(cos) __HW_1(sin) __HW_1(tan) __HW_1(cosh) __HW_1(sinh) __HW_1(tanh)
__HW_1(acosh) __HW_1(asinh) __HW_1(atanh) __HW_1(exp) __HW_1(exp2) __HW_1(expm1) __HW_1(log) __HW_1(log10)
__HW_1(log2) __HW_1(log1p) __HW_1(logb) __HW_1(sqrt) __HW_1(cbrt) __HW_1(ceil) __HW_1(floor) __HW_1(trunc)
__HW_1(round) __HW_1(rint) __HW_1(nearbyint) __HW_1(fabs) __HW_1(erf) __HW_1(erfc) __HW_1(tgamma) __HW_1(lgamma)
__HW_2(atan2) __HW_2(pow) __HW_2(fmod) __HW_2(remainder) __HW_2(hypot) __HW_2(fmax) __HW_2(fmin) __HW_2(fdim)
__HW_2(copysign) __HW_2(nextafter)
double frexp(double, int *); double ldexp(double, int); double modf(double, double *); double scalbn(double, int);
float frexpf(float, int *); float ldexpf(float, int); float modff(float, float *);
double fma(double, double, double); float fmaf(float, float, float);
long lround(double); long lroundf(float); long lrint(double); long long llround(double); long long llrint(double);
int ilogb(double); double nan(const char *);
int isnan(double); int isinf(double); int isfinite(double); int isnormal(double); int signbit(double); int fpclassify(double);
int finite(double);
int isgreater(double, double); int isless(double, double); int isunordered(double, double);
__HW_END
