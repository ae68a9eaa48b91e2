// A float array that grows and is reused: activations live in these, so a
// forward pass touches the same memory every time and allocates only when a
// batch is larger than any before. Contents are lost when it grows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace hadal {

template <class T>
class Buffer {
 public:
  T* ensure(std::size_t count) {
    if (count > capacity_) {
      data_.reset();
      capacity_ = 0;  // what follows may throw
      const std::size_t bytes = (count * sizeof(T) + 63) / 64 * 64;
      data_.reset(static_cast<T*>(std::aligned_alloc(64, bytes)));
      if (!data_) throw std::bad_alloc();
      capacity_ = count;
    }
    return data_.get();
  }
  T* data() noexcept { return data_.get(); }
  const T* data() const noexcept { return data_.get(); }
  std::size_t capacity() const noexcept { return capacity_; }

 private:
  struct Free {
    void operator()(T* p) const noexcept { std::free(p); }
  };
  std::unique_ptr<T, Free> data_;
  std::size_t capacity_ = 0;
};
using FloatBuffer = Buffer<float>;

// Elements of an array [a, b].
constexpr std::size_t size(std::int64_t a, std::int64_t b) noexcept {
  return static_cast<std::size_t>(a) * static_cast<std::size_t>(b);
}

}  // namespace hadal
