/** What a reader without capabilities reaches, by owner and mode. */
import { chmodSync, chownSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { outOfReach } from '../../../src/host/outOfReach.js';

const ME = { uid: process.getuid?.() ?? 0, gids: [process.getgid?.() ?? 0] };
const SOMEBODY = { uid: 4711, gids: [4711] };

t.test('folders, files, links', async (t) => {
  const dir = t.testdir({
    open: { 'a.yaml': '', closed: { 'b.yaml': '' } },
    home: { penstock: { 'c.yaml': '' } },
  });
  for (const [path, mode] of [
    ['.', 0o755],
    ['open', 0o755],
    ['open/a.yaml', 0o644],
    ['open/closed', 0o750],
    ['home', 0o700],
  ] as const)
    chmodSync(join(dir, path), mode);
  symlinkSync(join(dir, 'home/penstock'), join(dir, 'open/link'));
  symlinkSync('circle', join(dir, 'open/circle'));
  const of = (reader: typeof ME, ...paths: string[]) =>
    outOfReach(
      paths.map((path) => join(dir, path)),
      reader,
    );

  t.equal(of(ME, 'open/a.yaml', 'open/closed/b.yaml', 'home/penstock/c.yaml'), undefined);
  const reachable = outOfReach([join(dir, 'open/a.yaml')], SOMEBODY) === undefined;
  // The folders above belong to whoever runs the tests.
  if (!reachable) return t.comment('the temporary folder is closed to others');
  t.equal(of(SOMEBODY, 'open/a.yaml', 'open/not-there', 'open/circle/x'), undefined);
  t.match(of(SOMEBODY, 'open/closed/b.yaml'), /closed\/b\.yaml \(.*\/closed is of user \d+, mode 750\)$/);
  t.match(of(SOMEBODY, 'home/penstock/c.yaml'), /\(.*\/home is of user \d+, mode 700\)$/);
  t.match(of(SOMEBODY, 'open/a.yaml', 'open/link/c.yaml'), /home is of user/, 'through a link');
  chmodSync(join(dir, 'open/a.yaml'), 0o600);
  t.match(of(SOMEBODY, 'open/a.yaml'), /a\.yaml is of user/);
});

t.test('the group counts, and the owner before it', { skip: ME.uid !== 0 && 'needs root' }, async (t) => {
  const dir = t.testdir({ 'a.yaml': '' });
  const file = join(dir, 'a.yaml');
  chownSync(file, 1, 4711);
  chmodSync(file, 0o640);
  if (outOfReach([dir], SOMEBODY) !== undefined) return t.comment('the temporary folder is closed to others');
  t.equal(outOfReach([file], SOMEBODY), undefined);
  t.ok(outOfReach([file], { uid: 4711, gids: [5] }));
  chmodSync(file, 0o044);
  t.ok(outOfReach([file], { uid: 1, gids: [4711] }), 'an owner without the right has none by the group');
});
