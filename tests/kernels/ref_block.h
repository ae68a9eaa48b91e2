// One whole transformer block of DeepSeek-V3's kind put together from the
// reference operations, forward and backward, with the choice of experts given:
//   n = norm(x); q = W_qb norm(W_qa n); [c | k_pe] = W_kva n; c = norm(c); RoPE on both rope parts
//   x' = x + W_o mla(q, c, k_pe);  m = norm(x');  y = x' + sum_k g_k expert_k(m) + shared(m)
// (V3, arXiv 2412.19437, eq. 1-16.) It shows that the operations' gradients fit together.
#pragma once

#include <vector>

#include "kernels/ref/grouped_matmul.h"
#include "kernels/ref/mla.h"
#include "kernels/ref/moe_combine.h"
#include "kernels/ref/rms_norm.h"
#include "kernels/ref/rope.h"
#include "kernels/ref/router.h"
#include "kernels/ref/swiglu.h"

namespace hadal::testing {

using Values = std::vector<double>;

struct BlockShape {
  std::ptrdiff_t T, D, H, N, R, V, C, Q, E, K, F;  // docs/shapes.md
  ref::RouterConfig router;
};

// Weights; gradients and the input's gradient have the same form.
struct BlockTensors {
  Values x_TD, norm_D, q_a_QD, q_norm_Q, q_b, kv_a, kv_norm_C, kv_b, o, ffn_norm_D, router_ED, gate_EFD, up_EFD,
      down_EDF, shared_gate_FD, shared_up_FD, shared_down_DF;

  std::vector<std::pair<const char*, Values*>> all() {
    return {{"x", &x_TD},
            {"norm", &norm_D},
            {"q_a", &q_a_QD},
            {"q_norm", &q_norm_Q},
            {"q_b", &q_b},
            {"kv_a", &kv_a},
            {"kv_norm", &kv_norm_C},
            {"kv_b", &kv_b},
            {"o", &o},
            {"ffn_norm", &ffn_norm_D},
            {"router", &router_ED},
            {"gate", &gate_EFD},
            {"up", &up_EFD},
            {"down", &down_EDF},
            {"shared_gate", &shared_gate_FD},
            {"shared_up", &shared_up_FD},
            {"shared_down", &shared_down_DF}};
  }
};

// What a tired author forgets in the backward pass.
enum class Slip { none, residual, routing_weights, shared_key, latent_norm };

class RefBlock {
 public:
  RefBlock(const BlockShape& s, const BlockTensors& w, std::vector<std::int32_t> chosen_TK)
      : s_(s),
        w_(w),
        lists_(ref::token_lists(static_cast<int>(s.E), static_cast<int>(s.T), static_cast<int>(s.K), chosen_TK.data())),
        chosen_TK_(std::move(chosen_TK)) {
    for (std::ptrdiff_t t = 0; t < s.T; ++t) positions_T_.push_back(static_cast<std::int32_t>(3 + t));
    for (std::ptrdiff_t i = 0; i < s.R / 2; ++i) frequencies_.push_back(1 / (1 + 9.0 * static_cast<double>(i)));
  }

  Values forward() {
    attention_forward();
    return ffn_forward();
  }

  // Gradients for dL/dy = d_y; calls forward() first.
  BlockTensors backward(const Values& d_y_TD, Slip slip) {
    forward();
    BlockTensors g = w_;
    for (auto& [name, values] : g.all()) std::fill(values->begin(), values->end(), 0.0);
    Values d_mid = slip == Slip::residual ? zeros(s_.T * s_.D) : d_y_TD;
    ffn_backward(d_y_TD, slip, g, d_mid);
    g.x_TD = d_mid;  // the residual path
    attention_backward(d_mid, slip, g);
    return g;
  }

 private:
  static constexpr double kEps = 1e-2;  // large, so that its place matters
  static Values zeros(std::ptrdiff_t n) { return Values(static_cast<std::size_t>(n), 0.0); }
  std::ptrdiff_t G() const { return s_.N + s_.R; }
  ref::MlaShape mla() const { return {s_.T, s_.T, s_.H, s_.N, s_.R, s_.V, s_.C}; }
  double scale() const { return ref::mla_scale(mla()); }

