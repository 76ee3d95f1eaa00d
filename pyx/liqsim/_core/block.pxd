# What a block of paths is: constants, the law and the rules as plain numbers, and the lanes.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

cdef enum:
    LANES = 256
    LINES = 64           # affine pieces of the maintenance requirement, at most
    TIERS = 256          # its tiers, at most
    SETS = 4             # requirements that take turns, or are looked at on occasions of their own, at most
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
    SELL = 0             # everything is sold at the market
    TAKE_OVER = 1        # or taken over, nothing is returned
    CUT = 2              # cut in rounds until the requirement is met
    CUT_TIERS = 3        # cut to the cap of a lower tier
    CALL = 4             # margin is called for; unpaid, everything is sold
    NEVER = 0            # a requirement that nobody looks at
    CONVEX = 1           # the maximum of straight lines in the value ratio
    ONE_RATE = 2         # a single tier, maybe with a rate that grows with size
    STEPS = 3            # anything else: looked up tier by tier

cdef struct Law:
    double log_drift, sigma, mean_gap
    int jump_law
    double jump_mean, jump_std
    double p_up, mean_up, mean_down
    double visit_share           # of the events that a path stops at: no jump, but a look of the venue's own choosing
    double premium_start, premium_mean, reversion, premium_vol, correlation

cdef struct Tiers:
    # Requirement per entry value of a share q at value ratio w; liqsim.venues.margin.Requirement in numbers.
    int form, n, on_mark, size_moves, per_margin
    double cap[TIERS]
    double rate[TIERS]
    double deduction[TIERS]
    double slope, fee
    int n_lines                  # of the whole position, where the form is CONVEX
    double alpha[LINES]
    double beta[LINES]

cdef struct Procedure:
    # What the engine does with a position that it does not simply close; liqsim.venues.liquidation in numbers.
    int kind
    int tiers_per_step, steps_from_tier
    double step                  # share of the entry position closed in a round
    double threshold             # value, over that at entry, up to which a position is closed whole
    double cooldown              # years after a cut in which the next order is for all that is left
    double backstop              # share of the requirement below which everything is taken over
    double fee                   # share of the value closed, kept by the venue
    double initial_ratio         # what a margin call restores, over the requirement
    double top_up                # what the trader will add in all, per entry notional
    double fund                  # what the venue's fund covers of a loss beyond the margin, per entry notional
    const int32_t *due           # [n_intervals] interval at whose end a call made at the end of this one falls due

cdef struct Rules:
    int inverse, n_rows, n_cols, n_horizons, n_intervals, liquidation_first, paid_on
    int returns_rest             # what is left after a liquidation goes back to the trader
    int client_pays              # the trader owes a loss beyond the margin
    int defers                   # funding accrues and is paid at settlements
    int carries                  # positions live on after the venue has acted on them: see carried.pxd
    int has_side[2]
    int occasion                 # the requirement by which margin is tested at calls and visits
    Procedure procedure
    Tiers tiers[SETS][2]
    double entry_fee, exit_fee, exit_money    # exit: share of the value then, and money whatever the price
    double scale, interest, clamp, cap, smoothing, change_cap, first_rate
    const double *margin          # [n_rows + 1] per unit of entry notional, rising; the last is out of reach
    const double *stop[2]         # [n_cols + 1] log level, receding from 0; the last cannot be reached
    const double *instant         # [n_intervals + 1] years
    const double *pays            # [n_intervals] funding paid at the interval's end: its length over the usual one, or 0
    const double *charge[2]       # [n_intervals + 1] what a side pays besides, at entry and at each interval's end
    const uint8_t *settles        # [n_intervals] accrued funding is paid at the interval's end
    const uint8_t *set_of         # [n_intervals] requirement in force
    const uint8_t *watches        # [n_intervals] the venue watches the price throughout the interval
    const uint8_t *retests        # [n_intervals] margin or requirement changed at the interval's start: look again
    const uint8_t *checks         # [n_intervals] the venue looks at the interval's end
    const uint8_t *calls          # [n_intervals] 1: margin is tested at the interval's end; 2: a call falls due there
    const int32_t *horizon        # [n_intervals] horizon that ends here, or -1
    uint32_t key[2]

cdef struct Block

cdef struct Trace:
    # What a path is followed with: see trace.pxd. An ordinary run has none.
    const Law *law
    const Rules *rules
    void *carried
    int width, lacks_memory
    int acting                   # carried position that the venue is acting on, or -1; what it was before
    double q_before, cash_before
    int64_t n, room
    double *rows
    void (*event)(Block *, int, int, uint64_t) noexcept nogil
    void (*record)(Block *, int, int, int, int, int, double, double, double, double, double) noexcept nogil
    void (*before)(Block *, int) noexcept nogil
    void (*act)(Block *, int, double, double) noexcept nogil
    void (*end)(Block *, int, int, int, int, double, double) noexcept nogil

cdef struct Block:
    int n, n_closed, n_records, bad, set_in_force
    Trace *trace                     # NULL in an ordinary run
    uint64_t first                   # where every path has a tally of its own: the first of them, and the numbers
    int64_t stride, carried_stride   # from one tally to the next, of whole positions (cells) and of carried ones
    # lanes
    uint64_t path[LANES]
    double x[LANES]
    double next_jump[LANES]
    double premium[LANES]
    double rate[LANES]
    double accrued[LANES]            # funding that a long owes until the next settlement
    double paid[2][LANES]            # by a whole position of either side, per entry notional
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
    double r_paid[BUFFER]
    double v[QUANTITIES][BUFFER]
    int64_t q[FIELDS][BUFFER]
