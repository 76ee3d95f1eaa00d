# Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, Parallel random numbers: as easy as 1, 2, 3, SC11).
#
# Design: a draw is a pure function of (seed key, path, interval, purpose, index within the interval), so a path
# sees the same numbers whatever the threads, batches, instruction set, grid or restart point.
# Counter words: 0 = index within the interval, 1 = interval | purpose << 28, 2 and 3 = path number.
# 32-bit words travel in 64-bit lanes. philox_many is the same on a group of lanes.

from libc.stdint cimport uint32_t, uint64_t

from liqsim._core.vmath cimport double_of

cdef enum:
    SEGMENT = 0    # normals and bridge of one Brownian segment
    JUMP = 1       # size of a jump and waiting time to the next one
    PASSAGE = 2    # time at which a segment first reaches a level

cdef extern from "philox.h" nogil:
    void philox_many(int n, const uint64_t *index, uint64_t where, const uint64_t *path, uint32_t key0, uint32_t key1,
                     uint64_t *w0, uint64_t *w1, uint64_t *w2, uint64_t *w3) noexcept

cdef struct Words:
    uint64_t w0
    uint64_t w1
    uint64_t w2
    uint64_t w3

cdef inline Words philox(uint64_t c0, uint64_t c1, uint64_t c2, uint64_t c3,
                         uint32_t k0, uint32_t k1) noexcept nogil:
    cdef Words out
    cdef uint64_t p0, p1
    cdef int _round
    for _round in range(10):
        p0 = 0xD2511F53ULL * <uint32_t> c0
        p1 = 0xCD9E8D57ULL * <uint32_t> c2
        c0 = (p1 >> 32) ^ c1 ^ k0
        c1 = p1 & 0xffffffffULL
        c2 = (p0 >> 32) ^ c3 ^ k1
        c3 = p0 & 0xffffffffULL
        k0 = k0 + 0x9E3779B9u
        k1 = k1 + 0xBB67AE85u
    out.w0 = c0
    out.w1 = c1
    out.w2 = c2
    out.w3 = c3
    return out

# Uniforms in (0, 1), symmetric about 1/2 and never 0 or 1: (k + 1/2) / 2**bits, exact in double precision.

cdef inline double uniform32(uint64_t bits) noexcept nogil:
    return double_of(0x3ff0000000000000ULL | (bits << 20)) - 0.99999999988358467817    # 1 - 2**-33

cdef inline double uniform29(uint64_t bits) noexcept nogil:
    return double_of(0x3ff0000000000000ULL | (bits << 23)) - 0.99999999906867742538    # 1 - 2**-30
