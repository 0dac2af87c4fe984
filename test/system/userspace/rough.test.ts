/** Clients and endpoints without manners: they harm nobody but themselves, and nothing is left of them. */
import { mkdirSync, readdirSync, readFileSync, readlinkSync, rmdirSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { AgentProcess } from '../../support/AgentProcess.js';
import { inNetns } from '../../support/inNetns.js';
import { eventually } from '../../support/iptables.js';
import { callRoughly, serveRoughly } from '../../support/roughTraffic.js';
import { shopObjects } from '../../support/shopObjects.js';
import { call, makeUserspaceWorld, type Outcome, serve, VIP } from '../../support/userspaceWorld.js';

const [POD, ROUGH, OTHER_ROUGH, FLOODING] = ['10.2.0.1', '10.2.0.2', '10.2.0.3', '10.2.0.4'] as const;
const ROUGH_VIP = '172.30.0.2';
const FLOODING_VIP = '172.30.0.3';
const HALF_OPEN = 3000;
const MEMORY_LIMIT = 200 << 20;

/** Says its address to those who say something, and goes with those who go. */
function servePolitely() {
  return serve(POD, (socket) => {
    socket.once('data', () => socket.end(POD));
    socket.once('end', () => socket.end());
  });
}

/** Pipes are kept for the next connections. */
function socketsOf(pid: number | undefined): number {
  const folder = `/proc/${pid}/fd`;
  const isSocket = (name: string) => {
    try {
      return readlinkSync(join(folder, name)).startsWith('socket:');
    } catch {
      return false; // closed in the meantime
    }
  };
  return readdirSync(folder).filter(isSocket).length;
}

/** Once those of questions before have ended. */
async function quietSocketsOf(pid: number | undefined): Promise<number> {
  await sleep(1000);
  return socketsOf(pid);
}

function residentMegabytes(pid: number | undefined): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}

/** A folder for a control group of our own with the files that limit memory, or undefined where there is none to be had. */
function memoryGroup():
  | { readonly folder: string; readonly limit: string; readonly processes: string }
  | undefined {
  const name = `penstock-test-${process.pid}`;
  for (const [root, limit] of [
    ['/sys/fs/cgroup/memory', 'memory.limit_in_bytes'],
    ['/sys/fs/cgroup', 'memory.max'],
  ] as const) {
    const folder = `${root}/${name}`;
    try {
      mkdirSync(folder);
    } catch {
      continue;
    }
    if (readdirSync(folder).includes(limit))
      return { folder, limit: `${folder}/${limit}`, processes: `${folder}/cgroup.procs` };
    rmdirSync(folder);
  }
  return undefined;
}

if (await inNetns(import.meta.url)) {
  makeUserspaceWorld([POD, ROUGH, OTHER_ROUGH, FLOODING]);
  const servers = [await servePolitely(), await serveRoughly(ROUGH), await serveRoughly(OTHER_ROUGH)];
  servers.push(
    await serve(FLOODING, (socket) => {
      const chunk = Buffer.alloc(1 << 20);
      const more = () => {
        while (socket.writable && socket.write(chunk));
      };
      socket.on('drain', more);
      more();
    }),
  );
  t.teardown(() => {
    for (const server of servers) server.close();
  });
  // Else endpoints that never end their half have connections until a keepalive finds that the client is gone.
  const annotations = { 'penstock.io/idle-timeout': '2s' };
  const objects = [
    ...shopObjects({ name: 'web', clusterIP: VIP, endpoints: [POD] }),
    ...shopObjects({ name: 'rough', clusterIP: ROUGH_VIP, endpoints: [ROUGH, OTHER_ROUGH], annotations }),
    ...shopObjects({ name: 'flooding', clusterIP: FLOODING_VIP, endpoints: [FLOODING] }),
  ];
  /** Calls a service with good endpoints all the time. */
  const callWell = async (goOn: () => boolean) => {
    const outcomes: Outcome[] = [];
    while (goOn()) outcomes.push(await call());
    return outcomes;
  };

  t.test('ten seconds of it', { timeout: 60_000 }, async (t) => {
    await using agent = new AgentProcess('mode: userspace\n');
    agent.write('all.json', objects);
    agent.start();
    t.ok(await agent.ready());
    t.equal((await call()).text, POD);
    const before = await quietSocketsOf(agent.pid);
    const end = performance.now() + 10_000;
    const goOn = () => performance.now() < end;
    const [rough, ...well] = await Promise.all([
      callRoughly(ROUGH_VIP, 200, goOn),
      callWell(goOn),
      callWell(goOn),
    ]);
    const outcomes = well.flat();
    t.ok(rough > 500, `${rough} rough connections`);
    t.strictSame(
      outcomes.filter(({ text }) => text !== POD),
      [],
      `0 of ${outcomes.length} well-behaved connections failed`,
    );
    const gone = await eventually(async () => socketsOf(agent.pid) <= before, 20_000);
    t.ok(gone, `${socketsOf(agent.pid)} sockets, ${before} before`);
    t.equal((await call()).text, POD);
  });

  t.test('thousands of clients that never say anything', { timeout: 90_000 }, async (t) => {
    await using agent = new AgentProcess('mode: userspace\n');
    agent.write('all.json', objects);
    agent.start();
    t.ok(await agent.ready());
    t.equal((await call()).text, POD);
    const before = await quietSocketsOf(agent.pid);
    const silent: Socket[] = [];
    const ended: string[] = [];
    for (let i = 0; i < HALF_OPEN; i++) {
      const socket = connect({ host: VIP, port: 80 });
      socket.on('error', (error) => ended.push(error.message));
      silent.push(socket);
      if (i % 100 === 0) await sleep(10);
    }
    const all = await eventually(async () => socketsOf(agent.pid) >= before + 2 * HALF_OPEN, 20_000);
    t.ok(all, `${socketsOf(agent.pid)} sockets, ${before} before`);
    t.strictSame(ended, [], 'nobody was sent away');
    for (let i = 0; i < 50; i++) t.equal((await call()).text, POD);
    for (const socket of silent) socket.destroy();
    const gone = await eventually(async () => socketsOf(agent.pid) <= before, 20_000);
    t.ok(gone, `${socketsOf(agent.pid)} sockets are left, ${before} before`);
  });

  const group = memoryGroup();
  t.test(
    'little memory, and clients that do not read what they asked for',
    { timeout: 60_000, skip: group ? false : 'no control group for memory can be made here' },
    async (t) => {
      await using agent = new AgentProcess('mode: userspace\n');
      t.teardown(() => group && eventually(async () => rmdirSync(group.folder) === undefined));
      writeFileSync(group?.limit ?? '', String(MEMORY_LIMIT));
      agent.write('all.json', objects);
      agent.start(['sh', '-c', `echo $$ > ${group?.processes}; exec "$@"`, 'sh']);
      t.ok(await agent.ready());
      const before = residentMegabytes(agent.pid);
      const lazy = Array.from({ length: 400 }, () => {
        const socket = connect({ host: FLOODING_VIP, port: 80 });
        socket.on('error', () => {});
        socket.pause();
        return socket;
      });
      await sleep(3000);
      for (let i = 0; i < 50; i++) t.equal((await call()).text, POD);
      const after = residentMegabytes(agent.pid);
      t.ok(after - before < 20, `${before.toFixed(0)} MB before, ${after.toFixed(0)} MB after`);
      for (const socket of lazy) socket.destroy();
      t.equal(await agent.end('SIGTERM'), 0, 'nobody killed it');
    },
  );
}
