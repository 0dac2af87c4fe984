/**
 * The model of nf_tables and the kernel get the same messages and say the same: what is refused, with which error, at
 * which message; what is there afterwards; what those hear who listen.
 */
import fc from 'fast-check';
import t from 'tap';
import { NetlinkProtocol } from '../../../src/kernel/netlink/constants.js';
import type { Message } from '../../../src/kernel/netlink/Message.js';
import { NetlinkChannel } from '../../../src/kernel/netlink/NetlinkChannel.js';
import { NFTABLES_GROUP } from '../../../src/kernel/nftables/constants.js';
import { readGeneration } from '../../../src/kernel/nftables/readGeneration.js';
import { NftablesTable } from '../../../src/kernel/nftables/table/NftablesTable.js';
import { inNetns } from '../../support/inNetns.js';
import { type Described, describeNotice, describeRuleset } from '../../support/model/describeRuleset.js';
import { ModelKernel } from '../../support/model/ModelKernel.js';
import { type Batch, batches, beginnings, LOOP, TABLES } from '../../support/model/nftCommands.js';
import { writeBatch } from '../../support/model/writeBatch.js';

const IPV4 = 2;
const histories = fc.tuple(beginnings, fc.array(batches, { minLength: 1, maxLength: 15, size: 'max' }));

/** One kernel: a channel to change it and one that listens. */
class Side {
  readonly channel: NetlinkChannel;
  readonly #listening: NetlinkChannel;
  notices: string[] = [];
  #last: (Described & { readonly generation: number }) | undefined;

  constructor(open: () => NetlinkChannel) {
    this.channel = open();
    this.#listening = open();
    this.#listening.listen([NFTABLES_GROUP], {
      message: (message: Message) => this.notices.push(describeNotice(message)),
      lost: () => this.notices.push('lost'),
    });
  }

  async take(batch: Batch): Promise<readonly string[]> {
    const { handles, generation } = this.#last ?? (await this.#describe());
    const writer = writeBatch(
      batch,
      generation,
      (chain, nth) => handles.get(`${batch.table} ${chain}`)?.[nth],
    );
    this.notices = [];
    const errors = await this.channel.transaction('test', writer);
    this.#last = await this.#describe();
    // What is told comes in a later turn.
    await new Promise((resolve) => setImmediate(resolve));
    return [
      ...errors.map(({ index, code }) => `message ${index}: ${code}`),
      `generation moved by ${this.#last.generation - generation}`,
      ...this.notices.map((text) => `notice ${text}`),
      ...this.#last.lines,
    ];
  }

  async #describe(): Promise<Described & { readonly generation: number }> {
    const described = await describeRuleset(this.channel, IPV4);
    return { ...described, generation: (await readGeneration(this.channel)) ?? 0 };
  }

  /** Something was changed from outside. */
  forget(): void {
    this.#last = undefined;
  }

  close(): void {
    this.channel.close();
    this.#listening.close();
  }
}

if (await inNetns(import.meta.url)) {
  const real = new Side(() => NetlinkChannel.open(NetlinkProtocol.NETFILTER));
  t.teardown(() => real.close());
  const seen = new Map<string, number>();

  t.test('random transactions', { timeout: 120_000 }, async (t) => {
    await fc.assert(
      fc.asyncProperty(histories, async ([beginning, history]) => {
        for (const table of TABLES) await new NftablesTable(real.channel, 'IPv4', table).delete();
        real.forget();
        const kernel = new ModelKernel();
        const model = new Side(() => new NetlinkChannel(kernel.open(NetlinkProtocol.NETFILTER)));
        for (const batch of [beginning, ...history]) {
          const [expected, got] = [await real.take(batch), await model.take(batch)];
          for (const line of expected) {
            const error = /^message \d+: (.*)/.exec(line)?.[1];
            if (error) seen.set(error, (seen.get(error) ?? 0) + 1);
          }
          const missing = expected.filter((line) => !got.includes(line));
          const surplus = got.filter((line) => !expected.includes(line));
          if (expected.join('\n') !== got.join('\n')) {
            const words = [
              ...missing.map((line) => `only the kernel: ${line}`),
              ...surplus.map((line) => `only the model: ${line}`),
            ];
            throw new Error(
              `${words.join('\n') || `another order: ${expected.join(', ')}\n${got.join(', ')}`}\n${JSON.stringify(batch)}`,
            );
          }
        }
        model.close();
        if (kernel.leftOver().length > 0) throw new Error('sockets are left');
      }),
      {
        examples: [[[LOOP.beginning, [LOOP.batch]]]],
        numRuns: 150,
        interruptAfterTimeLimit: 60_000,
        endOnFailure: process.env.CI === undefined,
      },
    );
    t.comment(`refusals: ${[...seen].map(([code, count]) => `${code} ${count}`).join(', ')}`);
    for (const code of [
      'EBUSY',
      'EEXIST',
      'EINVAL',
      'EMLINK',
      'ENFILE',
      'ENOENT',
      'EOPNOTSUPP',
      'ERESTART',
    ]) {
      t.ok(seen.has(code), `${code} was among the refusals`);
    }
  });
}
