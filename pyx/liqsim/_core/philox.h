/* Philox4x32-10 on many counters at once. Compilers turn the 32 x 32 -> 64 bit products of the plain loop into full 64-bit
   multiplications, which AVX2 does not have and AVX-512 does slowly; the instruction wanted has been there since SSE2. */

#include <stdint.h>

#if defined(__AVX512F__)
#include <immintrin.h>
#define PHILOX_LANES 8
typedef __m512i philox_vector;
#define PHILOX_ALL(x) _mm512_set1_epi64((long long) (x))
#define PHILOX_LOAD(p) _mm512_loadu_si512((const void *) (p))
#define PHILOX_STORE(p, v) _mm512_storeu_si512((void *) (p), v)
#define PHILOX_MUL(a, b) _mm512_mul_epu32(a, b)
#define PHILOX_XOR(a, b) _mm512_xor_si512(a, b)
#define PHILOX_LOW(a) _mm512_and_si512(a, PHILOX_ALL(0xffffffffu))
#define PHILOX_HIGH(a) _mm512_srli_epi64(a, 32)
#elif defined(__AVX2__)
#include <immintrin.h>
#define PHILOX_LANES 4
typedef __m256i philox_vector;
#define PHILOX_ALL(x) _mm256_set1_epi64x((long long) (x))
#define PHILOX_LOAD(p) _mm256_loadu_si256((const __m256i *) (p))
#define PHILOX_STORE(p, v) _mm256_storeu_si256((__m256i *) (p), v)
#define PHILOX_MUL(a, b) _mm256_mul_epu32(a, b)
#define PHILOX_XOR(a, b) _mm256_xor_si256(a, b)
#define PHILOX_LOW(a) _mm256_and_si256(a, PHILOX_ALL(0xffffffffu))
#define PHILOX_HIGH(a) _mm256_srli_epi64(a, 32)
#elif defined(__SSE2__)
#include <emmintrin.h>
#define PHILOX_LANES 2
typedef __m128i philox_vector;
#define PHILOX_ALL(x) _mm_set1_epi64x((long long) (x))
#define PHILOX_LOAD(p) _mm_loadu_si128((const __m128i *) (p))
#define PHILOX_STORE(p, v) _mm_storeu_si128((__m128i *) (p), v)
#define PHILOX_MUL(a, b) _mm_mul_epu32(a, b)
#define PHILOX_XOR(a, b) _mm_xor_si128(a, b)
#define PHILOX_LOW(a) _mm_and_si128(a, PHILOX_ALL(0xffffffffu))
#define PHILOX_HIGH(a) _mm_srli_epi64(a, 32)
#else
#define PHILOX_LANES 1
typedef uint64_t philox_vector;
#define PHILOX_ALL(x) ((uint64_t) (x))
#define PHILOX_LOAD(p) (*(p))
#define PHILOX_STORE(p, v) (*(p) = (v))
#define PHILOX_MUL(a, b) (((a) & 0xffffffffu) * ((b) & 0xffffffffu))
#define PHILOX_XOR(a, b) ((a) ^ (b))
#define PHILOX_LOW(a) ((a) & 0xffffffffu)
#define PHILOX_HIGH(a) ((a) >> 32)
#endif

/* Counter words: index[n], where, low and high half of path[n]. The arrays have room for n rounded up to 8. */
static inline void philox_many(int n, const uint64_t *index, uint64_t where, const uint64_t *path, uint32_t key0,
                               uint32_t key1, uint64_t *w0, uint64_t *w1, uint64_t *w2, uint64_t *w3)
{
    const philox_vector m0 = PHILOX_ALL(0xD2511F53u), m1 = PHILOX_ALL(0xCD9E8D57u);
    int i, round;
    for (i = 0; i < n; i += PHILOX_LANES) {
        philox_vector c0 = PHILOX_LOAD(index + i), c1 = PHILOX_ALL(where);
        philox_vector c2 = PHILOX_LOAD(path + i), c3 = PHILOX_HIGH(c2);
        uint32_t k0 = key0, k1 = key1;
        for (round = 0; round < 10; round++) {
            const philox_vector p0 = PHILOX_MUL(c0, m0), p1 = PHILOX_MUL(c2, m1);
            c0 = PHILOX_XOR(PHILOX_XOR(PHILOX_HIGH(p1), c1), PHILOX_ALL(k0));
            c1 = p1;    /* what stands above the low half never enters a product; it is cleared at the end */
            c2 = PHILOX_XOR(PHILOX_XOR(PHILOX_HIGH(p0), c3), PHILOX_ALL(k1));
            c3 = p0;
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        PHILOX_STORE(w0 + i, PHILOX_LOW(c0));
        PHILOX_STORE(w1 + i, PHILOX_LOW(c1));
        PHILOX_STORE(w2 + i, PHILOX_LOW(c2));
        PHILOX_STORE(w3 + i, PHILOX_LOW(c3));
    }
}
