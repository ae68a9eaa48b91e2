// The matrix products of a layer's experts, each over the tokens that chose it,
// and how tokens are sorted into those lists. One row of the output is a slot: one
// token at one expert. See ref/matmul.h for the conventions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/ref/matmul.h"

namespace hadal::ref {

// Slots of expert e are [first_slot_E[e], first_slot_E[e + 1]), in the order of the tokens.
struct TokenLists {
  std::vector<std::int32_t> first_slot_E;  // [E + 1]
  std::vector<std::int32_t> token_S;       // [T K] which token a slot holds
  std::vector<std::int32_t> slot_TK;       // [T, K] where a token's k-th expert works for it
};

// chosen [T, K] expert indices, all different within a token.
inline TokenLists token_lists(int E, int T, int K, const std::int32_t* chosen) {
  TokenLists lists;
  lists.slot_TK.resize(static_cast<std::size_t>(T) * static_cast<std::size_t>(K));
  lists.first_slot_E.push_back(0);
  for (int e = 0; e < E; ++e) {
    for (int i = 0; i < T * K; ++i)
      if (chosen[i] == e) {
        lists.slot_TK[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(lists.token_S.size());
        lists.token_S.push_back(i / K);
      }
    lists.first_slot_E.push_back(static_cast<std::int32_t>(lists.token_S.size()));
  }
  return lists;
}

struct GroupedShape {
  std::ptrdiff_t E, N, K;  // experts, outputs, inputs
};

// y_s = W_e x_token(s) for every slot s of every expert e.   x [T, K], w [E, N, K], y [slots, N]
template <class Real>
void grouped_matmul(const GroupedShape& s, const TokenLists& lists, const Real* x, const Real* w, Real* y) {
  for (std::ptrdiff_t e = 0; e < s.E; ++e)
    for (std::ptrdiff_t slot = lists.first_slot_E[e]; slot < lists.first_slot_E[e + 1]; ++slot)
      matmul<Real>({1, s.N, s.K}, x + lists.token_S[slot] * s.K, w + e * s.N * s.K, y + slot * s.N);
}

// dx_t += sum over t's slots of W_e^T dy_s; dW_e += sum over e's slots of dy_s x_t^T.
// dy [slots, N], d_x [T, K], d_w [E, N, K]
template <class Real>
void grouped_matmul_backward(const GroupedShape& s, const TokenLists& lists, const Real* x, const Real* w,
                             const Real* dy, Real* d_x, Real* d_w) {
  for (std::ptrdiff_t e = 0; e < s.E; ++e)
    for (std::ptrdiff_t slot = lists.first_slot_E[e]; slot < lists.first_slot_E[e + 1]; ++slot) {
      const std::ptrdiff_t token = lists.token_S[slot];
      matmul_backward<Real>({1, s.N, s.K}, x + token * s.K, w + e * s.N * s.K, dy + slot * s.N,
                            d_x ? d_x + token * s.K : nullptr, d_w ? d_w + e * s.N * s.K : nullptr);
    }
}

}  // namespace hadal::ref
