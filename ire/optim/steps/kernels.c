/* One pass over memory for a boosted step on the CPU: what torch's own operations need five passes for.
 *
 * Compiled by ire/optim/steps/kernels.py with the machine's C compiler, once for float and once for double. The
 * formulas are those of adam.py, sgd.py and measured.py. NaN for a number means that it does not apply; a mask of
 * 0 stands for ones everywhere. */

#include <math.h>
#include <stdint.h>

#define APPLIES(x) ((x) == (x))
#define INLINE static inline __attribute__((always_inline))

#define KERNELS(T, NAME, SQRT)                                                                                     \
                                                                                                                   \
    /* How many times as far as the base a coordinate goes: 1 + kappa n. */                                        \
    INLINE T NAME##_far(const uint8_t *mask, int64_t i, T kappa)                                                   \
    {                                                                                                              \
        return mask ? (T)1 + kappa * (T)mask[i] : (T)1 + kappa;                                                    \
    }                                                                                                              \
                                                                                                                   \
    INLINE void NAME##_adam_loop(int64_t n, T *restrict p, const T *restrict g, T *restrict m, T *restrict v,      \
                                 const uint8_t *restrict mask, T beta1, T beta2, T size, T eps, T pull, T shrink,  \
                                 T coupled, T kappa, int is_coupled)                                               \
    {                                                                                                              \
        const T fresh1 = (T)1 - beta1, fresh2 = (T)1 - beta2;                                                      \
        for (int64_t i = 0; i < n; i++) {                                                                          \
            T w = p[i], x = g[i];                                                                                  \
            if (is_coupled)                                                                                        \
                x += coupled * w;                                                                                  \
            const T a = m[i] + fresh1 * (x - m[i]), b = beta2 * v[i] + fresh2 * x * x;                             \
            m[i] = a;                                                                                              \
            v[i] = b;                                                                                              \
            w *= shrink;                                                                                           \
            const T direction = a / (SQRT(b) + eps) + pull * w;                                                    \
            p[i] = w - size * NAME##_far(mask, i, kappa) * direction;                                              \
        }                                                                                                          \
    }                                                                                                              \
                                                                                                                   \
    void NAME##_adam(int64_t n, T *p, const T *g, T *m, T *v, const uint8_t *mask, double beta1, double beta2,     \
                     double size, double eps, double pull, double plain_decay, double coupled, double kappa)       \
    {                                                                                                              \
        const T c = APPLIES(coupled) ? (T)coupled : 0, d = APPLIES(pull) ? (T)pull : 0;                            \
        const T shrink = APPLIES(plain_decay) ? (T)(1 - plain_decay) : (T)1;                                       \
        if (APPLIES(coupled) && mask)                                                                              \
            NAME##_adam_loop(n, p, g, m, v, mask, beta1, beta2, size, eps, d, shrink, c, kappa, 1);                \
        else if (APPLIES(coupled))                                                                                 \
            NAME##_adam_loop(n, p, g, m, v, 0, beta1, beta2, size, eps, d, shrink, c, kappa, 1);                   \
        else if (mask)                                                                                             \
            NAME##_adam_loop(n, p, g, m, v, mask, beta1, beta2, size, eps, d, shrink, c, kappa, 0);                \
        else                                                                                                       \
            NAME##_adam_loop(n, p, g, m, v, 0, beta1, beta2, size, eps, d, shrink, c, kappa, 0);                   \
    }                                                                                                              \
                                                                                                                   \
    INLINE void NAME##_sgd_loop(int64_t n, T *restrict p, const T *restrict g, T *restrict b,                      \
                                const uint8_t *restrict mask, T lr, T coupled, T momentum, T fresh,                \
                                int has_buffer, int nesterov, T kappa)                                             \
    {                                                                                                              \
        for (int64_t i = 0; i < n; i++) {                                                                          \
            const T w = p[i];                                                                                      \
            T x = g[i] + coupled * w;                                                                              \
            if (has_buffer) {                                                                                      \
                const T a = momentum * b[i] + fresh * x;                                                           \
                b[i] = a;                                                                                          \
                x = nesterov ? x + momentum * a : a;                                                               \
            }                                                                                                      \
            p[i] = w - lr * NAME##_far(mask, i, kappa) * x;                                                        \
        }                                                                                                          \
    }                                                                                                              \
                                                                                                                   \
    void NAME##_sgd(int64_t n, T *p, const T *g, T *b, const uint8_t *mask, double lr, double coupled,             \
                    double momentum, double fresh, int nesterov, double kappa)                                     \
    {                                                                                                              \
        const T c = APPLIES(coupled) ? (T)coupled : 0, f = APPLIES(fresh) ? (T)fresh : (T)1;                       \
        if (!b && mask)                                                                                            \
            NAME##_sgd_loop(n, p, g, 0, mask, lr, c, 0, f, 0, 0, kappa);                                           \
        else if (!b)                                                                                               \
            NAME##_sgd_loop(n, p, g, 0, 0, lr, c, 0, f, 0, 0, kappa);                                              \
        else if (nesterov && mask)                                                                                 \
            NAME##_sgd_loop(n, p, g, b, mask, lr, c, momentum, f, 1, 1, kappa);                                    \
        else if (nesterov)                                                                                         \
            NAME##_sgd_loop(n, p, g, b, 0, lr, c, momentum, f, 1, 1, kappa);                                       \
        else if (mask)                                                                                             \
            NAME##_sgd_loop(n, p, g, b, mask, lr, c, momentum, f, 1, 0, kappa);                                    \
        else                                                                                                       \
            NAME##_sgd_loop(n, p, g, b, 0, lr, c, momentum, f, 1, 0, kappa);                                       \
    }                                                                                                              \
                                                                                                                   \
    /* p has just come from an Adam step that left m and v: go on by scale n along it. */                          \
    void NAME##_adam_boost(int64_t n, T *restrict p, const T *restrict m, const T *restrict v,                     \
                           const uint8_t *restrict mask, double eps, double pull, double scale)                    \
    {                                                                                                              \
        const T e = (T)eps, d = APPLIES(pull) ? (T)pull : 0, k = (T)scale;                                         \
        if (mask)                                                                                                  \
            for (int64_t i = 0; i < n; i++)                                                                        \
                p[i] += k * (T)mask[i] * (m[i] / (SQRT(v[i]) + e) + d * p[i]);                                     \
        else                                                                                                       \
            for (int64_t i = 0; i < n; i++)                                                                        \
                p[i] += k * (m[i] / (SQRT(v[i]) + e) + d * p[i]);                                                  \
    }                                                                                                              \
                                                                                                                   \
    /* p has just come from was: go on by kappa n times the way, without the weight decay's part of it. */         \
    void NAME##_go_on(int64_t n, T *restrict p, const T *restrict was, const uint8_t *restrict mask, double kappa, \
                      double plain_decay)                                                                          \
    {                                                                                                              \
        const T k = (T)kappa, keep = (T)(1 - plain_decay);                                                         \
        if (mask)                                                                                                  \
            for (int64_t i = 0; i < n; i++)                                                                        \
                p[i] += k * (T)mask[i] * (p[i] - keep * was[i]);                                                   \
        else                                                                                                       \
            for (int64_t i = 0; i < n; i++)                                                                        \
                p[i] += k * (p[i] - keep * was[i]);                                                                \
    }

KERNELS(float, f32, sqrtf)
KERNELS(double, f64, sqrt)
