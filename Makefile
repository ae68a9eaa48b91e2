# The commands of hadal. CMake builds; this says in what order. `make help` lists them.
#
# On Debian 12 everything is installed when it is missing. On other systems install the
# packages that scripts/install-deps names, then `make run DEPS=true`.
SHELL := /bin/bash
DEPS ?= scripts/install-deps
JOBS ?= $(shell nproc)
HADAL := build/release/hadal
# The compiler that CI uses treats warnings as errors; another may know new ones, which must not keep users out.
PRESET = $(if $(filter 12,$(shell g++ -dumpversion)),ci,release)

.PHONY: run test serve bench asan tsan fuzz e2e clean help deps program tests

run: program  ## install, build, answer a sample question; on a terminal go on as a chat
	@scripts/run $(HADAL)

test: tests  ## install, build, run all quick tests; the last line is "N passed, N failed"
	@scripts/test build/release

serve: program  ## the server and the web chat on http://127.0.0.1:8080
	@$(HADAL) serve

bench: program  ## tokens/s of the built-in model beside this machine's limits
	@$(HADAL) bench

asan: deps  ## the tests under the address and undefined-behaviour sanitizers
	cmake --preset asan $(CMAKE_ARGS)
	cmake --build --preset asan -j $(JOBS) --target hadal_tests
	@scripts/test build/asan

tsan: deps  ## the tests under the thread sanitizer
	cmake --preset tsan $(CMAKE_ARGS)
	cmake --build --preset tsan -j $(JOBS) --target hadal_tests
	@scripts/test build/tsan

fuzz:  ## each fuzzer for SECONDS_EACH (60) seconds; needs clang
	@$(DEPS) --fuzz
	cmake --preset fuzz $(CMAKE_ARGS)
	cmake --build --preset fuzz -j $(JOBS) --target hadal_fuzzers
	@scripts/fuzz build/fuzz $(or $(SECONDS_EACH),60)

e2e:  ## published API clients, a browser and 64 clients at once; MODEL=path takes a real model, not the fake one
	@$(DEPS) --browser
	cmake --preset $(PRESET) $(CMAKE_ARGS)
	cmake --build build/release -j $(JOBS) --target $(if $(MODEL),hadal,fake_server)
	@scripts/e2e build/release $(MODEL)

clean:  ## remove what was built
	rm -rf build web/dist web/node_modules

help:  ## this list
	@grep -hE '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 10

deps:
	@$(DEPS)

program: deps
	cmake --preset $(PRESET) $(CMAKE_ARGS)
	cmake --build build/release -j $(JOBS) --target hadal

tests: deps
	cmake --preset $(PRESET) $(CMAKE_ARGS)
	cmake --build build/release -j $(JOBS) --target hadal hadal_tests
