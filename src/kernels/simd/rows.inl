// Element-wise and row-wise kernels. Sums run in sixteen lanes over the row, then
// the fixed tree of vec.h: the same order on every instruction set.
// Included by simd/isa_*.cc.

namespace hadal::HADAL_SIMD_NAMESPACE {

// body(offset, lanes, load16(pointer)) with lanes == 16 but for the last.
#define HADAL_FOR_LANES(i, n, lanes) for (int i = 0, lanes = (n) < 16 ? (n) : 16; i < (n); i += 16, lanes = (n) - i < 16 ? (n) - i : 16)
HADAL_INLINE f32x16 take(const float* p, int lanes) { return lanes == 16 ? load(p) : load_first(p, lanes); }
HADAL_INLINE void put(float* p, f32x16 x, int lanes) {
  if (lanes == 16) store(p, x);
  else store_first(p, x, lanes);
}

float dot(const float* x, const float* y, int n) {
  f32x16 sum = zero();
  HADAL_FOR_LANES(i, n, lanes) sum = fma(take(x + i, lanes), take(y + i, lanes), sum);
  return reduce_add(sum);
}

float rms_norm(const float* x, const float* w, int n, float eps, float* y) {
  const float inverse = 1.0f / __builtin_sqrtf(dot(x, x, n) / static_cast<float>(n) + eps);
  const f32x16 factor = set1(inverse);
  HADAL_FOR_LANES(i, n, lanes) put(y + i, mul(mul(take(x + i, lanes), factor), take(w + i, lanes)), lanes);
  return inverse;
}

// y_i = x_i r w_i, r = (mean(x^2) + eps)^-1/2: dx_i = r (dy_i w_i - x_i r^2 mean(x dy w)), dw_i += dy_i x_i r.
void rms_norm_backward(const float* x, const float* w, const float* dy, float inverse_rms, int n, float* dx, bool accumulate, float* dw) {
  f32x16 sum = zero();
  HADAL_FOR_LANES(i, n, lanes) sum = fma(mul(take(dy + i, lanes), take(w + i, lanes)), take(x + i, lanes), sum);
  const float mean = reduce_add(sum) / static_cast<float>(n);
  const f32x16 r = set1(inverse_rms), pull = set1(-mean * inverse_rms * inverse_rms * inverse_rms);
  HADAL_FOR_LANES(i, n, lanes) {
    const f32x16 xs = take(x + i, lanes), dys = take(dy + i, lanes);
    f32x16 d = mul(xs, pull);
    d = fma(mul(dys, take(w + i, lanes)), r, d);
    if (accumulate) d = add(d, take(dx + i, lanes));
    put(dx + i, d, lanes);
    put(dw + i, fma(mul(dys, xs), r, take(dw + i, lanes)), lanes);
  }
}

HADAL_INLINE f32x16 sigmoid16(f32x16 x) { return div(set1(1.0f), add(set1(1.0f), exp(sub(zero(), x)))); }

void sigmoid(const float* x, int n, float* y) {
  HADAL_FOR_LANES(i, n, lanes) put(y + i, sigmoid16(take(x + i, lanes)), lanes);
}

void swiglu(const float* gate, const float* up, float weight, int n, float* out) {
  const f32x16 w = set1(weight);
  HADAL_FOR_LANES(i, n, lanes) {
    const f32x16 g = take(gate + i, lanes);
    put(out + i, mul(mul(mul(g, sigmoid16(g)), take(up + i, lanes)), w), lanes);
  }
}

float swiglu_backward(const float* gate, const float* up, const float* d_out, float weight, int n, float* d_gate, float* d_up) {
  const f32x16 w = set1(weight), one = set1(1.0f);
  f32x16 sum = zero();
  HADAL_FOR_LANES(i, n, lanes) {
    const f32x16 g = take(gate + i, lanes), u = take(up + i, lanes), d = take(d_out + i, lanes);
    const f32x16 s = sigmoid16(g), silu = mul(g, s), dw = mul(d, w);
    sum = fma(d, mul(silu, u), sum);
    put(d_up + i, mul(dw, silu), lanes);
    // d silu / d g = s (1 + g (1 - s))
    put(d_gate + i, mul(mul(dw, u), mul(s, fma(g, sub(one, s), one))), lanes);
  }
  return reduce_add(sum);
}

void add_scaled(const float* x, float factor, int n, float* y) {
  const f32x16 f = set1(factor);
  HADAL_FOR_LANES(i, n, lanes) put(y + i, fma(take(x + i, lanes), f, take(y + i, lanes)), lanes);
}

void scale_row(float* x, float factor, int n) {
  const f32x16 f = set1(factor);
  HADAL_FOR_LANES(i, n, lanes) put(x + i, mul(take(x + i, lanes), f), lanes);
}

HADAL_INLINE float largest(const float* x, int n) {
  f32x16 top = set1(-__builtin_inff());
  HADAL_FOR_LANES(i, n, lanes) top = max(top, keep_first(take(x + i, lanes), top, lanes));
  return reduce_max(top);
}

HADAL_INLINE float log_of(float x) { return __builtin_logf(x); }

float softmax(float* logits, int n) {
  const float top = largest(logits, n);
  const f32x16 shift = set1(top);
  f32x16 sum = zero();
  HADAL_FOR_LANES(i, n, lanes) {
    const f32x16 e = exp_masked(sub(take(logits + i, lanes), shift));
    sum = add(sum, keep_first(e, zero(), lanes));
    put(logits + i, e, lanes);
  }
  const float total = reduce_add(sum);
  const f32x16 inverse = set1(1.0f / total);
  HADAL_FOR_LANES(i, n, lanes) put(logits + i, mul(take(logits + i, lanes), inverse), lanes);
  return top + log_of(total);
}

}  // namespace hadal::HADAL_SIMD_NAMESPACE
