{
  "targets": [
    {
      "target_name": "penstock",
      "sources": ["<!@(printf '%s\\n' native/*.cc native/engine/*.cc native/announce/*.cc native/choice/*.cc native/hold/*.cc)"],
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
