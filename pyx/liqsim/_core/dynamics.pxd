# The model's law on a block: random numbers, Brownian segments, jumps, the premium.

from libc.math cimport sqrt
from libc.stdint cimport uint32_t, uint64_t

from liqsim._core.block cimport NORMAL_JUMPS, Block, Law, Rules
from liqsim._core.philox cimport Words, philox, uniform29, uniform44, uniform52
from liqsim._core.vmath cimport bits_of, double_of, octant_cos, octant_sin, vexp, vlog


cdef inline void draw(Block *b, const Rules *rules, int m, const uint64_t *path, uint64_t interval, uint64_t purpose,
                      uint64_t index) noexcept nogil:
    cdef int n
    cdef Words words
    cdef uint64_t where = interval | (purpose << 28)
    cdef uint32_t key0 = rules.key[0], key1 = rules.key[1]
    for n in range(m):
        words = philox(index, where, path[n] & 0xffffffffULL, path[n] >> 32, key0, key1)
        b.w0[n] = words.w0
        b.w1[n] = words.w1
        b.w2[n] = words.w2
        b.w3[n] = words.w3


cdef inline void normals(Block *b, int m) noexcept nogil:
    # Two independent normals a lane from the words drawn.
    cdef int n
    cdef double radius, theta, s, c, z1, z2
    cdef uint64_t flips
    for n in range(m):
        radius = sqrt(-2.0 * vlog(uniform44(b.w2[n], b.w1[n] >> 20)))
        flips = b.w3[n]
        theta = uniform29(flips & 0x1fffffff) * 0.78539816339744830962    # Box-Muller, by octants
        c = radius * octant_cos(theta)
        s = radius * octant_sin(theta)
        z1 = c if flips & 0x20000000 else s
        z2 = s if flips & 0x20000000 else c
        b.z1[n] = double_of(bits_of(z1) ^ ((flips & 0x40000000) << 33))
        b.z2[n] = double_of(bits_of(z2) ^ ((flips & 0x80000000ULL) << 32))


cdef inline void advance(Block *b, const Law *law, int m, double end, bint bridge) noexcept nogil:
    # One Brownian segment of every lane under way: to the interval's end or to the lane's next jump.
    cdef int n
    cdef double stop, spread, half, y
    cdef double drift = law.log_drift, sigma = law.sigma
    cdef double twice_variance = 2.0 * sigma * sigma
    normals(b, m)
    for n in range(m):
        stop = b.p_jump[n] if b.p_jump[n] < end else end
        b.dt[n] = stop - b.p_t[n]
        b.y[n] = b.p_x[n] + (drift * b.dt[n] + sigma * sqrt(b.dt[n]) * b.z1[n])
    if not bridge:
        for n in range(m):
            b.code[n] = 1 if b.p_jump[n] < end else 0
        return
    for n in range(m):
        spread = b.y[n] - b.p_x[n]
        half = sqrt(spread * spread - twice_variance * b.dt[n] * vlog(uniform52(b.w0[n], b.w1[n] & 0xfffff)))
        y = b.p_x[n] + b.y[n]
        b.low[n] = 0.5 * (y - half)
        b.high[n] = 0.5 * (y + half)
        b.code[n] = (1 if b.p_jump[n] < end else 0) | (2 if b.low[n] <= b.p_low[n] else 0) | (
            4 if b.high[n] >= b.p_high[n] else 0)


cdef inline void inform_premium(Block *b, const Law *law, int m, double end) noexcept nogil:
    # What a segment's price increment says about the premium's innovation over the interval: for the segment (t, t+dt)
    # Cov(int exp(-k(end - s)) dB, dW) = correlation (exp(-k(end - t - dt)) - exp(-k(end - t)))/k.
    cdef int n
    cdef double xi = law.premium_vol * sqrt(2.0 * law.reversion)
    cdef double covariance, dt
    for n in range(m):
        covariance = law.correlation * xi / law.reversion * (
            vexp(law.reversion * (b.p_t[n] + b.dt[n] - end)) - vexp(law.reversion * (b.p_t[n] - end)))
        dt = b.dt[n] if b.dt[n] > 1e-30 else 1e-30
        b.low[n] = covariance * b.z1[n] / sqrt(dt)
        b.high[n] = covariance * covariance / dt
    for n in range(m):
        b.premium_shift[b.lane[n]] += b.low[n]
        b.premium_known[b.lane[n]] += b.high[n]


cdef inline void jump(Block *b, const Law *law, int m) noexcept nogil:
    # Size of the jump at j_t and time of the next one, for the lanes that have jumped.
    cdef int n
    cdef double u, magnitude, share
    cdef double p_up = law.p_up, inverse_p_up = law.inverse_p_up, inverse_p_down = law.inverse_p_down
    cdef double mean_up = law.mean_up, mean_down = law.mean_down
    cdef double mean = law.jump_mean, std = law.jump_std
    cdef double gap = law.mean_gap
    if law.jump_law == NORMAL_JUMPS:
        for n in range(m):
            b.j_y[n] = b.j_y[n] + (mean + std * b.j_z[n])
    else:
        for n in range(m):
            u = uniform52(b.w2[n], (b.w1[n] >> 20 << 8) | (b.w3[n] & 0xff))
            share = u * inverse_p_up if u < p_up else (1.0 - u) * inverse_p_down
            magnitude = -mean_up if u < p_up else mean_down
            b.j_y[n] = b.j_y[n] + magnitude * vlog(share)
    for n in range(m):
        b.j_t[n] = b.j_t[n] - vlog(uniform52(b.w0[n], b.w1[n] & 0xfffff)) * gap


cdef inline void move_premium(Block *b, const Law *law, double years) noexcept nogil:
    cdef int i
    cdef double mean = law.premium_mean
    cdef double decay = vexp(-law.reversion * years)
    cdef double variance = law.premium_vol * law.premium_vol * (1.0 - decay * decay)
    cdef double rest
    for i in range(b.n):
        rest = variance - b.premium_known[i]
        rest = rest if rest > 0.0 else 0.0
        b.premium[i] = mean + (b.premium[i] - mean) * decay + (b.premium_shift[i] + sqrt(rest) * b.normal[i])
