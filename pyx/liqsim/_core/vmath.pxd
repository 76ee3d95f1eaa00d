# Elementary functions for the lane loops.
#
# Design: branch-free, no libm, no tables, fixed evaluation order, so that the C compiler vectorises them at every
# instruction-set level and every level returns the same bits (the build forbids contraction and fast-math).
# Bit casts go through pointers (-fno-strict-aliasing). AVX2 has no conversion between 64-bit integers and doubles:
# integers below 2**52 are moved through the mantissa of a double of known exponent instead.
# Measured error of each function is asserted by the tests.

from libc.math cimport sqrt
from libc.stdint cimport int64_t, uint64_t

cdef inline uint64_t bits_of(double x) noexcept nogil:
    return (<uint64_t *> &x)[0]

cdef inline double double_of(uint64_t u) noexcept nogil:
    return (<double *> &u)[0]

cdef inline int64_t whole(double v) noexcept nogil:
    # v rounded to an integer, |v| < 2**51.
    cdef double magic = 6755399441055744.0
    return <int64_t> (bits_of(v + magic) - bits_of(magic))

cdef inline double nearest_whole(double v) noexcept nogil:
    cdef double magic = 6755399441055744.0
    return (v + magic) - magic

cdef inline double vlog(double x) noexcept nogil:
    # x a positive normal number. log x = k ln2 + log(1+f), 1+f in [sqrt(1/2), sqrt(2)), by the odd series in
    # s = f/(2+f); coefficients of FreeBSD's e_log.c (Sun Microsystems 1993, freely usable).
    cdef uint64_t shifted = bits_of(x) + 0x00095f6200000000ULL    # carries into the exponent when the mantissa >= sqrt(2)
    cdef double k = double_of((shifted >> 52) | 0x4330000000000000ULL) - 4503599627371519.0    # 2**52 + 1023
    cdef double f = double_of((shifted & 0x000fffffffffffffULL) + 0x3fe6a09e00000000ULL) - 1.0
    cdef double s = f / (2.0 + f)
    cdef double z = s * s
    cdef double w = z * z
    cdef double even = w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01))
    cdef double odd = z * (6.666666666666735130e-01 + w * (2.857142874366239149e-01 + w * (
        1.818357216161805012e-01 + w * 1.479819860511658591e-01)))
    cdef double half_square = 0.5 * f * f
    return k * 6.93147180369123816490e-01 - (
        (half_square - (s * (half_square + (even + odd)) + k * 1.90821492927058770002e-10)) - f)

cdef inline double vexp(double x) noexcept nogil:
    # exp x = 2**k exp r, |r| <= ln2/2, Taylor to r**13 (truncation below 5e-18); x is confined to +-708.
    cdef double y = x if x < 708.0 else 708.0
    y = y if y > -708.0 else -708.0
    cdef double shifted = y * 1.44269504088896338700e+00 + 6755399441055744.0    # 1.5 * 2**52: rounds to an integer
    cdef double k = shifted - 6755399441055744.0
    cdef double r = (y - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10
    cdef double p = 1.6059043836821613e-10
    p = p * r + 2.08767569878681e-09
    p = p * r + 2.505210838544172e-08
    p = p * r + 2.755731922398589e-07
    p = p * r + 2.7557319223985893e-06
    p = p * r + 2.48015873015873e-05
    p = p * r + 1.984126984126984e-04
    p = p * r + 1.388888888888889e-03
    p = p * r + 8.333333333333333e-03
    p = p * r + 4.1666666666666664e-02
    p = p * r + 1.6666666666666666e-01
    p = p * r + 0.5
    p = (p * r) * r + r
    return double_of((bits_of(shifted) + 1023) << 52) * (1.0 + p)

cdef inline double octant_sin(double theta) noexcept nogil:
    # theta in [0, pi/4]; coefficients of FreeBSD's k_sin.c.
    cdef double z = theta * theta
    cdef double p = 1.58969099521155010221e-10
    p = p * z - 2.50507602534068634195e-08
    p = p * z + 2.75573137070700676789e-06
    p = p * z - 1.98412698298579493134e-04
    p = p * z + 8.33333333332248946124e-03
    p = p * z - 1.66666666666666324348e-01
    return theta + theta * z * p

cdef inline double octant_cos(double theta) noexcept nogil:
    # theta in [0, pi/4]; coefficients of FreeBSD's k_cos.c.
    cdef double z = theta * theta
    cdef double p = -1.13596475577881948265e-11
    p = p * z + 2.08757232129817482790e-09
    p = p * z - 2.75573143513906633035e-07
    p = p * z + 2.48015872894767294178e-05
    p = p * z - 1.38888888888741095749e-03
    p = p * z + 4.16666666666666019037e-02
    return 1.0 - (0.5 * z - z * z * p)

cdef inline double mills(double z) noexcept nogil:
    # Mills ratio (1 - Phi(z)) / phi(z) for z >= 0: a Chebyshev fit of (1 + z) mills(z) in t = (z - 5.25)/(z + 5.25),
    # written as a polynomial; relative error below 3e-14.
    cdef double t = (z - 5.25) / (z + 5.25)
    cdef double p = -1.0438461118409164e-07
    p = p * t + 6.02609903801933e-08
    p = p * t + 1.1983602084821819e-06
    p = p * t - 1.3879512669944126e-06
    p = p * t - 8.301920580274172e-06
    p = p * t + 2.0633997540815315e-05
    p = p * t + 3.261698702997162e-05
    p = p * t - 0.0002296719778857282
    p = p * t + 0.00028037761090592654
    p = p * t + 0.001226180974501971
    p = p * t - 0.007274260730632955
    p = p * t + 0.021129987376392555
    p = p * t - 0.042358446271240434
    p = p * t + 0.06178032216453139
    p = p * t - 0.060108674476750716
    p = p * t + 0.01493487225220607
    p = p * t + 0.08479468030861008
    p = p * t - 0.22551806575475625
    p = p * t + 1.1512979831747845
    return p / (1.0 + z)
