// DeepSeek-V2.5, V3 and V3-0324. Tool calls and results are written as the later edition of the template writes them;
// definitions have no place in it.
#include "text/deepseek_format.h"
#include "text/native_formats.h"

namespace hadal {
namespace {

class DeepSeekV3 final : public DeepSeekFormat {
 public:
  std::string_view name() const override { return "deepseek-v3"; }
  ToolSupport tools() const override { return ToolSupport::calls; }
  ToolCallSyntax call_syntax() const override { return ToolCallSyntax::deepseek_v3; }
  // The card of V3-0324: 0.3 is what the API's temperature of 1 means to the model.
  SamplingAdvice sampling() const override { return {.temperature = 0.3, .top_p = 0.95}; }
};

}  // namespace

const ChatFormat& deepseek_v3_format() {
  static const DeepSeekV3 format;
  return format;
}

}  // namespace hadal
