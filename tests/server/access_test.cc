#include "server/access.h"

#include <gtest/gtest.h>

#include <vector>

namespace hadal {
namespace {

TEST(Access, KeyMustBeWholeAndExact) {
  const std::vector<std::string> keys{"abc", "a-longer-key"};
  EXPECT_EQ(key_holder("Bearer abc", keys), 1);
  EXPECT_EQ(key_holder("bearer a-longer-key", keys), 2);
  for (const char* wrong : {"", "abc", "Bearer", "Bearer ", "Bearer ab", "Bearer abcd", "Bearer ABC", "Bearer  abc",
                            "Bearer abc ", "Basic abc", "Bearer a-longer-keys"})
    EXPECT_EQ(key_holder(wrong, keys), 0) << wrong;
  EXPECT_EQ(key_holder("Bearer x", {}), 0);
}

TEST(Access, HostLosesItsPort) {
  EXPECT_EQ(host_of("localhost:8080"), "localhost");
  EXPECT_EQ(host_of("localhost"), "localhost");
  EXPECT_EQ(host_of("[::1]:8080"), "::1");
  EXPECT_EQ(host_of("[::1"), "");
  EXPECT_EQ(host_of(""), "");
}

TEST(Access, OnlyNamesOfThisMachineAreLoopback) {
  for (const char* local :
       {"localhost", "LOCALHOST", "localhost.", "hadal.localhost", "127.0.0.1", "127.255.0.9", "::1"})
    EXPECT_TRUE(is_loopback_name(local)) << local;
  for (const char* foreign :
       {"", "evil.example", "localhost.evil.example", "notlocalhost", ".localhost", "127.0.0.1.nip.io", "127.0.0",
        "127.0.0.1.1", "127.0.0.256", "127.0.0.-1", "0127.0.0.1", "128.0.0.1", "0.0.0.0", "2130706433", "127.0.0.1 "})
    EXPECT_FALSE(is_loopback_name(foreign)) << foreign;
}

TEST(Access, OriginIsTheSameOnlyWithHostAndPort) {
  EXPECT_TRUE(is_same_origin("http://localhost:8080", "localhost:8080"));
  EXPECT_TRUE(is_same_origin("http://LocalHost:8080", "localhost:8080"));
  for (const char* foreign :
       {"null", "", "http://localhost", "http://localhost:80801", "http://evil.example", "localhost:8080"})
    EXPECT_FALSE(is_same_origin(foreign, "localhost:8080")) << foreign;
}

}  // namespace
}  // namespace hadal
