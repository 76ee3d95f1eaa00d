# Which compiler made the kernel.

cdef extern from *:
    """
    #if defined(__clang__)
    #define LIQSIM_COMPILER __VERSION__
    #elif defined(__GNUC__)
    #define LIQSIM_COMPILER "GCC " __VERSION__
    #elif defined(_MSC_VER)
    #define LIQSIM_TEXT(x) #x
    #define LIQSIM_TEXT_OF(x) LIQSIM_TEXT(x)
    #define LIQSIM_COMPILER "MSVC " LIQSIM_TEXT_OF(_MSC_FULL_VER)
    #else
    #define LIQSIM_COMPILER "unknown"
    #endif
    """
    const char *LIQSIM_COMPILER
