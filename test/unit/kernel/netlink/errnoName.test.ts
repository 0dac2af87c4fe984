import t from 'tap';
import { errnoName, errnoWords } from '../../../../src/kernel/netlink/errnoName.js';

t.test('names as the kernel headers have them', async (t) => {
  const cases = [
    [-17, 'EEXIST'],
    [-11, 'EAGAIN'],
    [-95, 'EOPNOTSUPP'],
    [-85, 'ERESTART'],
    [-524, 'ENOTSUPP'],
    [-9999, 'errno 9999'],
  ] as const;
  for (const [errno, name] of cases) t.equal(errnoName(errno), name);
});

t.test('words', async (t) => {
  t.equal(errnoWords(-17), 'file already exists');
  t.equal(errnoWords(-9999), undefined);
});
