/** Where the addresses begin that no Service can have. */
import t from 'tap';
import { bytesToIp, type IpAddress } from '../../../src/net/ip.js';
import { FORBIDDEN_BEGINS, forbiddenKind } from '../../../src/objects/addresses.js';

t.test('whatever is never served follows another that is not, or is one of the beginnings', (t) => {
  const begins = new Set<IpAddress>(FORBIDDEN_BEGINS);
  const ends = [0, 1, 2, 126, 127, 128, 168, 169, 170, 171, 191, 192, 223, 224, 239, 240, 253, 254, 255];
  let found = 0;
  for (const a of Array.from({ length: 256 }, (_, i) => i)) {
    for (const b of ends) {
      for (const c of ends) {
        for (const d of [0, 1, 254, 255]) {
          const number = ((a * 256 + b) * 256 + c) * 256 + d;
          const ip = v4(number);
          if (forbiddenKind(ip, 'served') === undefined) continue;
          if (number > 0 && forbiddenKind(v4(number - 1), 'served') !== undefined) continue;
          found++;
          if (!begins.has(ip)) t.fail(`${ip} begins what is never served`);
        }
      }
    }
  }
  t.equal(found, FORBIDDEN_BEGINS.filter((ip) => ip.includes('.')).length);
  for (const ip of FORBIDDEN_BEGINS) t.not(forbiddenKind(ip, 'served'), undefined, ip);
  t.end();
});

function v4(number: number): IpAddress {
  return bytesToIp(Uint8Array.of(number >>> 24, number >>> 16, number >>> 8, number));
}