  static Values product(std::ptrdiff_t M, std::ptrdiff_t N, std::ptrdiff_t K, const Values& x, const Values& w) {
    Values y = zeros(M * N);
    ref::matmul<double>({M, N, K}, x.data(), w.data(), y.data());
    return y;
  }
  Values norm(std::ptrdiff_t D, const Values& x, const Values& w) const {
    Values y = zeros(s_.T * D);
    ref::rms_norm<double>({s_.T, D}, x.data(), w.data(), kEps, y.data());
    return y;
  }
  // Columns [first, first + count) of rows of `width`.
  static Values columns(const Values& x, std::ptrdiff_t width, std::ptrdiff_t first, std::ptrdiff_t count) {
    Values y;
    for (std::ptrdiff_t at = first; at < static_cast<std::ptrdiff_t>(x.size()); at += width)
      y.insert(y.end(), x.begin() + at, x.begin() + at + count);
    return y;
  }
  static void put_columns(const Values& y, std::ptrdiff_t width, std::ptrdiff_t first, std::ptrdiff_t count,
                          Values& x) {
    for (std::ptrdiff_t i = 0; i < static_cast<std::ptrdiff_t>(y.size()); ++i)
      x[static_cast<std::size_t>(i / count * width + first + i % count)] = y[static_cast<std::size_t>(i)];
  }
  Values turned(const Values& x, std::ptrdiff_t H, int direction) const {
    Values y = zeros(s_.T * H * s_.R);
    (direction > 0 ? ref::rope<double> : ref::rope_backward<double>)({s_.T, H, s_.R}, x.data(), positions_T_.data(),
                                                                     frequencies_.data(), y.data());
    return y;
  }

  void attention_forward() {
    norm_x_ = norm(s_.D, w_.x_TD, w_.norm_D);
    q_low_ = product(s_.T, s_.Q, s_.D, norm_x_, w_.q_a_QD);
    q_low_norm_ = norm(s_.Q, q_low_, w_.q_norm_Q);
    q_ = product(s_.T, s_.H * G(), s_.Q, q_low_norm_, w_.q_b);
    put_columns(turned(columns(q_, G(), s_.N, s_.R), s_.H, 1), G(), s_.N, s_.R, q_);
    const Values kv = product(s_.T, s_.C + s_.R, s_.D, norm_x_, w_.kv_a);
    latent_raw_ = columns(kv, s_.C + s_.R, 0, s_.C);
    latent_ = norm(s_.C, latent_raw_, w_.kv_norm_C);
    k_pe_ = turned(columns(kv, s_.C + s_.R, s_.C, s_.R), 1, 1);
    heads_ = zeros(s_.T * s_.H * s_.V);
    ref::mla_expanded<double>(mla(), scale(), {q_.data(), latent_.data(), k_pe_.data(), w_.kv_b.data()}, heads_.data());
    mid_ = product(s_.T, s_.D, s_.H * s_.V, heads_, w_.o);
    for (std::size_t i = 0; i < mid_.size(); ++i) mid_[i] += w_.x_TD[i];
  }

