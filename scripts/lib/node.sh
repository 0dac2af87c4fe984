# Which Node to use. To be sourced in the project's root.

# The oldest Node that penstock runs on; Debian 12 has an older one.
oldest_node=20.18.0
newest_node=24

# Puts a Node that is new enough first on the PATH: the system's, or the npm package `node`, which carries the binary.
use_node() {
  if is_new_enough node; then return; fi
  local folder
  folder=$(node_of_version "$newest_node")
  PATH=$folder:$PATH
  export PATH
}

# Prints the folder of a node of the given major version.
node_of_version() {
  local version=$1
  if command -v node >/dev/null && [ "$(node -p 'process.versions.node.split(".")[0]')" = "$version" ] && is_new_enough node; then
    dirname "$(command -v node)"
    return
  fi
  local prefix=$PWD/.cache/node-$version
  if [ ! -x "$prefix/node_modules/node/bin/node" ]; then
    echo "setup: taking Node $version from the npm package \`node\` into $prefix" >&2
    mkdir -p "$prefix"
    npm install --no-save --no-audit --no-fund --loglevel=error --prefix "$prefix" "node@$version" >/dev/null || {
      echo "setup: Node $version could not be had from npm; install Node.js $oldest_node or newer yourself" >&2
      return 1
    }
  fi
  printf '%s\n' "$prefix/node_modules/node/bin"
}

is_new_enough() {
  [ "$(printf '%s\nv%s\n' "$("$1" --version)" "$oldest_node" | sort -V | head -1)" = "v$oldest_node" ]
}

have_node_headers() {
  local node_folder
  node_folder=$(dirname "$(dirname "$(readlink -f "$(command -v node || echo /usr/bin/node)")")")
  [ -f /usr/include/node/node_api.h ] || [ -f "$node_folder/include/node/node_api.h" ]
}
