/** Which kernel scripts/vm boots: user-mode Linux only where it keeps the registers of its programs. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { fromRoot } from '../../support/fromRoot.js';

const ROOT = fileURLToPath(fromRoot(''));
const folder = mkdtempSync(join(tmpdir(), 'penstock-test-'));
t.teardown(() => rmSync(folder, { recursive: true }));

/** With other functions in place of those that ask the machine: `kernel: why`. */
function choose(overrides: string, env: Record<string, string> = {}): string {
  const script = `set -eu; root=${folder}; die() { echo "$1"; exit 125; }
    . ${ROOT}/scripts/lib/vm-kernel.sh; ${overrides}; choose_kernel; echo "$kernel: $why"`;
  const { stdout } = spawnSync('bash', ['--norc', '-c', script], {
    encoding: 'utf8',
    env: { PATH: process.env.PATH, ...env },
  });
  rmSync(join(folder, '.cache'), { recursive: true, force: true });
  return stdout.trim();
}

const NO_AMX = 'processor_has_amx() { return 1; }';

t.test('what is asked, in which order', async (t) => {
  t.equal(
    choose(`${NO_AMX}; probe_registers() { return 0; }`),
    'uml: user-mode Linux keeps the registers of its programs',
  );
  t.equal(
    choose(`${NO_AMX}; probe_registers() { echo 'ptrace set fp regs failed, errno = 14'; return 125; }`),
    'qemu: user-mode Linux cannot be trusted here: ptrace set fp regs failed, errno = 14',
  );
  t.match(
    choose('processor_has_amx() { return 0; }; probe_registers() { echo asked >&2; }'),
    /^qemu: the processor has AMX/,
  );
  t.match(choose(NO_AMX, { PENSTOCK_VM_KERNEL: 'qemu' }), /^qemu: PENSTOCK_VM_KERNEL/);
  t.match(choose(NO_AMX, { PENSTOCK_VM_KERNEL: 'xen' }), /PENSTOCK_VM_KERNEL is xen/);
});

t.test('AMX is found among the flags, as a word', async (t) => {
  const cpuinfo = join(folder, 'cpuinfo');
  const hasAmx = (flags: string) => {
    writeFileSync(cpuinfo, `processor\t: 0\nflags\t\t: ${flags}\n`);
    const { status } = spawnSync('bash', [
      '-c',
      `. ${ROOT}/scripts/lib/vm-kernel.sh; processor_has_amx ${cpuinfo}`,
    ]);
    return status === 0;
  };
  t.ok(hasAmx('fpu avx512f amx_bf16 avx512_fp16 amx_tile amx_int8'));
  t.notOk(hasAmx('fpu avx512f avx512_fp16 xamx_tiley'));
});

t.test('the program in the probe sees a register that was changed', async (t) => {
  const program = join(folder, 'registers');
  execFileSync('g++', ['-std=c++17', '-O1', '-o', program, join(ROOT, 'scripts/lib/registers.cc')]);
  const run = (...args: string[]) => spawnSync(program, args, { encoding: 'utf8' });
  t.match(run('1'), { status: 0, stdout: /^registers: kept$/m });
  t.match(run('1', '--spoil'), { status: 1, stdout: /other words in its .mm registers/ });
});
