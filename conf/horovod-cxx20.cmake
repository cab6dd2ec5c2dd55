# Builds Horovod 0.28.1 as C++20 without patching it: its CMake files ask for C++14,
# the headers of current torch need C++20.
#
# Use it as CMAKE_TOOLCHAIN_FILE. CMake reads it twice. The first time, as a toolchain file, it is
# too early to say anything about the compiler, so the file asks to be read again inside every
# project() (CMAKE_PROJECT_INCLUDE; Gloo, which Horovod carries along, has one of its own). The
# second time the compiler is known, and what "C++14" means to it is replaced.
if(NOT CMAKE_PROJECT_INCLUDE)
  set(CMAKE_PROJECT_INCLUDE "${CMAKE_CURRENT_LIST_FILE}")
else()
  set(CMAKE_CXX14_EXTENSION_COMPILE_OPTION "-std=gnu++20")
  set(CMAKE_CXX14_STANDARD_COMPILE_OPTION "-std=c++20")

  # Most of the build is reading torch's headers: all of Horovod as one file reads them once. Gloo's
  # algorithms clash in one file, but not in fours.
  set(CMAKE_UNITY_BUILD ON)
  set(CMAKE_UNITY_BUILD_BATCH_SIZE 0)
  if(PROJECT_NAME STREQUAL "gloo")
    set(CMAKE_UNITY_BUILD_BATCH_SIZE 4)
  endif()

  # No debug information. All-reduce waits for memory and sockets: -O3 is no faster.
  set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -DNDEBUG")
endif()