  Values ffn_forward() {
    const std::ptrdiff_t slots = s_.T * s_.K;
    norm_mid_ = norm(s_.D, mid_, w_.ffn_norm_D);
    scores_ = product(s_.T, s_.E, s_.D, norm_mid_, w_.router_ED);
    weights_ = zeros(slots);
    for (std::ptrdiff_t t = 0; t < s_.T; ++t) {
      double* scores = scores_.data() + t * s_.E;
      ref::router_scores(s_.router, Values(scores, scores + s_.E).data(), scores);
      ref::router_weights(s_.router, scores, chosen_TK_.data() + t * s_.K, weights_.data() + t * s_.K);
    }
    gate_ = up_ = act_ = zeros(slots * s_.F);
    expert_out_ = zeros(slots * s_.D);
    ref::grouped_matmul<double>({s_.E, s_.F, s_.D}, lists_, norm_mid_.data(), w_.gate_EFD.data(), gate_.data());
    ref::grouped_matmul<double>({s_.E, s_.F, s_.D}, lists_, norm_mid_.data(), w_.up_EFD.data(), up_.data());
    ref::swiglu(slots * s_.F, gate_.data(), up_.data(), act_.data());
    ref::grouped_matmul<double>({s_.E, s_.D, s_.F}, own_slots(), act_.data(), w_.down_EDF.data(), expert_out_.data());
    Values y = zeros(s_.T * s_.D);
    ref::moe_combine<double>({s_.T, s_.K, s_.D}, lists_.slot_TK.data(), weights_.data(), expert_out_.data(), y.data());
    shared_gate_ = product(s_.T, s_.F, s_.D, norm_mid_, w_.shared_gate_FD);
    shared_up_ = product(s_.T, s_.F, s_.D, norm_mid_, w_.shared_up_FD);
    shared_act_ = zeros(s_.T * s_.F);
    ref::swiglu(s_.T * s_.F, shared_gate_.data(), shared_up_.data(), shared_act_.data());
    const Values shared = product(s_.T, s_.D, s_.F, shared_act_, w_.shared_down_DF);
    for (std::size_t i = 0; i < y.size(); ++i) y[i] += mid_[i] + shared[i];
    return y;
  }

  // The second product of an expert reads its slots as they lie.
  ref::TokenLists own_slots() const {
    ref::TokenLists lists = lists_;
    for (std::size_t i = 0; i < lists.token_S.size(); ++i) lists.token_S[i] = static_cast<std::int32_t>(i);
    return lists;
  }

  void ffn_backward(const Values& d_y, Slip slip, BlockTensors& g, Values& d_mid) const {
    const std::ptrdiff_t slots = s_.T * s_.K;
    Values d_weights = zeros(slots), d_out = zeros(slots * s_.D), d_act = zeros(slots * s_.F), d_gate = d_act,
           d_up = d_act, d_norm = zeros(s_.T * s_.D), d_logits = zeros(s_.T * s_.E);
    ref::moe_combine_backward<double>({s_.T, s_.K, s_.D}, lists_.slot_TK.data(), weights_.data(), expert_out_.data(),
                                      d_y.data(), d_weights.data(), d_out.data());
    ref::grouped_matmul_backward<double>({s_.E, s_.D, s_.F}, own_slots(), act_.data(), w_.down_EDF.data(), d_out.data(),
                                         d_act.data(), g.down_EDF.data());
    ref::swiglu_backward(slots * s_.F, gate_.data(), up_.data(), d_act.data(), d_gate.data(), d_up.data());
    ref::grouped_matmul_backward<double>({s_.E, s_.F, s_.D}, lists_, norm_mid_.data(), w_.gate_EFD.data(),
                                         d_gate.data(), d_norm.data(), g.gate_EFD.data());
    ref::grouped_matmul_backward<double>({s_.E, s_.F, s_.D}, lists_, norm_mid_.data(), w_.up_EFD.data(), d_up.data(),
                                         d_norm.data(), g.up_EFD.data());
    for (std::ptrdiff_t t = 0; t < s_.T && slip != Slip::routing_weights; ++t) {
      Values d_scores = zeros(s_.E);
      ref::router_weights_backward(s_.router, scores_.data() + t * s_.E, chosen_TK_.data() + t * s_.K,
                                   d_weights.data() + t * s_.K, d_scores.data());
      ref::router_scores_backward(s_.router, scores_.data() + t * s_.E, d_scores.data(), d_logits.data() + t * s_.E);
    }
    ref::matmul_backward<double>({s_.T, s_.E, s_.D}, norm_mid_.data(), w_.router_ED.data(), d_logits.data(),
                                 d_norm.data(), g.router_ED.data());
    Values d_shared_act = zeros(s_.T * s_.F), d_shared_gate = d_shared_act, d_shared_up = d_shared_act;
    ref::matmul_backward<double>({s_.T, s_.D, s_.F}, shared_act_.data(), w_.shared_down_DF.data(), d_y.data(),
                                 d_shared_act.data(), g.shared_down_DF.data());
    ref::swiglu_backward(s_.T * s_.F, shared_gate_.data(), shared_up_.data(), d_shared_act.data(), d_shared_gate.data(),
                         d_shared_up.data());
    ref::matmul_backward<double>({s_.T, s_.F, s_.D}, norm_mid_.data(), w_.shared_gate_FD.data(), d_shared_gate.data(),
                                 d_norm.data(), g.shared_gate_FD.data());
    ref::matmul_backward<double>({s_.T, s_.F, s_.D}, norm_mid_.data(), w_.shared_up_FD.data(), d_shared_up.data(),
                                 d_norm.data(), g.shared_up_FD.data());
    ref::rms_norm_backward<double>({s_.T, s_.D}, mid_.data(), w_.ffn_norm_D.data(), d_norm.data(), kEps, d_mid.data(),
                                   g.ffn_norm_D.data());
  }

