# Importance sampling: ends of positions weighted by how likely they are under the model's law, over how likely under all
# the laws that paths are drawn from.
#
# Paths are drawn from the model's law and, as many each, from Esscher transforms of it, of density exp(tilt x - exponent t)
# at any stopping time: at the very end that is booked. The balance heuristic (Veach, Guibas 1995, Optimally combining
# sampling techniques for Monte Carlo rendering, SIGGRAPH) weighs an end at (t, x) by
#     1 / (1 + sum over tilts of exp(tilt x - exponent t)),
# whichever law it was drawn from. Then sums over the paths of all laws, over the number of paths of one, are unbiased.
#
# The weight needs the time of a crossing itself, not its mean. One draw serves all levels that a segment crosses.

from libc.math cimport fabs, sqrt
from libc.stdint cimport int64_t, uint64_t

from liqsim._core.block cimport BUFFER, FIELDS, Block, Law, Rules
from liqsim._core.philox cimport PASSAGE, Words, philox_many, uniform29, uniform32
from liqsim._core.vmath cimport bits_of, nearest_whole, octant_cos, vexp, vlog, whole


cdef inline double passage_of(uint64_t w0, uint64_t w1, uint64_t w3, double sigma, double before, double behind,
                              double dt) noexcept nogil:
    # How long after its start a Brownian segment that crosses a level first reaches it, which starts `before` and ends
    # `behind` away from it: in the clock u = s/(1 - s/dt) an inverse Gaussian of mean `before` dt / `behind` and shape
    # (before/sigma)^2. Drawn after Michael, Schucany, Haas (1976), Generating random variates using transformations with
    # multiple roots, The American Statistician 30. Without branches, for the lane loops.
    cdef double z = octant_cos(uniform29(w3 & 0x1fffffff) * 0.78539816339744830962)
    cdef double part = z * z if w3 & 0x20000000 else 1.0 - z * z
    cdef double square = -2.0 * vlog(uniform32(w0)) * part    # of a standard normal
    cdef double least = 1e-12 * before
    cdef double mean = before * dt / (behind if behind > least else least)
    cdef double ratio = 0.5 * square * mean * sigma * sigma / (before * before)
    cdef double u = mean / (1.0 + ratio + sqrt(2.0 * ratio + ratio * ratio))
    u = mean * mean / u if uniform32(w1) * (mean + u) > mean else u
    return dt * u / (dt + u)


cdef inline double passage(const Words *words, double sigma, double before, double behind, double dt) noexcept nogil:
    return passage_of(words.w0, words.w1, words.w3, sigma, before, behind, dt)


cdef inline double weight_of(const Rules *rules, double x, double t) noexcept nogil:
    cdef double total = 1.0
    cdef int k
    for k in range(rules.n_tilts):
        total += vexp(rules.tilt[k] * x - rules.exponent[k] * t)
    return 1.0 / total


cdef inline void split(double v, int64_t *high, int64_t *low, int64_t flip) noexcept nogil:
    # Adds v in units of 2**-32, and the rest in units of 2**-76.
    cdef double first = nearest_whole(v * 4294967296.0)
    high[0] += (whole(first) ^ flip) - flip
    low[0] += (whole((v * 4294967296.0 - first) * 17592186044416.0) ^ flip) - flip


cdef inline void weigh(Block *b, const Law *law, const Rules *rules, int64_t *tally) noexcept nogil:
    # Add the ends whose cell, payment (u), time (v) and price gain (w) are known to their cells: the weight, the weight
    # times each of the three, their low parts, and the weight's square with its low part.
    cdef double turn = -1.0 if rules.inverse else 1.0
    cdef double sigma = law.sigma if law.sigma > 1e-9 else 1e-9
    cdef double x[BUFFER]
    cdef double total[BUFFER]
    cdef uint64_t index[BUFFER]
    cdef uint64_t w0[BUFFER]
    cdef uint64_t w1[BUFFER]
    cdef uint64_t w2[BUFFER]
    cdef uint64_t w3[BUFFER]
    cdef double ratio, before, weight, passed, value, first
    cdef double tilt, exponent
    cdef uint64_t when, purpose = PASSAGE
    cdef int64_t bad = 0
    cdef int64_t *cell
    cdef int n, k, f, m = b.n_records
    for n in range(m):
        when = bits_of(b.r_t[n])    # no two segments of a path begin at the same time
        index[n] = (when ^ (when >> 32)) & 0xffffffffULL
    philox_many(m, index, purpose << 28, b.r_path, rules.key[0], rules.key[1], w0, w1, w2, w3)
    for n in range(m):
        ratio = b.r_ratio[n] if b.r_ratio[n] > 1e-300 else 1e-300
        x[n] = turn * vlog(ratio)
        before = b.r_side[n] * (b.r_x[n] - x[n])
        passed = passage_of(w0[n], w1[n], w3[n], sigma, before if before > 0.0 else 1.0, fabs(b.r_y[n] - x[n]), b.r_dt[n])
        b.v[n] = b.r_t[n] + (passed if before > 0.0 else 0.0)
        total[n] = 1.0
    for k in range(rules.n_tilts):
        tilt = rules.tilt[k]
        exponent = rules.exponent[k]
        for n in range(m):
            total[n] += vexp(tilt * x[n] - exponent * b.v[n])
    for n in range(m):
        weight = 1.0 / total[n]
        total[n] = weight
        bad |= 0 if weight * fabs(b.u[n]) < 16384.0 and weight * fabs(b.w[n]) < 16384.0 and b.v[n] < 16384.0 else 1
    if bad:
        b.bad = 1
        return
    for n in range(m):
        weight = total[n]
        value = weight * 4294967296.0
        first = nearest_whole(value)
        b.q[8 * n] = whole(first)
        b.q[8 * n + 4] = whole((value - first) * 17592186044416.0)
        value = weight * b.u[n] * 4294967296.0
        first = nearest_whole(value)
        b.q[8 * n + 1] = whole(first)
        b.q[8 * n + 5] = whole((value - first) * 17592186044416.0)
        value = weight * b.v[n] * 4294967296.0
        first = nearest_whole(value)
        b.q[8 * n + 2] = whole(first)
        b.q[8 * n + 6] = whole((value - first) * 17592186044416.0)
        value = weight * b.w[n] * 4294967296.0
        first = nearest_whole(value)
        b.q[8 * n + 3] = whole(first)
        b.q[8 * n + 7] = whole((value - first) * 17592186044416.0)
        value = weight * weight * 4294967296.0
        first = nearest_whole(value)
        b.high[4 * n] = whole(first)
        b.high[4 * n + 1] = whole((value - first) * 17592186044416.0)
    for n in range(m):
        cell = tally + b.r_cell[n] * FIELDS
        for f in range(8):
            cell[f] += (b.q[8 * n + f] ^ b.r_flip[n]) - b.r_flip[n]
        for f in range(2):
            cell[8 + f] += (b.high[4 * n + f] ^ b.r_flip[n]) - b.r_flip[n]
