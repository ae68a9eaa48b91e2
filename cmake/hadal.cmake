# How every folder of hadal is built: one library a layer, one test program a layer.
#
#   hadal_library(NAME text SOURCES a.cc b.cc DEPENDS base PACKAGES nlohmann_json::nlohmann_json)
#   hadal_test(NAME text SOURCES a_test.cc DEPENDS text)       -> program test_text
#   hadal_fuzzer(NAME safetensors SOURCES f.cc DEPENDS formats) -> program fuzz_safetensors, with -DHADAL_FUZZ=ON

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2")  # -O3 is for the named kernel files only; HADAL_CHECK stays on

find_program(HADAL_CCACHE ccache)
if(HADAL_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_NOHASHDIR=1 ${HADAL_CCACHE})
endif()
find_package(Threads REQUIRED)

add_library(hadal_flags INTERFACE)
target_include_directories(hadal_flags INTERFACE "${PROJECT_SOURCE_DIR}/src")
target_compile_options(hadal_flags INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor -ffp-contract=off
  $<$<BOOL:${HADAL_WERROR}>:-Werror>)
target_link_libraries(hadal_flags INTERFACE Threads::Threads)
if(HADAL_SANITIZE)
  target_compile_options(hadal_flags INTERFACE -fsanitize=${HADAL_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(hadal_flags INTERFACE -fsanitize=${HADAL_SANITIZE})
endif()
if(HADAL_FUZZ)
  target_compile_options(hadal_flags INTERFACE -fsanitize=fuzzer-no-link,address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(hadal_flags INTERFACE -fsanitize=address,undefined)
endif()

function(hadal_library)
  cmake_parse_arguments(ARG "" "NAME" "SOURCES;DEPENDS;PACKAGES" ${ARGN})
  add_library(hadal_${ARG_NAME} STATIC ${ARG_SOURCES})
  list(TRANSFORM ARG_DEPENDS PREPEND hadal_)
  target_link_libraries(hadal_${ARG_NAME} PUBLIC hadal_flags ${ARG_DEPENDS} ${ARG_PACKAGES})
endfunction()

function(hadal_test)
  cmake_parse_arguments(ARG "" "NAME" "SOURCES;DEPENDS;PACKAGES" ${ARGN})
  add_executable(test_${ARG_NAME} ${ARG_SOURCES})
  list(TRANSFORM ARG_DEPENDS PREPEND hadal_)
  target_link_libraries(test_${ARG_NAME} PRIVATE hadal_flags ${ARG_DEPENDS} ${ARG_PACKAGES} GTest::gmock GTest::gtest_main)
  target_compile_options(test_${ARG_NAME} PRIVATE -Wno-dangling-else)  # googletest's macros hold an if-else
  target_include_directories(test_${ARG_NAME} PRIVATE "${PROJECT_SOURCE_DIR}/tests")
  target_compile_definitions(test_${ARG_NAME} PRIVATE HADAL_GOLDENS="${HADAL_GOLDENS}" HADAL_TASKS="${HADAL_TASKS}"
    HADAL_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  add_test(NAME ${ARG_NAME} COMMAND test_${ARG_NAME})
  set_property(GLOBAL APPEND PROPERTY HADAL_TEST_TARGETS test_${ARG_NAME})
endfunction()

function(hadal_fuzzer)
  if(NOT HADAL_FUZZ)
    return()
  endif()
  cmake_parse_arguments(ARG "" "NAME" "SOURCES;DEPENDS;PACKAGES" ${ARGN})
  add_executable(fuzz_${ARG_NAME} ${ARG_SOURCES})
  list(TRANSFORM ARG_DEPENDS PREPEND hadal_)
  target_link_libraries(fuzz_${ARG_NAME} PRIVATE hadal_flags ${ARG_DEPENDS} ${ARG_PACKAGES})
  target_link_options(fuzz_${ARG_NAME} PRIVATE -fsanitize=fuzzer)
  set_property(GLOBAL APPEND PROPERTY HADAL_FUZZ_TARGETS fuzz_${ARG_NAME})
endfunction()

# Last of all: the targets hadal_tests and hadal_fuzzers, and test_programs.txt, which scripts/test runs line by line.
function(hadal_finish)
  get_property(tests GLOBAL PROPERTY HADAL_TEST_TARGETS)
  get_property(fuzzers GLOBAL PROPERTY HADAL_FUZZ_TARGETS)
  add_custom_target(hadal_tests DEPENDS ${tests})
  add_custom_target(hadal_fuzzers DEPENDS ${fuzzers})
  set(programs "")
  foreach(target ${tests})
    string(APPEND programs "$<TARGET_FILE:${target}>\n")
  endforeach()
  file(GENERATE OUTPUT "${CMAKE_BINARY_DIR}/test_programs.txt" CONTENT "${programs}")
endfunction()
