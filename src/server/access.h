// Who may ask: keys, and the browsers of this machine that a foreign page tries to use.
//
// A page from elsewhere can make the user's browser talk to 127.0.0.1, and with a
// DNS name of its own that points there (rebinding) it could even read the answer.
// So a server without keys answers only to Host names that mean this machine, and
// refuses requests that carry another page's Origin.
// Threads: no state.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace hadal {

// Whose key "Bearer KEY" is: 1 for the first, 0 for nobody's. In a time that does not depend on where they differ.
int key_holder(std::string_view authorization, std::span<const std::string> keys);

// "localhost:8080" -> "localhost", "[::1]:8080" -> "::1"; empty when it is no host.
std::string_view host_of(std::string_view host_header);

// localhost, *.localhost, 127.0.0.0/8, ::1.
bool is_loopback_name(std::string_view host);

// "http://localhost:8080" against "localhost:8080".
bool is_same_origin(std::string_view origin, std::string_view host_header);

}  // namespace hadal
