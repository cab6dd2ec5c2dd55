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

  # Most of the build was reading headers. Now Horovod's 25 files that do not need torch are compiled
  # as one, those that do as another, one for each of two cores. Gloo's clash but in groups of four.
  set(CMAKE_UNITY_BUILD ON)
  if(PROJECT_NAME STREQUAL "gloo")
    set(CMAKE_UNITY_BUILD_BATCH_SIZE 4)
  else()
    set(CMAKE_UNITY_BUILD_BATCH_SIZE 25)
  endif()

  # No debug information, and -O3 is no faster: all-reduce waits for memory and sockets.
  set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -DNDEBUG")
endif()
