/**
 * Loaded into a program before its own files (`NODE_OPTIONS=--import=…`): counts what the program does to the outside, and ends it at one
 * of these steps. A step is a message to the kernel, a change of a file, or the start of a program. FAULT_AT: which step, from 1; FAULT_SIGNAL:
 * what the program is sent before it; FAULT_AFTER: a file; steps count from when it is there; FAULT_COUNT: a file for how many there were.
 */
import childProcess from 'node:child_process';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const { FAULT_AT, FAULT_SIGNAL = 'SIGKILL', FAULT_AFTER, FAULT_COUNT } = process.env;
const { existsSync, writeFileSync } = fs;
let steps = 0;

function step(): void {
  if (FAULT_AFTER !== undefined && !existsSync(FAULT_AFTER)) return;
  steps++;
  if (steps !== Number(FAULT_AT)) return;
  process.kill(process.pid, FAULT_SIGNAL);
}

type Method = (...args: unknown[]) => unknown;

/** What `target` has by this name is a step from now on. */
function watch(target: object, name: string): void {
  const methods = target as Record<string, Method>;
  const method = methods[name];
  if (method === undefined) throw new TypeError(`there is no ${name}`);
  methods[name] = function (this: unknown, ...args: unknown[]) {
    step();
    return method.apply(this, args);
  };
}

for (const name of ['writeFileSync', 'renameSync', 'rmSync', 'unlinkSync', 'mkdirSync', 'writeSync'])
  watch(fs, name);
watch(childProcess, 'spawn');
syncBuiltinESMExports();

/** The addon's sockets: `send` of their class cannot be replaced, so there is one above it. */
type Sockets = Record<'NetlinkSocket', new (...args: unknown[]) => { send(bytes: Uint8Array): void }>;
const { dlopen } = process;
process.dlopen = (module: object, ...rest) => {
  dlopen.call(process, module, ...rest);
  const { exports } = module as { exports: Sockets };
  if (exports.NetlinkSocket === undefined) return;
  exports.NetlinkSocket = class extends exports.NetlinkSocket {
    override send(bytes: Uint8Array): void {
      step();
      super.send(bytes);
    }
  };
};

if (FAULT_COUNT !== undefined) process.on('exit', () => writeFileSync(FAULT_COUNT, `${steps}`));
