/** Small transactions are written into memory that is there: with what was in it before nothing of it stays. */
import t from 'tap';
import { MessageWriter } from '../../../../src/kernel/netlink/MessageWriter.js';
import { INET_SERVICE } from '../../../../src/kernel/nftables/dataTypes.js';
import type { SetSpec } from '../../../../src/kernel/nftables/SetSpec.js';
import { Transaction } from '../../../../src/kernel/nftables/Transaction.js';
import { writeTransaction } from '../../../../src/kernel/nftables/writeTransaction.js';

const PORTS: SetSpec = { name: 'ports', key: { types: [INET_SERVICE] } };
const MOST = 512;

function elements(count: number, gone = 0): Transaction {
  const transaction = new Transaction('IPv4', 'table');
  const key = (n: number) => String.fromCharCode(n >> 8, n & 255);
  for (let n = 0; n < count; n++) transaction.addElement(PORTS, key(n), undefined);
  for (let n = 0; n < gone; n++) transaction.deleteElement(PORTS, key(count + n));
  return transaction;
}

t.test('the messages are the same as in memory of their own', async (t) => {
  const small = new MessageWriter();
  const write = (transaction: Transaction, writer?: MessageWriter) =>
    writeTransaction(transaction, undefined, 'to commit', undefined, writer);
  for (const [count, gone] of [
    [MOST, 0],
    [1, 0],
    [200, 312],
    [0, 1],
  ] as const) {
    const own = write(elements(count, gone));
    const shared = write(elements(count, gone), small);
    t.equal(shared.writer, small);
    t.same(shared.writer.bytes(), own.writer.bytes(), `${count} new, ${gone} gone`);
    t.equal(shared.subjectOf(1), own.subjectOf(1));
  }
});

t.test('what is large does not make the memory that stays grow', async (t) => {
  const small = new MessageWriter();
  for (const large of [elements(MOST + 1), elements(1, MOST)]) {
    const { writer } = writeTransaction(large, undefined, 'to commit', undefined, small);
    t.not(writer, small);
  }
  t.equal(small.length, 0);
});
