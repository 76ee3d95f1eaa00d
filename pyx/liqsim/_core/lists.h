/* Lists of the lanes that something holds for. Compilers turn such a loop into one lane after the other: where next each
   goes depends on how many went before. AVX-512 compresses eight numbers at a time; AVX2 finds the few by their bits. */

#include <stdint.h>

#if defined(__AVX512F__) && defined(__AVX512VL__)
#include <immintrin.h>
#define LISTED_AT_A_TIME 8
#elif defined(__AVX2__)
#include <immintrin.h>
#define LISTED_AT_A_TIME 4
#endif

#ifdef LISTED_AT_A_TIME
/* Appends i + k for every bit k of mask. The list has room for i + 8 numbers. */
static inline int list_bits(int32_t *list, int n_listed, int i, uint32_t mask)
{
#if LISTED_AT_A_TIME == 8
    const __m256i places = _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(i));
    _mm256_storeu_si256((__m256i *) (list + n_listed), _mm256_maskz_compress_epi32((__mmask8) mask, places));
    return n_listed + __builtin_popcount(mask);
#else
    for (; mask; mask &= mask - 1)
        list[n_listed++] = i + __builtin_ctz(mask);
    return n_listed;
#endif
}
#endif

/* Lanes with a code of at least this. The arrays have room for n rounded up to 8. */
static inline int list_coded(int n, const int64_t *code, int64_t least, int32_t *list)
{
    int i, n_listed = 0;
#ifdef LISTED_AT_A_TIME
    for (i = 0; i < n; i += LISTED_AT_A_TIME) {
        const uint32_t here = n - i < LISTED_AT_A_TIME ? (1u << (n - i)) - 1 : (1u << LISTED_AT_A_TIME) - 1;
#if LISTED_AT_A_TIME == 8
        const __m512i some = _mm512_loadu_si512((const void *) (code + i));
        const uint32_t mask = here & _mm512_cmpge_epi64_mask(some, _mm512_set1_epi64(least));
#else
        const __m256i some = _mm256_loadu_si256((const __m256i *) (code + i));
        const __m256i below = _mm256_set1_epi64x(least - 1);
        const uint32_t mask = here & (uint32_t) _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpgt_epi64(some, below)));
#endif
        n_listed = list_bits(list, n_listed, i, mask);
    }
#else
    for (i = 0; i < n; i++) {
        list[n_listed] = i;
        n_listed += code[i] >= least;
    }
#endif
    return n_listed;
}

/* Lanes before a time, and the others. */
static inline int list_before(int n, const double *time, double end, int32_t *before, int32_t *others)
{
    int i, n_before = 0, n_others = 0;
#ifdef LISTED_AT_A_TIME
    for (i = 0; i < n; i += LISTED_AT_A_TIME) {
        const uint32_t here = n - i < LISTED_AT_A_TIME ? (1u << (n - i)) - 1 : (1u << LISTED_AT_A_TIME) - 1;
#if LISTED_AT_A_TIME == 8
        const __m512d some = _mm512_loadu_pd(time + i);
        const uint32_t mask = _mm512_cmp_pd_mask(some, _mm512_set1_pd(end), _CMP_LT_OQ);
#else
        const __m256d some = _mm256_loadu_pd(time + i);
        const uint32_t mask = (uint32_t) _mm256_movemask_pd(_mm256_cmp_pd(some, _mm256_set1_pd(end), _CMP_LT_OQ));
#endif
        n_before = list_bits(before, n_before, i, here & mask);
        n_others = list_bits(others, n_others, i, here & ~mask);
    }
#else
    for (i = 0; i < n; i++) {
        before[n_before] = i;
        others[n_others] = i;
        n_before += time[i] < end;
        n_others = i + 1 - n_before;
    }
#endif
    return n_before;
}
