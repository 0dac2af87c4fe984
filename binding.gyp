{
  "targets": [
    {
      "target_name": "penstock",
      "sources": ["<!@(find native -name '*.cc' -not -path 'native/watchdog/*' -not -path 'native/sanitize/*' | LC_ALL=C sort)"],
      "defines": ["NAPI_VERSION=8", "_GNU_SOURCE"],
      "cflags_cc": ["-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden", "-fexceptions"],
      "cflags_cc!": ["-std=gnu++17", "-std=gnu++20", "-fno-exceptions"],
      "libraries": ["-lpthread"]
    },
    {
      "target_name": "penstock-watchdog",
      "type": "executable",
      "sources": ["native/watchdog/main.cc"],
      "defines": ["_GNU_SOURCE"],
      "cflags_cc": ["-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror"],
      "cflags_cc!": ["-std=gnu++17", "-std=gnu++20"],
      "ldflags": ["-static-libgcc", "-static-libstdc++"]
    }
  ]
}
