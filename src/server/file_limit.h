// The system's limit of open files: a connection is one.
#pragma once

namespace hadal {

// Raises the limit as far as this process may, and says how many of `wanted` connections it then has room for; at
// least 1.
int clients_that_fit(int wanted);

}  // namespace hadal
