// Follows a Dockerfile without Docker: rootfs.mjs FOLDER DOCKERFILE TARGET makes FOLDER/TARGET, and a folder for each stage
// that it needs. Stages whose steps and files are the same as last time are left as they are.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { isSent, readCopy, readStages, stagesFor } from './dockerfile.mjs';

const [folder, dockerfile, target] = process.argv.slice(2);
const dockerignore = readFileSync(`${dockerfile}.dockerignore`, 'utf8');
const stages = readStages(readFileSync(dockerfile, 'utf8'));
const needed = stagesFor(stages, target);
if (needed.length === 0) throw new Error(`${dockerfile} has no target ${target}`);

const say = (text) => process.stderr.write(`rootfs: ${text}\n`);
const run = (program, ...args) => execFileSync(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
const keys = new Map();

mkdirSync(folder, { recursive: true });
for (const stage of needed) makeStage(stage);
process.stdout.write(`${join(folder, target)}\n`);

function makeStage({ name, from, steps }) {
  const root = join(folder, name);
  const key = keyOf(from, steps);
  keys.set(name, key);
  const keyFile = `${root}.key`;
  if (existsSync(keyFile) && readFileSync(keyFile, 'utf8') === key) return;
  say(`stage ${name}, from ${from}`);
  rmSync(keyFile, { force: true });
  rmSync(root, { recursive: true, force: true });
  mkdirSync(root);
  if (keys.has(from)) run('cp', '-a', `${join(folder, from)}/.`, root);
  else unpackBase(from, root);
  let workdir = '/';
  for (const { instruction, text, line } of steps) {
    if (instruction === 'WORKDIR') {
      workdir = text;
      mkdirSync(join(root, text), { recursive: true });
    } else if (instruction === 'COPY') copy(root, workdir, text, line);
    else if (instruction === 'RUN') runInside(root, workdir, text);
  }
  writeFileSync(keyFile, key);
}

/** Of all that a stage is made of. */
function keyOf(from, steps) {
  const hash = createHash('sha256').update(keys.get(from) ?? from);
  for (const { instruction, text } of steps) {
    hash.update(`\n${instruction} ${text}`);
    if (instruction !== 'COPY') continue;
    const { from: other, sources } = readCopy(text);
    if (other !== undefined) hash.update(keys.get(other));
    else for (const source of sources) hashFiles(hash, source);
  }
  return hash.digest('hex');
}

function hashFiles(hash, path) {
  if (statSync(path).isDirectory()) {
    for (const name of readdirSync(path).sort()) hashFiles(hash, join(path, name));
  } else hash.update(path).update(readFileSync(path));
}

function copy(root, workdir, text, line) {
  const { from, sources, destination } = readCopy(text);
  const to = join(root, resolve(workdir, destination));
  for (const source of sources) {
    if (from === undefined && !isSent(dockerignore, source)) {
      throw new Error(`Dockerfile:${line}: ${source} is left out by ${dockerfile}.dockerignore`);
    }
    const path = from === undefined ? source : join(folder, from, source);
    const isInto = destination.endsWith('/') && !statSync(path).isDirectory();
    cpSync(path, isInto ? join(to, basename(source)) : to, { recursive: true, verbatimSymlinks: true });
  }
}

/** A shell in the new root, with mounts that end with it. */
function runInside(root, workdir, command) {
  const script = `
    set -e
    mount --bind "$1" "$1"
    mount -t proc proc "$1/proc"
    mount --rbind /dev "$1/dev"
    touch "$1/etc/resolv.conf"
    mount --bind /etc/resolv.conf "$1/etc/resolv.conf"
    if [ -n "$NODE_EXTRA_CA_CERTS" ]; then
      mkdir -p "$1/run/host-certificates"
      mount --bind "$(dirname "$(readlink -f "$NODE_EXTRA_CA_CERTS")")" "$1/run/host-certificates"
      export NODE_EXTRA_CA_CERTS="/run/host-certificates/$(basename "$(readlink -f "$NODE_EXTRA_CA_CERTS")")"
    fi
    exec chroot "$1" /bin/sh -c "cd $2 && $3"`;
  const env = {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: '/root',
    DEBIAN_FRONTEND: 'noninteractive',
    ...Object.fromEntries(
      Object.entries(process.env).filter(([name]) => /^(https?_proxy|no_proxy|NODE_EXTRA_CA_CERTS)$/i.test(name)),
    ),
  };
  try {
    execFileSync('unshare', ['--mount', '--pid', '--fork', '--kill-child', 'sh', '-c', script, 'sh', root, workdir, command], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      maxBuffer: 64 * 1024 * 1024,
      timeout: 1_200_000,
    });
  } catch (error) {
    throw new Error(`RUN ${command}: ${error.message}\n${error.stdout}`);
  }
}

/** debian:SUITE-slim, and node:VERSION-SUITE-slim: with Node and npm where the image has them, and Node's headers. */
function unpackBase(image, root) {
  const [, version, suite] = /^(?:debian|node):(?:(\d+)-)?([a-z]+)-slim$/.exec(image) ?? [];
  if (!suite) throw new Error(`no base image is known for FROM ${image}`);
  const tar = join(folder, `debian-${suite}.tar`);
  if (!existsSync(tar)) {
    say(`debian:${suite}-slim from Debian packages`);
    run('mmdebstrap', '--quiet', '--variant=minbase', suite, `${tar}.part.tar`, 'http://deb.debian.org/debian');
    run('mv', `${tar}.part.tar`, tar);
  }
  run('tar', '-C', root, '--exclude=./dev/*', '-xf', tar);
  if (version) addNode(root, version);
}

function addNode(root, version) {
  const bash = (script) => execFileSync('bash', ['-euc', `. scripts/lib/node.sh\n${script}`]).toString().trim();
  const local = join(root, 'usr/local');
  const node = bash(`readlink -f "$(node_of_version ${version})/node"`);
  run('cp', node, join(local, 'bin/node'));
  // npm is plain JavaScript: this machine's own will do. So will any Node's headers, for N-API.
  run('mkdir', '-p', join(local, 'lib/node_modules'), join(local, 'include'));
  run('cp', '-rL', bash('npm root -g') + '/npm', join(local, 'lib/node_modules/npm'));
  run('ln', '-s', '../lib/node_modules/npm/bin/npm-cli.js', join(local, 'bin/npm'));
  run('ln', '-s', '../lib/node_modules/npm/bin/npx-cli.js', join(local, 'bin/npx'));
  const headers = ['/usr/include/node', resolve(node, '../../include/node')].find((path) => existsSync(join(path, 'node_api.h')));
  if (!headers) throw new Error("Node's headers are missing; scripts/setup installs them");
  run('cp', '-rL', headers, join(local, 'include/node'));
}