  void attention_backward(const Values& d_mid, Slip slip, BlockTensors& g) const {
    Values d_heads = zeros(s_.T * s_.H * s_.V), d_q = zeros(s_.T * s_.H * G()), d_latent = zeros(s_.T * s_.C),
           d_k_pe = zeros(s_.T * s_.R), d_kv = zeros(s_.T * (s_.C + s_.R)), d_norm = zeros(s_.T * s_.D),
           d_low_norm = zeros(s_.T * s_.Q), d_low = d_low_norm, d_latent_raw = d_latent;
    ref::matmul_backward<double>({s_.T, s_.D, s_.H * s_.V}, heads_.data(), w_.o.data(), d_mid.data(), d_heads.data(),
                                 g.o.data());
    ref::mla_expanded_backward<double>(mla(), scale(), {q_.data(), latent_.data(), k_pe_.data(), w_.kv_b.data()},
                                       d_heads.data(), {d_q.data(), d_latent.data(), d_k_pe.data(), g.kv_b.data()});
    put_columns(turned(columns(d_q, G(), s_.N, s_.R), s_.H, -1), G(), s_.N, s_.R, d_q);
    ref::matmul_backward<double>({s_.T, s_.H * G(), s_.Q}, q_low_norm_.data(), w_.q_b.data(), d_q.data(),
                                 d_low_norm.data(), g.q_b.data());
    ref::rms_norm_backward<double>({s_.T, s_.Q}, q_low_.data(), w_.q_norm_Q.data(), d_low_norm.data(), kEps,
                                   d_low.data(), g.q_norm_Q.data());
    ref::matmul_backward<double>({s_.T, s_.Q, s_.D}, norm_x_.data(), w_.q_a_QD.data(), d_low.data(), d_norm.data(),
                                 g.q_a_QD.data());
    ref::rms_norm_backward<double>({s_.T, s_.C}, latent_raw_.data(), w_.kv_norm_C.data(), d_latent.data(), kEps,
                                   d_latent_raw.data(), g.kv_norm_C.data());
    put_columns(slip == Slip::latent_norm ? d_latent : d_latent_raw, s_.C + s_.R, 0, s_.C, d_kv);
    if (slip != Slip::shared_key) put_columns(turned(d_k_pe, 1, -1), s_.C + s_.R, s_.C, s_.R, d_kv);
    ref::matmul_backward<double>({s_.T, s_.C + s_.R, s_.D}, norm_x_.data(), w_.kv_a.data(), d_kv.data(), d_norm.data(),
                                 g.kv_a.data());
    ref::rms_norm_backward<double>({s_.T, s_.D}, w_.x_TD.data(), w_.norm_D.data(), d_norm.data(), kEps, g.x_TD.data(),
                                   g.norm_D.data());
  }

  BlockShape s_;
  const BlockTensors& w_;  // the caller's, so that numeric gradients can move them
  ref::TokenLists lists_;
  std::vector<std::int32_t> chosen_TK_, positions_T_;
  Values frequencies_;
  // Activations, kept for the way back: attention, then the experts.
  Values norm_x_, q_low_, q_low_norm_, q_, latent_raw_, latent_, k_pe_, heads_, mid_;
  Values norm_mid_, scores_, weights_, gate_, up_, act_, expert_out_, shared_gate_, shared_up_, shared_act_;
};

}  // namespace hadal::testing
