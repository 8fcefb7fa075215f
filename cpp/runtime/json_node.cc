#include "runtime/json_node.h"

#include <cmath>
#include <string>

#include "runtime/error.h"

namespace mobilevd {

void JsonNode::fail(const std::string& what) const {
  throw Error("bundle.json: " + path_ + " " + what);
}

bool JsonNode::has(const char* key) const {
  const Json& all = object();
  return all.contains(key) && !all[key].is_null();
}

std::string JsonNode::below(const std::string& key) const {
  return path_.empty() ? key : path_ + "." + key;
}

JsonNode JsonNode::member(const std::string& key) const { return {(*value_)[key], below(key)}; }

JsonNode JsonNode::at(const char* key) const {
  if (!has(key)) throw Error("bundle.json: " + below(key) + " is missing");
  return member(key);
}

JsonNode JsonNode::at(std::size_t index) const {
  return {(*value_)[index], path_ + "[" + std::to_string(index) + "]"};
}

std::string JsonNode::string() const {
  if (!value_->is_string()) fail("must be a string");
  return value_->get<std::string>();
}

double JsonNode::number() const {
  if (!value_->is_number()) fail("must be a number");
  const double number = value_->get<double>();
  if (!std::isfinite(number)) fail("must be finite");
  return number;
}

int64_t JsonNode::integer(int64_t min, int64_t max) const {
  if (!value_->is_number_integer()) fail("must be an integer");
  const auto number = value_->get<int64_t>();
  if (number < min || number > max || (value_->is_number_unsigned() && number < 0)) {
    fail("must be between " + std::to_string(min) + " and " + std::to_string(max));
  }
  return number;
}

const JsonNode::Json& JsonNode::array() const {
  if (!value_->is_array()) fail("must be a list");
  return *value_;
}

const JsonNode::Json& JsonNode::object() const {
  if (!value_->is_object()) fail("must be an object");
  return *value_;
}

}  // namespace mobilevd
