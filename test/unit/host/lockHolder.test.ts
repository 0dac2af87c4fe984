/** Who has a file locked: never a stranger whose lock has the same inode number on another device. */
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { lockHolder } from '../../../src/host/lockHolder.js';
import { nativeAddon } from '../../../src/kernel/addon/nativeAddon.js';

interface Process {
  readonly pid: number;
  readonly program: string;
  readonly opens: readonly string[];
}

/** A folder like /proc. */
function procfs(folder: string, locks: string, processes: readonly Process[]): string {
  const proc = join(folder, 'proc');
  mkdirSync(proc);
  writeFileSync(join(proc, 'locks'), locks);
  for (const { pid, program, opens } of processes) {
    mkdirSync(join(proc, `${pid}/fd`), { recursive: true });
    writeFileSync(join(proc, `${pid}/comm`), `${program}\n`);
    for (const [i, file] of opens.entries()) symlinkSync(file, join(proc, `${pid}/fd/${i + 3}`));
  }
  return proc;
}

t.test('among locks with one inode number it is the one that has the file open', (t) => {
  const folder = t.testdir({ lock: '', other: '' });
  const file = join(folder, 'lock');
  const { ino } = statSync(file);
  const proc = procfs(
    folder,
    `1: POSIX  ADVISORY  WRITE 10 00:1a:${ino} 0 EOF\n` +
      `2: FLOCK  ADVISORY  WRITE 11 00:99:${ino} 0 EOF\n` +
      `2: -> FLOCK  ADVISORY  WRITE 12 00:1a:${ino} 0 EOF\n` +
      `3: FLOCK  ADVISORY  WRITE 0 00:1a:${ino} 0 EOF\n` +
      `4: FLOCK  ADVISORY  WRITE 13 00:1a:${ino} 0 EOF\n`,
    [
      { pid: 10, program: 'posix', opens: [file] },
      { pid: 11, program: 'stranger', opens: ['/dev/null', join(folder, 'other'), '/gone', 'pipe:[4711]'] },
      { pid: 12, program: 'waits', opens: [file] },
      { pid: 13, program: 'penstock', opens: ['/dev/null', file] },
    ],
  );
  t.same(lockHolder(file, proc), { pid: 13, program: 'penstock' });
  t.end();
});

t.test('where it may not look, the device tells', { skip: process.geteuid?.() !== 0 }, (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'penstock-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  chmodSync(folder, 0o755);
  const file = join(folder, 'lock');
  const fd = openSync(file, 'w');
  t.teardown(() => closeSync(fd));
  t.ok(nativeAddon().lockFile(fd));
  // As the kernel writes it.
  const [line = ''] = readFileSync('/proc/locks', 'utf8')
    .split('\n')
    .filter((each) => new RegExp(` FLOCK .*:${statSync(file).ino} `).test(each));
  const elsewhere = line.replace(/\w+:\w+:(\d+) /, 'fe:ff:$1 ');
  const asStranger = (text: string) => {
    const proc = procfs(folder, text, [{ pid: process.pid, program: 'penstock', opens: [] }]);
    chmodSync(join(proc, `${process.pid}/fd`), 0);
    process.seteuid?.(65_534);
    try {
      return lockHolder(file, proc);
    } finally {
      process.seteuid?.(0);
      rmSync(proc, { recursive: true });
    }
  };
  t.same(asStranger(line), { pid: process.pid, program: 'penstock' });
  t.equal(asStranger(elsewhere), undefined, 'the same inode number on another device');
  t.end();
});

t.test('nobody is named who cannot be seen to have it', (t) => {
  const folder = t.testdir({ lock: '', other: '' });
  const file = join(folder, 'lock');
  const { ino } = statSync(file);
  const proc = procfs(
    folder,
    `1: FLOCK  ADVISORY  WRITE 11 00:99:${ino} 0 EOF\n2: FLOCK ADVISORY WRITE 99 00:1a:${ino} 0 EOF\nrubbish\n\n`,
    [{ pid: 11, program: 'stranger', opens: [join(folder, 'other')] }],
  );
  t.equal(lockHolder(file, proc), undefined, 'one has another file, the other is not there');
  t.equal(lockHolder(join(folder, 'nothing'), proc), undefined);
  t.equal(lockHolder(file, join(folder, 'no-proc')), undefined);
  t.end();
});
