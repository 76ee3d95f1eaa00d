# What a block of paths is: constants, the law and the rules as plain numbers, and the lanes.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

cdef enum:
    LANES = 256
    LINES = 64           # affine pieces of the maintenance requirement, at most
    BUFFER = 128         # records that wait to be booked; they and their values fit in L1
    QUANTITIES = 5
    FIELDS = 16          # count, then value, high and low part of the square for each quantity
    LIQUIDATED = 0
    STOPPED = 1
    SURVIVED = 2
    NO_JUMPS = 0
    NORMAL_JUMPS = 1
    EXPONENTIAL_JUMPS = 2
    ON_ENTRY = 0
    ON_MARK = 1
    ON_INDEX = 2

cdef struct Law:
    double log_drift, sigma, mean_gap
    int jump_law
    double jump_mean, jump_std
    double p_up, mean_up, mean_down
    double premium_start, premium_mean, reversion, premium_vol, correlation

cdef struct Rules:
    int inverse, n_rows, n_cols, n_horizons, n_intervals, continuous, liquidation_first, paid_on
    int has_side[2]
    int n_lines[2]
    double alpha[2][LINES]
    double beta[2][LINES]
    double entry_fee, exit_fee, exit_money    # exit: share of the value then, and money whatever the price
    double scale, interest, clamp, cap, smoothing, change_cap, first_rate
    const double *margin          # [n_rows + 1] per unit of entry notional, rising; the last is out of reach
    const double *stop[2]         # [n_cols + 1] log level, receding from 0; the last cannot be reached
    const double *instant         # [n_intervals + 1] years
    const uint8_t *pays           # [n_intervals] funding is paid at the interval's end
    const uint8_t *checks         # [n_intervals] the venue looks at the interval's end (discrete monitoring)
    const int32_t *horizon        # [n_intervals] horizon that ends here, or -1
    uint32_t key[2]

cdef struct Block:
    int n, n_closed, n_records, bad
    # lanes
    uint64_t path[LANES]
    double x[LANES]
    double next_jump[LANES]
    double premium[LANES]
    double cost[LANES]
    double rate[LANES]
    double last_r2[LANES]            # the same once the interval is over, for the premium
    double last_c2[LANES]
    double premium_shift[LANES]      # mean of the premium's innovation given the price's increments
    double premium_known[LANES]      # and the variance that they explain
    int32_t row[2][LANES]
    int32_t col[2][LANES]
    double liquidation[2][LANES]     # log level of the current row
    double nearest[2][LANES]         # of this and the current stop, whichever comes first
    double margin[LANES]
    double stop[LANES]
    double w[LANES]
    # lanes under way in a pass
    int32_t lane[LANES]
    uint64_t p_path[LANES]
    double p_x[LANES]
    double p_t[LANES]
    double p_jump[LANES]
    double p_low[LANES]
    double p_high[LANES]
    double p_r2[LANES]               # the second normal of the lane's last segment so far: sqrt(r2) c2
    double p_c2[LANES]
    double r2[LANES]                 # two normals, sqrt(r2) c1 and sqrt(r2) c2
    double c1[LANES]
    double c2[LANES]
    double bridge[LANES]             # exponential that draws the segment's extremes
    double y[LANES]
    double dt[LANES]
    uint64_t code[LANES]
    uint64_t w0[LANES]
    uint64_t w1[LANES]
    uint64_t w2[LANES]
    uint64_t w3[LANES]
    int32_t jumped[LANES]
    int32_t hit[LANES]
    # records
    int32_t r_kind[BUFFER]
    int64_t r_cell[BUFFER]
    int64_t r_sign[BUFFER]
    double r_side[BUFFER]
    double r_margin[BUFFER]
    double r_before[BUFFER]          # distance from the segment's start to the level
    double r_zigzag[BUFFER]          # the same plus the distance from the level to the segment's end
    double r_dt[BUFFER]
    double r_t[BUFFER]
    double r_x[BUFFER]
    double r_cost[BUFFER]
    double v[QUANTITIES][BUFFER]
    int64_t q[FIELDS][BUFFER]
