// The tokenizers and lines under goldens/tokenizers, read for tests. A missing file is a failure, never a skip.
#pragma once

#include <gtest/gtest.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "base/json.h"
#include "text/tokenizer.h"

namespace hadal {

inline std::string golden_folder(const std::string& name) {
  return std::string(HADAL_GOLDENS) + "/tokenizers/" + name;
}

inline std::string gunzip(const std::string& path) {
  std::string out(1 << 20, '\0');
  std::size_t size = 0;
  gzFile file = gzopen(path.c_str(), "rb");
  EXPECT_NE(file, nullptr) << path;
  if (file == nullptr) return {};
  for (int read = 0; (read = gzread(file, out.data() + size, static_cast<unsigned>(out.size() - size))) > 0;) {
    size += static_cast<std::size_t>(read);
    if (size == out.size()) out.resize(2 * size);
  }
  gzclose(file);
  out.resize(size);
  return out;
}

inline std::string whole_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  std::ostringstream out;
  out << file.rdbuf();
  return out.str();
}

inline std::vector<Json> golden_lines(const std::string& tokenizer, const std::string& file) {
  std::vector<Json> rows;
  std::istringstream lines(whole_file(golden_folder(tokenizer) + "/" + file));
  for (std::string line; std::getline(lines, line);) rows.push_back(Json::parse(line));
  EXPECT_GT(rows.size(), 0u) << tokenizer << "/" << file;
  return rows;
}

// Each is read once in a test program: the big ones take a third of a second.
inline const Tokenizer& golden_tokenizer(const std::string& name) {
  static std::map<std::string, Tokenizer> cache;
  const auto known = cache.find(name);
  if (known != cache.end()) return known->second;
  Result<Tokenizer> tokenizer = Tokenizer::from_json(gunzip(golden_folder(name) + "/tokenizer.json.gz"), name);
  HADAL_CHECK(tokenizer.ok());
  const Status status = tokenizer->apply_config(whole_file(golden_folder(name) + "/tokenizer_config.json"), name);
  EXPECT_TRUE(status.ok());
  return cache.emplace(name, std::move(*tokenizer)).first->second;
}

inline std::vector<int> numbers(const std::vector<TokenId>& ids) {
  std::vector<int> out;
  for (const TokenId id : ids) out.push_back(index(id));
  return out;
}

inline std::vector<TokenId> token_ids(const Json& list) {
  std::vector<TokenId> out;
  for (const Json& id : list) out.push_back(TokenId{id.get<int>()});
  return out;
}

}  // namespace hadal
