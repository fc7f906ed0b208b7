{
  "variables": { "werror%": "<!(node -p \"process.env.CI ? 1 : 0\")" },
  "targets": [
    {
      "target_name": "p2pmem",
      "sources": ["<!@(ls -1 native/*/*.cc)"],
      "include_dirs": ["<!@(node -p \"require('node-addon-api').include\")", "native"],
      "defines": ["NAPI_VERSION=9", "NAPI_CPP_EXCEPTIONS",
        "NODE_ADDON_API_CPP_EXCEPTIONS_ALL", "NODE_ADDON_API_DISABLE_DEPRECATED"],
      "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++17", "-std=gnu++20", "-O3"],
      "cflags_cc": ["-std=c++20", "-O2", "-Wall", "-Wextra", "-fexceptions", "-fvisibility=hidden"],
      "libraries": ["-lpthread", "-ldl"],
      # Node unloads an addon with the last thread that loaded it; a signal handler must stay.
      "ldflags": ["-Wl,-z,nodelete"],
      "conditions": [["werror==1", { "cflags_cc": ["-Werror"] }]]
    }
  ]
}
