#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace mobilevd {

/// A value of bundle.json with its path, for errors that say where: "bundle.json: sampling.steps".
class JsonNode {
 public:
  using Json = nlohmann::json;
  JsonNode(const Json& value, std::string path) : value_(&value), path_(std::move(path)) {}

  bool has(const char* key) const;  ///< present and not null
  JsonNode at(const char* key) const;
  JsonNode at(std::size_t index) const;
  std::size_t size() const { return value_->size(); }

  std::string string() const;
  double number() const;  ///< finite
  int64_t integer(int64_t min, int64_t max) const;
  const Json& array() const;
  const Json& object() const;
  JsonNode member(const std::string& key) const;  ///< of an object known to have it
  [[noreturn]] void fail(const std::string& what) const;

 private:
  std::string below(const std::string& key) const;

  const Json* value_;
  std::string path_;
};

}  // namespace mobilevd
