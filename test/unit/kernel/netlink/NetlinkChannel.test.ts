import t from 'tap';
import { ControlType, MessageFlag } from '../../../../src/kernel/netlink/constants.js';
import type { Message } from '../../../../src/kernel/netlink/Message.js';
import { MessageWriter } from '../../../../src/kernel/netlink/MessageWriter.js';
import { NetlinkChannel } from '../../../../src/kernel/netlink/NetlinkChannel.js';
import { NetlinkError } from '../../../../src/kernel/netlink/NetlinkError.js';
import type { Clock } from '../../../../src/time/Clock.js';
import { FakeSocket, type Sent } from './FakeSocket.js';

const TYPE = 0x0a10;
const EEXIST = -17;

function oneMessage(type = TYPE): MessageWriter {
  return manyMessages(1, type);
}

function manyMessages(count: number, type = TYPE): MessageWriter {
  const writer = new MessageWriter();
  for (let i = 0; i < count; i++) {
    writer.beginMessage(type);
    writer.endMessage();
  }
  return writer;
}

/** Timers that run out when they are told to. */
class ManualTimers {
  readonly #callbacks = new Map<number, () => void>();
  #next = 0;

  readonly clock: Clock = {
    now: () => 0,
    date: () => 0,
    after: (_milliseconds, callback) => {
      const number = ++this.#next;
      this.#callbacks.set(number, callback);
      return () => this.#callbacks.delete(number);
    },
  };

  get count(): number {
    return this.#callbacks.size;
  }

