// Diagnostics of a running program, on stderr. Programs (cli, server) call it; libraries report by Result.
//
// Any thread. A line carries the time and the level; text is never a format string.
#pragma once

#include <string_view>

namespace hadal {

enum class LogLevel { debug, info, warning, error, off };

void set_log_level(LogLevel level);  // info at the start
void log(LogLevel level, std::string_view text);

}  // namespace hadal