  expire(): void {
    const due = [...this.#callbacks.values()];
    this.#callbacks.clear();
    for (const callback of due) callback();
  }
}

function setUp() {
  const socket = new FakeSocket();
  const timers = new ManualTimers();
  const channel = new NetlinkChannel(socket, { clock: timers.clock, timeoutMs: 10_000 });
  return { socket, timers, channel };
}

/** Lets promises settle that have all they wait for. */
const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

const rejection = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

t.test('requests in flight find their answers in any order', async (t) => {
  const { socket, timers, channel } = setUp();
  const first = channel.request('first', oneMessage());
  const second = channel.request('second', oneMessage());
  const third = channel.request('third', oneMessage());
  const [a, b, c] = socket.sent as [Sent, Sent, Sent];
  t.equal(a.flags, MessageFlag.REQUEST | MessageFlag.ACK);
  t.equal(new Set([a.sequence, b.sequence, c.sequence, 0]).size, 4);
  t.equal(socket.keepsAlive, true, 'somebody waits');
  socket.deliver(
    socket.message(b, { type: 7 }),
    socket.outcome(c, EEXIST, 'already there'),
    socket.message(a, { type: 8 }),
    socket.message(b, { type: 9 }),
    socket.outcome(b, 0),
    socket.outcome(a, 0),
  );
  const types = (messages: readonly Message[]) => messages.map(({ type }) => type);
  t.strictSame(types(await first), [8]);
  t.strictSame(types(await second), [7, 9]);
  t.match(await rejection(third), {
    name: 'NetlinkError',
    code: 'EEXIST',
    errno: EEXIST,
    kernelText: 'already there',
    message: 'third: EEXIST (already there)',
  });
  t.equal(socket.keepsAlive, false);
  t.equal(timers.count, 0);
});

t.test('an answer that is there at once needs no timer, and nobody waits for it', async (t) => {
  const { socket, timers, channel } = setUp();
  const kept: boolean[] = [];
  const { send } = socket;
  socket.send = (bytes) => {
    send.call(socket, bytes);
    const [sent] = socket.sent.slice(-1);
    if (sent) socket.arrive(socket.message(sent, { type: TYPE }), socket.outcome(sent, 0));
  };
  const begun = channel.request('first', oneMessage());
  kept.push(socket.keepsAlive);
  t.equal(timers.count, 0);
  t.equal((await begun).length, 1);
  socket.send = send;
  const second = channel.request('second', oneMessage());
  kept.push(socket.keepsAlive);
  t.equal(timers.count, 1);
  socket.deliver(socket.outcome(socket.sent[1] as Sent, 0));
  await second;
  kept.push(socket.keepsAlive);
  t.same(kept, [false, true, false]);
  t.equal(timers.count, 0);
});

t.test('answers to others, late and foreign ones are dropped', async (t) => {
  const { socket, channel } = setUp();
  const request = channel.request('request', oneMessage());
  const [sent] = socket.sent as [Sent];
  socket.deliver(
    socket.outcome({ ...sent, sequence: sent.sequence + 1000 }, EEXIST),
    socket.message(sent, { type: ControlType.NOOP }),
    socket.message(sent, { type: 7, portId: socket.portId + 1 }),
    socket.outcome(sent, 0),
    socket.outcome(sent, EEXIST),
  );
  t.strictSame(await request, []);
});

t.test('messages stay what they were when more is received', async (t) => {
  const { socket, channel } = setUp();
  const request = channel.request('request', oneMessage());
  const [sent] = socket.sent as [Sent];
  socket.deliver(socket.message(sent, { type: 7, payload: Uint8Array.of(1, 2, 3, 4) }));
  socket.deliver(
    socket.message(sent, { type: 7, payload: Uint8Array.of(9, 9, 9, 9) }),
    socket.outcome(sent, 0),
  );
  const messages = await request;
  t.strictSame(
    messages.map(({ payload }) => [...payload]),
    [
      [1, 2, 3, 4],
      [9, 9, 9, 9],
    ],
  );
});

t.test('dumps', async (t) => {
  await t.test('end with DONE and run one after the other', async (t) => {
    const { socket, channel } = setUp();
    const writer = oneMessage();
    const first = channel.dump('first', writer);
    writer.clear();
    const second = channel.dump('second', oneMessage());
    await settle();
    t.equal(socket.sent.length, 1, 'the second waits');
    const a = socket.sent[0] as Sent;
    t.equal(a.flags, MessageFlag.REQUEST | MessageFlag.DUMP);
    socket.deliver(socket.message(a, { type: 7, flags: MessageFlag.MULTI }));
    socket.deliver(socket.message(a, { type: 7, flags: MessageFlag.MULTI }), socket.done(a, 0));
    t.equal((await first).length, 2);
    await settle();
    const b = socket.sent[1] as Sent;
    socket.deliver(socket.done(b, -95, 'not here'));
    t.match(await rejection(second), { code: 'EOPNOTSUPP', kernelText: 'not here' });
  });

  await t.test('begin again when they were interrupted, and give up', async (t) => {
    const { socket, channel } = setUp();
    const dump = channel.dump('list sets', oneMessage());
    await settle();
    const interrupt = () => {
      const sent = socket.sent.at(-1) as Sent;
      const flags = MessageFlag.MULTI | MessageFlag.DUMP_INTERRUPTED;
      socket.deliver(socket.message(sent, { type: 7, flags }), socket.done(sent, 0));
      return settle();
    };
    await interrupt();
    t.equal(socket.sent.length, 2);
    const again = socket.sent[1] as Sent;
    socket.deliver(socket.message(again, { type: 8, flags: MessageFlag.MULTI }), socket.done(again, 0));
    t.equal((await dump).length, 1, 'only the messages of the good attempt');

    const hopeless = rejection(channel.dump('list sets', oneMessage()));
    await settle();
    for (let i = 0; i < 5; i++) await interrupt();
    t.match(await hopeless, {
      code: 'EINTR',
      message: /list sets.*changed during each of 5 attempts/,
    });
    t.equal(socket.sent.length, 2 + 5);
  });

  await t.test('a failed dump lets the next one run', async (t) => {
    const { socket, channel } = setUp();
    const first = channel.dump('first', oneMessage());
    const second = channel.dump('second', oneMessage());
    await settle();
    socket.deliver(socket.outcome(socket.sent[0] as Sent, -1));
    t.match(await rejection(first), { code: 'EPERM' });
    await settle();
    socket.deliver(socket.done(socket.sent[1] as Sent, 0));
    t.strictSame(await second, []);
  });
});

t.test('batches', async (t) => {
  const acknowledged = (count: number, type = TYPE) => {
    const writer = manyMessages(count, type);
    writer.addFlags(MessageFlag.ACK);
    return writer;
  };

  await t.test('each refusal knows its message', async (t) => {
    const { socket, channel } = setUp();
    const batch = channel.batch('add servers', acknowledged(5));
    const other = channel.request('other', oneMessage());
    const [first] = socket.sent as [Sent];
    const at = (index: number): Sent => ({ ...first, sequence: first.sequence + index });
    t.equal(first.count, 5);
    socket.deliver(socket.outcome(at(0), EEXIST), socket.outcome(at(3), -2, 'no such service'));
    socket.deliver(socket.outcome(socket.sent[1] as Sent, 0), socket.outcome(at(4), 0));
    t.match(await batch, [
      { index: 0, code: 'EEXIST', message: /add servers, message 0/ },
      { index: 3, code: 'ENOENT', message: 'add servers, message 3: ENOENT (no such service)' },
    ]);
    t.strictSame(await other, []);
  });

  await t.test('all went well', async (t) => {
    const { socket, channel } = setUp();
    const batch = channel.transaction('write table', acknowledged(3));
    const [first] = socket.sent as [Sent];
    socket.deliver(socket.outcome({ ...first, sequence: first.sequence + 2 }, 0));
    t.strictSame(await batch, []);
  });

  await t.test('a refused bracket ends a transaction, not a batch', async (t) => {
    const { socket, channel } = setUp();
    const transaction = channel.transaction('write table', acknowledged(3));
    socket.deliver(socket.outcome(socket.sent[0] as Sent, -85));
    t.match(await transaction, [{ index: 0, code: 'ERESTART' }]);

    let ended = false;
    const batch = channel.batch('add servers', acknowledged(3)).finally(() => {
      ended = true;
    });
    const sent = socket.sent[1] as Sent;
    socket.deliver(socket.outcome(sent, -85));
    await settle();
    t.equal(ended, false);
    socket.deliver(socket.outcome({ ...sent, sequence: sent.sequence + 2 }, 0));
    t.match(await batch, [{ index: 0 }]);
  });

  await t.test('nothing asks for an answer', async (t) => {
    const { socket, channel } = setUp();
    t.match(await rejection(channel.batch('add servers', manyMessages(2))), { name: 'RangeError' });
    t.strictSame(socket.sent, []);
  });
});

t.test('an answer that came while the event loop stood is read before the request is given up', async (t) => {
  const { socket, timers, channel } = setUp();
  const request = channel.request('ask', oneMessage());
  socket.arrive(socket.outcome(socket.sent[0] as Sent, 0));
  timers.expire();
  t.strictSame(await request, []);

  const dump = channel.dump('list', oneMessage());
  await settle();
  const sent = socket.sent[1] as Sent;
  socket.arrive(socket.message(sent, { type: 7, flags: MessageFlag.MULTI }));
  timers.expire();
  t.equal(timers.count, 1, 'the rest of a list has time again');
  socket.arrive(socket.done(sent, 0));
  timers.expire();
  t.equal((await dump).length, 1);
  t.equal(timers.count, 0);
});

t.test('time limits', async (t) => {
  const { socket, timers, channel } = setUp();
  const request = channel.request('ask', oneMessage());
  timers.expire();
  t.match(await rejection(request), { code: 'ETIMEDOUT', message: /no answer from the kernel in 10000 ms/ });
  t.equal(socket.keepsAlive, false);

  const dump = channel.dump('list', oneMessage());
  await settle();
  const sent = socket.sent[1] as Sent;
  socket.deliver(socket.message(sent, { type: 7, flags: MessageFlag.MULTI }));
  timers.expire();
  t.equal(timers.count, 1, 'a dump that goes on gets more time');
  timers.expire();
  t.match(await rejection(dump), { code: 'ETIMEDOUT' });
  t.equal(timers.count, 0);
});

t.test('failures of the socket', async (t) => {
  await t.test('sending', async (t) => {
    const { socket, timers, channel } = setUp();
    socket.failNextSend('EMSGSIZE', -90);
    const error = await rejection(channel.request('write table', oneMessage()));
    t.ok(error instanceof NetlinkError);
    t.match(error, { code: 'EMSGSIZE', errno: -90, message: /^write table: EMSGSIZE/ });
    t.equal(timers.count, 0);
  });

  await t.test('lost answers', async (t) => {
    const { socket, channel } = setUp();
    const answered = channel.request('answered', oneMessage());
    const lost = channel.request('lost', oneMessage());
    const dump = channel.dump('dump', oneMessage());
    await settle();
    const [a, , c] = socket.sent as [Sent, Sent, Sent];
    const heard: string[] = [];
    channel.listen([], { message: () => {}, lost: () => heard.push('lost') });
    socket.deliver('ENOBUFS', socket.outcome(a, 0));
    t.strictSame(await answered, [], 'what was queued before the loss still counts');
    t.match(await rejection(lost), { code: 'ENOBUFS', message: /^lost: .*lost/ });
    t.strictSame(heard, ['lost']);
    socket.deliver(socket.done(c, 0));
    t.strictSame(await dump, [], 'the rest of a dump comes later');
    const next = channel.request('next', oneMessage());
    socket.deliver(socket.outcome(socket.sent.at(-1) as Sent, 0));
    t.strictSame(await next, []);
  });

  await t.test('a datagram larger than the buffer', async (t) => {
    const { socket, channel } = setUp();
    const request = channel.request('ask', oneMessage());
    const [sent] = socket.sent as [Sent];
    const payload = new Uint8Array(1_000_000).fill(5);
    socket.deliver(socket.message(sent, { type: 7, payload }), socket.outcome(sent, 0));
    t.strictSame((await request)[0]?.payload, payload);
  });

  await t.test('nonsense counts as loss', async (t) => {
    const { socket, channel } = setUp();
    const request = channel.request('ask', oneMessage());
    socket.deliver(Uint8Array.of(1, 2, 3));
    t.match(await rejection(request), { code: 'ENOBUFS' });
  });
});

t.test('multicast', async (t) => {
  const { socket, channel } = setUp();
  const heard: number[] = [];
  channel.listen([5, 6], { message: (message) => heard.push(message.type), lost: () => {} });
  t.strictSame([...socket.groups], [5, 6]);
  const request = channel.request('change', oneMessage());
  const [sent] = socket.sent as [Sent];
  socket.deliver(
    { group: 5, bytes: socket.message(sent, { type: 31 }) },
    { group: 6, bytes: socket.message({ ...sent, sequence: 0 }, { type: 32, portId: 0 }) },
    socket.message({ ...sent, sequence: 0 }, { type: 33, portId: 0 }),
    socket.outcome(sent, 0),
  );
  t.strictSame(await request, [], 'the notice of our own change is no answer');
  t.strictSame(heard, [31, 32, 33]);
});

t.test('close', async (t) => {
  const { socket, timers, channel } = setUp();
  const request = channel.request('ask', oneMessage());
  const [sent] = socket.sent as [Sent];
  const heard: number[] = [];
  channel.listen([5], {
    message: (message) => {
      heard.push(message.type);
      channel.close();
    },
    lost: () => {},
  });
  const bytes = socket.message({ ...sent, sequence: 0 }, { type: 31 });
  socket.deliver({ group: 5, bytes }, { group: 5, bytes });
  t.match(await rejection(request), { code: 'ECANCELED', message: /closed/ });
  t.strictSame(heard, [31], 'nothing is delivered after close()');
  t.equal(socket.isOpen, false);
  t.equal(timers.count, 0);
  channel.close();
  t.match(await rejection(channel.request('ask', oneMessage())), { code: 'ECANCELED' });
});
